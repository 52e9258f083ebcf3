#!/bin/bash
# tests/check-fresh.sh [SUITE...]: the proof of the two commands.  Makes a
# minimal Debian root of each suite (bookworm and trixie) from this machine's
# own apt sources, copies in a clone of HEAD, and runs `make demo` and `make
# check` there.  Needs root and debootstrap.  What the machine knows of its
# network goes with it: apt's options, name resolution, certificates, pip's
# configuration and the local indexes that it names.
#
# FRESH_RUN replaces the commands; FRESH_DIR is where roots are made (and kept
# if FRESH_KEEP is set); logs stay in build/fresh/SUITE.log.
set -eu
cd "$(dirname "$0")/.."
top=$PWD
say() { printf 'check-fresh: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root (debootstrap and chroot)"
for t in debootstrap unshare git; do command -v $t > /dev/null || die "$t is missing"; done
# A mount namespace of its own: whatever happens, no mount stays behind.
if [ -z "${FRESH_NS:-}" ]; then exec env FRESH_NS=1 unshare -m --propagation private "$0" "$@"; fi

suites=${*:-bookworm trixie}
dir=${FRESH_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/dk-fresh.XXXXXX")}
logs=$top/build/fresh
mkdir -p "$logs" "$dir"

# The mirror and keyring of the source that carries this machine's own release.
# Prints URI and keyring ("-" if none is named).
apt_source() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    {
        cat /etc/apt/sources.list.d/*.sources 2> /dev/null
        # One-line entries in the same form.
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2> /dev/null |
            sed -nE 's/^deb +(\[[^]]*\])? *([^ ]+) +([^ ]+) .*/\1 \2 \3/p' |
            while read -r line; do
                key=$(sed -nE 's/.*signed-by=([^] ,]+).*/\1/p' <<< "$line")
                set -- ${line##*\]}
                printf '\nTypes: deb\nURIs: %s\nSuites: %s\n%s\n' "$1" "$2" "${key:+Signed-By: $key}"
            done
    } | awk -v want="$codename" '
        function done() { if (uri != "" && hit && deb) { print uri, key == "" ? "-" : key; exit }
                          uri = key = ""; hit = deb = 0 }
        /^[ \t]*$/ { done(); next }
        /^#/ { next }
        /^Types:/ { deb = / deb( |$)/ }
        /^URIs:/ { uri = $2 }
        /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == want) hit = 1 }
        /^Signed-By:/ { key = $2 }
        END { done() }'
}

# Folders that pip is told to look into: find-links and file: indexes.
pip_folders() {
    { python3 -m pip config list 2> /dev/null; env | grep '^PIP_' || true; } |
        grep -Ei 'find.links|index.url' | grep -oE "(file://)?/[^ '\",]+" | sed 's|^file://||' |
        while read -r p; do
            [ -d "$p" ] && printf '%s\n' "$p"
            # An index's pages may point beside its folder.
            [ -d "$p" ] && [ "${p##*/}" = simple ] && dirname "$p"
        done | sort -u
}

prepare() {     # ROOT SUITE
    local root=$1 suite=$2 uri key f
    read -r uri key < <(apt_source) || die "cannot tell this machine's Debian mirror from /etc/apt"
    [ "$key" = - ] && key=/usr/share/keyrings/debian-archive-keyring.gpg
    say "$suite: debootstrap"
    debootstrap --variant=minbase ${key:+--keyring="$key"} "$suite" "$root" "$uri" > "$logs/$suite.debootstrap" 2>&1 ||
        die "debootstrap of $suite failed; see $logs/$suite.debootstrap"
    install -D -m 644 "$key" "$root$key"
    printf 'deb [signed-by=%s] %s %s main\n' "$key" "$uri" "$suite" > "$root/etc/apt/sources.list"
    apt-config dump | grep '^Acquire::' > "$root/etc/apt/apt.conf.d/90machine" || true
    for f in /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/pip.conf /root/.config/pip /root/.pip; do
        [ -e "$f" ] && mkdir -p "$root${f%/*}" && cp -rL "$f" "$root${f%/*}/"
    done
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        mkdir -p "$root/etc/ssl/certs"
        cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/machine.crt"
        cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    fi
    [ -d /usr/local/share/ca-certificates ] && mkdir -p "$root/usr/local/share" &&
        cp -rL /usr/local/share/ca-certificates "$root/usr/local/share/"
    git clone -q "$top" "$root/dk"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    pip_folders | while read -r f; do
        mkdir -p "$root$f"
        mount --bind -o ro "$f" "$root$f"
    done
}

clean() {       # ROOT
    local m
    # Deepest first; lazily, since something inside may still be ending.
    awk -v root="$1/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r m; do umount -l "$m" || true; done
    # Nothing that is still mounted may be touched.
    if grep -q " $1/" /proc/mounts; then
        say "something is still mounted below $1; it stays"
    elif [ -z "${FRESH_KEEP:-}" ]; then
        rm -rf --one-file-system "$1"
    fi
}

inside() {      # ROOT COMMAND...: with a bare environment and the machine's network
    local root=$1 keep=()
    shift
    while IFS= read -r v; do keep+=("$v"); done < <(env | grep -E '^(PIP_[A-Z_]+|(http|https|no|HTTP|HTTPS|NO)_(proxy|PROXY))=')
    if [ -f "$root/etc/ssl/machine.crt" ]; then
        keep+=(PIP_CERT=/etc/ssl/machine.crt SSL_CERT_FILE=/etc/ssl/machine.crt)
    fi
    chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${keep[@]}" "$@"
}

status=0
report=()
for suite in $suites; do
    root=$dir/$suite log=$logs/$suite.log
    prepare "$root" "$suite"
    trap 'clean "$root"' EXIT
    t0=$SECONDS
    # make is what the two commands are given to; nothing else is there.
    inside "$root" bash -c 'apt-get update -qq && apt-get install -qq -y --no-install-recommends make > /dev/null' > "$log" 2>&1 ||
        die "$suite: apt does not work inside; see $log"
    say "$suite: ${FRESH_RUN:-make demo, make check} (log: $log)"
    if inside "$root" bash -c "cd /dk && ${FRESH_RUN:-make demo && echo DEMO OK && make check}" >> "$log" 2>&1; then
        verdict=ok
    else
        verdict=FAILED status=1
    fi
    versions=$(inside "$root" bash -c 'gcc -dumpfullversion; make -v | sed -n "1s/.* //p"
        for p in libdnnl-dev libhdf5-dev bats; do dpkg-query -W -f "\${Package} \${Version}\n" $p; done' 2> /dev/null |
        tr '\n' ' ' || true)
    demo=$(grep -c '^DEMO OK$' "$log" || true)
    report+=("$suite: $verdict, $((SECONDS - t0)) s; demo $([ "$demo" = 1 ] && echo ok || echo '-'); $(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1); gcc and make $versions")
    [ $verdict = ok ] || tail -n 20 "$log" >&2
    clean "$root"
    trap - EXIT
done
[ -n "${FRESH_KEEP:-}" ] || rmdir "$dir" 2> /dev/null || true
printf '%s\n' "${report[@]}"
exit $status
