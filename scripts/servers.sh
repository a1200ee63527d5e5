#!/usr/bin/env bash
# Brings in the real servers that the tests talk to: through apt when root. Says on stderr what is missing
# and stays with exit code 0: the tests then report what was not run, or fail, as CROSSPLANT_REQUIRE_SERVICES says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin # where Debian puts servers
peers=tests/peers

say() { printf '%s\n' "$*" >&2; }

has() { command -v "$1" >/dev/null; }

can_apt() { [[ $(id -u) -eq 0 ]] && has apt-get; }

# A package's own service stays off, now and after a reboot: the tests start servers of their own.
keep_off() {
    local unit=$1
    if has systemctl; then
        systemctl disable --quiet "$unit" 2>/dev/null || true
        systemctl disable --quiet "$unit.socket" 2>/dev/null || true
    fi
    if has update-rc.d; then update-rc.d "$unit" disable 2>/dev/null || true; fi
}

# server PROGRAM PACKAGE [SERVICE…]: makes sure that the program is there.
server() {
    local program=$1 package=$2 service
    if has "$program"; then return; fi
    if ! can_apt; then
        say "missing for the tests: $program. On Debian, as root: apt-get install $package"
        return
    fi
    say "installing $package for the tests (first time only) …"
    if ! scripts/apt.sh "$package"; then
        say "missing for the tests: $program; apt-get could not install $package"
        return
    fi
    for service in "${@:3}"; do keep_off "$service"; done
}

# Peers from npm, exactly as in package-lock.json.
npm_peers() {
    if ! has node || ! has npm; then return; fi
    local stamp=$peers/node_modules/.stamp wanted log
    wanted=$(cd "$peers" && sha256sum package.json package-lock.json)
    if [[ -f $stamp && "$(cat "$stamp")" == "$wanted" ]]; then return; fi
    say "installing the npm peers for the tests (first time only) …"
    log=$(mktemp)
    if (cd "$peers" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$log" 2>&1 </dev/null; then
        printf '%s\n' "$wanted" >"$stamp"
    else
        tail -n 20 "$log" >&2
        say "missing for the tests: the npm peers; npm ci failed in $peers"
    fi
    rm -f "$log"
}

# Two makes at once: the second waits.
exec 9<scripts/servers.sh
flock 9
server mosquitto mosquitto mosquitto
server mosquitto_pub mosquitto-clients
server rabbitmq-server rabbitmq-server rabbitmq-server epmd
server curl curl
server faketime faketime
server promtool prometheus prometheus prometheus-node-exporter
server fusermount3 fuse3
server sftp openssh-client
server sshd openssh-server ssh
server chromium chromium
server node nodejs
server npm npm
npm_peers
