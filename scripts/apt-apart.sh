#!/bin/sh
# An apt beside the system's, to be sourced: its lists, state and cache are below the folder $apt, it
# installs nothing, and what it downloads comes from the Debian mirror that this machine's own apt uses,
# verified by Debian's keys.
# $apt_for: the architectures that it knows; none: those of this machine.
# shellcheck disable=SC2154 # $apt is the caller's

# The main archive of this machine's own release; its pool holds every suite's packages.
debian_mirror() {
    # shellcheck disable=SC2016 # apt's placeholder, not ours
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $(debian_codename)" \
        'Component: main' | head -n 1
}

debian_codename() {
    # shellcheck disable=SC1091 # the system's own file
    . /etc/os-release && printf %s "$VERSION_CODENAME"
}

apt_apart() { # apt-get|apt-cache WORD...
    command="$1"
    shift
    for arch in ${apt_for:-}; do set -- -o APT::Architectures::="$arch" "$@"; done
    "$command" -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State="$apt" -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" \
        -o APT::Sandbox::User= "$@" 2>>"$apt/log"
}

# Reads, once, the lists of each argument, "TYPE SUITE [OPTION]...": deb or deb-src, a suite's name, and
# what sources.list(5) has as options. 1 when that failed: $apt/log says why.
apt_apart_ready() {
    [ ! -e "$apt/ready" ] || return 0
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    uri=$(debian_mirror)
    [ -n "$uri" ] || { echo "no Debian mirror in apt's configuration" >"$apt/log"; return 1; }
    printf '%s\n' "$@" | while read -r type suite options; do
        keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        echo "$type [signed-by=$keyring${options:+ $options}] $uri $suite main"
    done >"$apt/sources.list"
    # Without the mode, an update that reached nobody counts as one that went well.
    apt_apart apt-get update -o APT::Update::Error-Mode=any >>"$apt/log" || return 1
    touch "$apt/ready"
}
