/* The same shapes in llama.cpp, for `make bench`: the addon of npm's node-llama-cpp, without its wrapper.
 *
 * usage: node peer_llama.cjs FOLDER NAME MODEL.gguf [SHARE]
 * FOLDER holds llama-addon.node (node_modules/@node-llama-cpp/linux-x64/bins/linux-x64).
 * One line a measurement: NAME-WHAT SHAPE RATE, minimum of several runs. */
const path = require('path');
const os = require('os');

const [folder, name, file, share = '0.25'] = process.argv.slice(2);
const addon = require(path.join(folder, 'llama-addon.node'));
const VOCAB = 49000, PROMPT = 64, STEPS = 32, REPEATS = 2;

function ids(n, seed) {
    const out = new Uint32Array(n);
    for (let i = 0, s = seed; i < n; i++) {
        s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
        out[i] = s % VOCAB;
    }
    return out;
}

async function context(model, size, batch, sequences) {
    const c = new addon.AddonContext(model, { contextSize: size, batchSize: batch, sequences, threads: os.cpus().length,
                                              flashAttention: true, logitsAll: false });
    if (!await c.init())
        throw new Error('no context');
    return c;
}

const all = (n) => Uint32Array.from({ length: n }, (_, i) => i);

/* n sequences of len tokens, in batches of 512 tokens. */
async function pass(model, n, len, logits) {
    const per = Math.max(1, Math.floor(512 / len));
    const c = await context(model, per * Math.max(len, 32) * 2, Math.max(512, len), per);
    let best = 1e9;

    for (let r = 0; r < REPEATS; r++) {
        const t0 = process.hrtime.bigint();

        for (let first = 0; first < n; first += per) {
            const here = Math.min(per, n - first);

            c.initBatch(here * len);
            for (let s = 0; s < here; s++)
                c.addToBatch(s, 0, ids(len, first + s + 1), logits ? all(len) : new Uint32Array([len - 1]));
            await c.decodeBatch();
            for (let s = 0; s < here; s++)
                c.disposeSequence(s);
        }
        best = Math.min(best, Number(process.hrtime.bigint() - t0) * 1e-9);
    }
    console.log(`${name}-${logits ? 'logits' : 'blocks'}\t${n}x${len}\t${(n * len / best).toFixed(1)}`);
    await c.dispose();
}

/* n sequences go on for STEPS tokens (any tokens: the work is the same). */
async function decode(model, n) {
    const c = await context(model, n * (PROMPT + STEPS) * 2, Math.max(512, n), n);
    let best = 1e9;

    for (let r = 0; r < REPEATS; r++) {
        for (let s = 0; s < n; s++) {
            c.initBatch(PROMPT);
            c.addToBatch(s, 0, ids(PROMPT, s + 1), new Uint32Array([PROMPT - 1]));
            await c.decodeBatch();
        }
        const t0 = process.hrtime.bigint();

        for (let k = 0; k < STEPS; k++) {
            c.initBatch(n);
            for (let s = 0; s < n; s++)
                c.addToBatch(s, PROMPT + k, ids(1, 7 * k + s), new Uint32Array([0]));
            await c.decodeBatch();
        }
        best = Math.min(best, Number(process.hrtime.bigint() - t0) * 1e-9);
        for (let s = 0; s < n; s++)
            c.disposeSequence(s);
    }
    console.log(`${name}-decode\t${n}\t${(n * STEPS / best).toFixed(1)}`);
    await c.dispose();
}

async function main() {
    addon.setLogger(() => {});
    addon.setLoggerLogLevel(1);
    addon.loadBackends();
    addon.loadBackends(folder);
    await addon.init();
    const model = new addon.AddonModel(file, { addonExports: addon, gpuLayers: 0, useMmap: true });

    if (!await model.init())
        throw new Error('no model');
    const f = Number(share);
    const cut = (n) => Math.max(1, Math.floor(n * f));

    await decode(model, 32);
    await decode(model, 1);
    for (const [n, len] of [[8, 512], [64, 64], [819, 5]]) {
        await pass(model, cut(n), len, true);
        await pass(model, cut(n), len, false);
    }
    process.exit(0);
}

main().catch((e) => {
    console.error(`llama.cpp: ${e.message}`);
    process.exit(1);
});
