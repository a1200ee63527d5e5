#!/usr/bin/env bash
# Installs Debian packages as root, quietly, and leaves no service of theirs running or enabled.
# usage: scripts/apt.sh PACKAGE…
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made_policy=
cleanup() {
    rm -f "$log"
    if [[ -n $made_policy ]]; then rm -f "$policy"; fi
}
trap cleanup EXIT

# While packages are configured, policy-rc.d is Debian's own switch against starting their services.
if [[ ! -e $policy ]]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

install_packages() {
    apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null
}

# The package lists may be missing or old: fetch them when the first try fails.
if ! install_packages "$@"; then
    apt-get update -qq >>"$log" 2>&1 </dev/null || true
    if ! install_packages "$@"; then
        tail -n 20 "$log" >&2
        exit 1
    fi
fi
