/* The page's style sheet. */
#include "method/pageparts.h"

static const char colours[] =
    ":root{--page:#fbfaf8;--card:#fff;--ink:#1d1c1a;--soft:#625d55;--rule:#e3dfd8;--base:#77716a;"
    "--ft:#c2500b;--n1:#2166ac;--n2:#1b7f6b;--n3:#7b4fa3;--n4:#8a6d1d;--bad:#b3261e;--good:#22702f;"
    "--heat:226 92 10;--cold:38 112 190;--deep:.72}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#161513;--card:#201e1b;--ink:#ebe7e0;--soft:#aaa49a;"
    "--rule:#38342f;--base:#a19b91;--ft:#f08a45;--n1:#6fb1ec;--n2:#5cc4ab;--n3:#bd95e0;--n4:#d3b55a;"
    "--bad:#f2877f;--good:#7cc98a;--heat:236 104 22;--cold:64 140 220;--deep:.62}}\n";

static const char frame[] =
    "*{box-sizing:border-box}"
    "html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}"
    "body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',"
    "Roboto,'Noto Sans',sans-serif}"
    "main{max-width:1120px;margin:0 auto;padding:1.5rem 1.25rem 4rem}"
    "h1{font-size:1.9rem;line-height:1.2;margin:.2em 0 .3em;overflow-wrap:anywhere}"
    "h1 .on{font-weight:400;color:var(--soft)}"
    "h2{font-size:1.4rem;margin:2.6rem 0 .3rem;padding-top:.9rem;border-top:1px solid var(--rule)}"
    "h3{font-size:1.08rem;margin:1.7rem 0 .4rem;overflow-wrap:anywhere}"
    "h4{font-size:1rem;margin:1.3rem 0 .4rem;font-weight:600;color:var(--soft)}"
    ".lead{max-width:46rem;color:var(--soft);margin:.2rem 0 1rem}"
    ".note{max-width:46rem;color:var(--soft);font-size:.9rem;margin:.2rem 0 .8rem}"
    "a{color:var(--n1)}"
    "nav{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:1rem 0 0}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(12.4rem,1fr));gap:.8rem;margin:1.2rem 0}"
    ".card{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.8rem 1rem;min-width:0}"
    ".card p{margin:0;overflow-wrap:anywhere}.card .what,.card .more{font-size:.86rem;color:var(--soft)}"
    ".card .value{font-size:1.7rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}"
    ".card .words{font-size:1.08rem;line-height:1.4;margin:.25rem 0}"
    ".legend{font-size:.88rem;color:var(--soft);margin:.3rem 0}"
    ".key{display:inline-block;width:.8em;height:.8em;border-radius:50%;margin-right:.45em;background:currentColor}"
    ".legend .key+.key,.legend .key:not(:first-child){margin-left:1em}"
    ".key.base{color:var(--base)}.key.ft{color:var(--ft)}.key.n1{color:var(--n1)}.key.n2{color:var(--n2)}"
    ".key.n3{color:var(--n3)}.key.n4{color:var(--n4)}"
    "details{margin:.6rem 0}summary{cursor:pointer;color:var(--n1)}"
    "summary:focus-visible,a:focus-visible,input:focus-visible{outline:2px solid var(--n1);outline-offset:2px}\n";

static const char tables[] =
    ".scroll{overflow-x:auto;margin:.6rem 0}"
    "table{border-collapse:collapse;font-size:.9rem;width:100%}"
    "th,td{padding:.32rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}"
    "th{font-weight:600;color:var(--soft);font-size:.82rem;white-space:nowrap;vertical-align:bottom}"
    "td.num,th.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "td.wide{min-width:6.5rem;width:14%}td.places{min-width:17rem;width:45%}"
    "td.detail{min-width:14rem;overflow-wrap:anywhere}"
    ".interval{display:block;width:100%;height:14px;margin:.25rem 0}"
    ".token{font:.95em ui-monospace,SFMono-Regular,Menlo,Consolas,'Noto Sans Mono',monospace;white-space:pre;"
    "background:color-mix(in srgb,var(--soft) 14%,transparent);border-radius:3px;padding:.08em .1em}"
    ".token.relevant{background:color-mix(in srgb,var(--good) 28%,transparent)}.key.relevant{color:var(--good)}"
    "td:nth-child(2){white-space:nowrap}"
    ".snippet{margin:0 0 .15rem;unicode-bidi:isolate;overflow-wrap:anywhere}"
    "mark{background:rgb(var(--heat)/.32);color:inherit;border-radius:3px;padding:0 .15em;white-space:pre-wrap}"
    "s{color:var(--soft)}.places details{margin:.1rem 0}.places summary{font-size:.82rem}"
    ".pass{color:var(--good)}.fail,.warn{color:var(--bad);font-weight:650}.skip{color:var(--soft)}"
    ".hash{font:.78rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--soft);overflow-wrap:anywhere;"
    "min-width:9rem}li .hash{margin-left:.5em}"
    "#files ul{padding-left:1.2rem;font-size:.88rem;overflow-wrap:anywhere}"
    "dl{display:grid;grid-template-columns:minmax(8rem,auto) 1fr;gap:.1rem 1rem;font-size:.86rem}"
    "dt{color:var(--soft);overflow-wrap:anywhere}dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}\n";

static const char plots[] =
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(21rem,100%),1fr));gap:1rem}"
    ".two{grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr))}"
    "figure{margin:.4rem 0;min-width:0}figcaption{font-size:.86rem;color:var(--soft)}"
    ".plot{display:block;width:100%;max-width:620px;height:auto}"
    ".plot text{font:11.5px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--soft)}"
    ".plot .mid{text-anchor:middle}.plot .end{text-anchor:end}.plot text.label{fill:var(--ink);white-space:pre}"
    ".plot text.value{fill:var(--ink);font-size:10.5px;paint-order:stroke;stroke:var(--page);stroke-width:3px}"
    ".grid{stroke:var(--rule);stroke-width:1}.axis,.tick{stroke:var(--soft);stroke-width:1}"
    ".line{fill:none;stroke-width:1.8;stroke-linejoin:round}.band{stroke:none;opacity:.16}"
    ".bar{stroke-width:5;stroke-linecap:round;opacity:.35;fill:none}"
    ".line.base{stroke:var(--base)}.point.base{fill:var(--base)}"
    ".line.ft,.bar.ft{stroke:var(--ft)}.line.n1,.bar.n1{stroke:var(--n1)}.line.n2,.bar.n2{stroke:var(--n2)}"
    ".line.n3,.bar.n3{stroke:var(--n3)}.line.n4,.bar.n4{stroke:var(--n4)}"
    ".line:not(.ft){stroke-dasharray:5 3}.mark{fill:none;stroke-width:1.2;opacity:.8}.mark.median{stroke-dasharray:1.5 2.5}"
    ".mark.base{stroke:var(--base)}.mark.ft{stroke:var(--ft)}.mark.n1{stroke:var(--n1)}.mark.n2{stroke:var(--n2)}"
    ".mark.n3{stroke:var(--n3)}.mark.n4{stroke:var(--n4)}"
    ".band.ft,.fill.ft,.point.ft{fill:var(--ft)}.band.n1,.fill.n1,.point.n1{fill:var(--n1)}"
    ".band.n2,.fill.n2,.point.n2{fill:var(--n2)}.band.n3,.point.n3{fill:var(--n3)}.band.n4,.point.n4{fill:var(--n4)}"
    ".point.none{fill:var(--page);stroke:var(--soft);stroke-width:1.3}\n";

static const char texts[] =
    ".text{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.7rem 1rem;margin:.7rem 0}"
    ".tokens{position:relative;margin:.3rem 0 .1rem;line-height:1.85;white-space:pre-wrap;overflow-wrap:anywhere;"
    "unicode-bidi:isolate}"
    ".tokens i,.legend i{font-style:normal;border-radius:2px;background:rgb(var(--heat)/calc(var(--f)*var(--deep)))}"
    ".tokens i{padding:.12em 0;cursor:default}.tokens i.c{background:rgb(var(--cold)/calc(var(--f)*var(--deep)))}"
    ".by-null:checked~* .tokens i,.by-null:checked~.text .tokens i,.by-null:checked~.legend i"
    "{background:rgb(var(--cold)/calc(var(--n)*var(--deep)))}"
    ".tokens i:hover,.tokens i:focus,.chips i:hover,.chips i:focus{outline:2px solid var(--ink);outline-offset:0}"
    ".tokens i:hover::after,.tokens i:focus::after,.chips i:hover::after,.chips i:focus::after{content:attr(data-t);position:absolute;z-index:2;left:0;right:0;"
    "max-width:40rem;margin-top:1.95em;padding:.5rem .75rem;background:var(--ink);color:var(--page);border-radius:6px;"
    "font-size:.84rem;line-height:1.5;white-space:pre-wrap;pointer-events:none;text-align:left;direction:ltr}"
    ".tokens:has(i:hover) i:focus:not(:hover)::after,.chips:has(i:hover) i:focus:not(:hover)::after{content:none}"
    ".far{display:none}.whole:checked~.tokens .far{display:inline}.whole:checked~.tokens .gap{display:none}"
    ".gap{color:var(--soft)}.whole~label,.text input{font-size:.86rem;color:var(--soft)}"
    ".heat{font-style:normal;border-radius:3px;padding:.1em .3em;background:rgb(var(--heat)/calc(var(--f)*var(--deep)))}"
    "u{text-decoration-color:var(--soft);text-underline-offset:.2em}"
    ".peaks td.places{width:40%}.peaks .likely{min-width:9.5rem}.peaks .likely span{white-space:nowrap}"
    ".answer{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.7rem 1rem;min-width:0}"
    ".who{margin:0;font-size:.88rem;font-weight:600;color:var(--soft)}"
    ".said{margin:.3rem 0 0;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}.cut{color:var(--soft)}"
    ".asked{max-width:46rem}label{margin-right:.8em}\n";

static const char lists[] =
    "summary.heading{font-size:1.08rem;font-weight:bold;margin-top:1.4rem}"
    ".chips{position:relative;line-height:1.75}"
    ".chips i{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,'Noto Sans Mono',monospace;white-space:pre;"
    "border-radius:3px;padding:.1em .12em;cursor:default;unicode-bidi:isolate;display:inline-block;max-width:11em;"
    "overflow:hidden;text-overflow:ellipsis;vertical-align:bottom;"
    "background:rgb(var(--heat)/calc(.06 + var(--f)*var(--deep)))}"
    ".chips i::after{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"
    ".against i{background:rgb(var(--cold)/calc(.06 + var(--f)*var(--deep)))}"
    ".chips i.x{background:none;color:var(--soft)}tr.x td,tr.x .token{color:var(--soft)}"
    ".one{display:none}.lists th.num{width:5rem}.lists tbody th{vertical-align:top;padding-top:.5rem}.lists td{width:50%}.lists td:nth-child(2){white-space:normal}"
    ".components .more{font-size:.82rem;color:var(--soft)}.components td.chips{width:32%;min-width:13rem;white-space:normal}"
    ".steered td:first-child{white-space:nowrap}.steered td.answered{width:42%;white-space:normal;overflow-wrap:anywhere;"
    "unicode-bidi:isolate}\n";

static const char small[] =
    "@media(max-width:520px){main{padding:1rem .8rem 3rem}h1{font-size:1.5rem}h2{font-size:1.25rem}"
    ".cards{grid-template-columns:1fr 1fr}.card{padding:.6rem .7rem}.card .value{font-size:1.35rem}.card .words{font-size:1rem}"
    "dl{grid-template-columns:1fr}dd{margin:0 0 .4rem}.text,.answer{padding:.6rem .7rem}"
    ".plot text{font-size:14px}}\n"
    "@media(max-width:900px){.ranked thead,.ranked tbody{display:block}"
    ".ranked tr{display:flex;flex-wrap:wrap;border-bottom:1px solid var(--rule);padding:.3rem 0}"
    ".ranked td,.ranked th{border:0;padding:.15rem .3rem}"
    ".ranked th.places{display:none}.ranked .rank{width:2.4rem;flex:none}.ranked .wide,.ranked .diff{flex:none;"
    "width:6.5rem}"
    ".ranked .what{flex:1 1 4rem;overflow:hidden}.ranked .rate{flex:none;width:6.4rem;white-space:normal;"
    "overflow-wrap:anywhere}.ranked td.places{flex:1 0 100%;min-width:0;width:auto}}\n"
    "@media(max-width:760px){.peaks thead{display:none}.peaks,.peaks tbody{display:block}"
    ".peaks tr{display:flex;flex-wrap:wrap;border-bottom:1px solid var(--rule);padding:.3rem 0}"
    ".peaks td{border:0;padding:.1rem .4rem .1rem 0}.peaks td.places,.peaks td.likely{flex:1 0 100%;min-width:0;width:auto}"
    ".peaks [data-l]::before{content:attr(data-l) ': ';color:var(--soft)}}\n"
    "@media(max-width:620px){.ranked .wide,.ranked .diff{display:none}"
    ".id,.fold thead{display:none}.fold,.fold tbody{display:block}"
    ".fold tr{display:flex;flex-wrap:wrap;border-bottom:1px solid var(--rule);padding:.2rem 0}"
    ".fold td{border:0;padding:.1rem .6rem .1rem 0}.fold [data-l]::before{content:attr(data-l) ' ';color:var(--soft)}"
    ".fold td.detail,.fold td.hash,.fold td.chips{flex:1 0 100%;min-width:0}"
    ".lists,.lists tbody{display:block}.lists thead{display:none}.lists tr,.lists th,.lists td{display:block;width:auto;border:0}"
    ".lists tr{border-bottom:1px solid var(--rule);padding:.3rem 0}.lists th.num{width:auto;text-align:left;padding:.1rem 0}"
    ".lists th.num::before{content:'position '}.lists td{padding:.1rem 0}.lists td.for::before{content:'for '}"
    ".lists td.against::before{content:'against '}.lists td::before{color:var(--soft);font-size:.82rem}}\n"
    "@media print{:root{--page:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#ccc;--base:#666;--ft:#b34700;"
    "--n1:#1f5f9f;--heat:226 92 10;--deep:.6}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}body{font-size:10pt}main{max-width:none;padding:0}"
    "nav,input,label,.choose{display:none}.scroll{overflow:visible}figure,.card,.answer,tr{break-inside:avoid}"
    "h2,h3,h4,.legend,.lead{break-after:avoid}.hash{font-size:6pt}}\n";

void dk_page_style(dk_html *h)
{
    dk_html_open(h, "style");
    dk_html_raw(h, colours);
    dk_html_raw(h, frame);
    dk_html_raw(h, tables);
    dk_html_raw(h, plots);
    dk_html_raw(h, texts);
    dk_html_raw(h, lists);
    for (int i = 0; i < 16; i++)
        dk_html_textf(h, "%s.by-c%d:checked~.c%d", i ? "," : "", i, i);
    dk_html_raw(h, "{display:block}");
    for (int i = 0; i < 10; i++)
        dk_html_textf(h, ".f%d{--f:%.3f}.n%d{--n:%.3f}", i, i / 9.0, i, i / 9.0);
    dk_html_raw(h, small);
    dk_html_close(h);
}

void dk_page_style_svg(dk_html *h)
{
    dk_html_open(h, "style");
    dk_html_raw(h, colours);
    dk_html_raw(h, plots);
    dk_html_raw(h, ".plot text.letters{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
                   "fill:var(--ink);white-space:pre}.paper{fill:var(--page)}.plot text.heading{font-size:14px;font-weight:600;fill:var(--ink)}");
    dk_html_close(h);
}
