#!/bin/sh
# Installs berth from a broker, and joins this user's machine to it:
#
#     sh install.sh CODE [OPTION...]      options are those of `berth agent --join`
#
# It needs no root. The program becomes ~/.local/bin/berth, or berth in $BERTH_DIR. What is downloaded is
# run only if its sha256 is the one that is written here.
set -eu

url=@URL@
pin=@PIN@
sum_x86_64=@x86_64@
sum_aarch64=@aarch64@

say() { printf 'berth: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# What is fetched is held against its sum, so a certificate that no authority vouches for adds no risk here.
fetch() { # path file
    if command -v curl >/dev/null; then
        curl -fsS ${pin:+-k} -o "$2" "$url$1"
    elif command -v wget >/dev/null; then
        wget -q ${pin:+--no-check-certificate} -O "$2" "$url$1"
    else
        die "neither curl nor wget is here: install one of them"
    fi
}

sum_of() { # file
    if command -v sha256sum >/dev/null; then
        sha256sum "$1"
    elif command -v shasum >/dev/null; then
        shasum -a 256 "$1"
    elif command -v openssl >/dev/null; then
        openssl dgst -sha256 -r "$1"
    else
        die "none of sha256sum, shasum and openssl is here, so the download cannot be checked"
    fi
}

# The architecture in $arch, the sum that is wanted in $sum.
choose() {
    [ "$(uname -s)" = Linux ] || die "berth runs on Linux, and this is $(uname -s)"
    case $(uname -m) in
    x86_64 | amd64) arch=x86_64 sum=$sum_x86_64 ;;
    aarch64 | arm64) arch=aarch64 sum=$sum_aarch64 ;;
    *) die "berth is built for x86_64 and aarch64, and this machine is $(uname -m)" ;;
    esac
    [ -n "$sum" ] || die "the broker at $url has no berth for $arch; its owner can put berth-$arch beside its own"
}

install() {
    dir=${BERTH_DIR:-${HOME:?}/.local/bin}
    mkdir -p "$dir" || die "cannot make $dir; name another place in BERTH_DIR"
    new=$dir/.berth.$$
    trap 'rm -f "$new"' EXIT
    trap 'exit 1' HUP INT TERM
    (: >"$new") || die "cannot write to $dir; name another place in BERTH_DIR"
    fetch "/api/agent/download?arch=$arch" "$new" || die "the download from $url failed"
    got=$(sum_of "$new")
    [ "${got%% *}" = "$sum" ] || die "what was downloaded is not what the broker has: its sha256 is ${got%% *}, not $sum"
    chmod 755 "$new"
    "$new" --version >/dev/null || die "programs in $dir cannot be run (mounted noexec?); name another place in BERTH_DIR"
    mv -f "$new" "$dir/berth"
    trap - EXIT HUP INT TERM
}

main() {
    case ${1:-} in
    "" | -*) die "no code; a line with one is on the broker's page: $url" ;;
    esac
    code=$1
    shift
    choose
    install
    say "installed $("$dir/berth" --version) as $dir/berth"
    case :$PATH: in *:"$dir":*) ;; *) say "$dir is not in your PATH" ;; esac
    say "joining; it stays in the foreground, and from now on needs no code: $dir/berth agent --join $url"
    exec "$dir/berth" agent --join "$url" --code "$code" ${pin:+--pin "$pin"} "$@" </dev/null
}

# Last, so that nothing is done where only a part of this has arrived.
main "$@"
