#!/usr/bin/env bash
# Makes .venv agree with requirements.lock and pyproject.toml. Quiet: progress goes to stderr, details to
# .venv/setup.log. Costs a few milliseconds when there is nothing to do.
#
# PYTHON names the interpreter to use; without it the first of python3, python3.14 … python3.11 that fits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$PWD/.venv
stamp=$venv/.stamp

say() { printf '%s\n' "$*" >&2; }

# What the environment was made of: content, not timestamps, so that a checkout or a moved folder is noticed.
wanted() {
    printf '%s\n' "$venv"
    sha256sum requirements.lock pyproject.toml scripts/setup.sh
}

up_to_date() {
    [[ -x $venv/bin/crossplant && -f $stamp && "$(cat "$stamp")" == "$(wanted)" ]]
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "Python 3.11 or later is needed and was not found. Install it, or name it: make PYTHON=/path/to/python3"
    return 1
}

# Debian splits ensurepip off into python3-venv.
ensure_venv_module() {
    if "$1" -c 'import ensurepip, venv' 2>/dev/null; then return; fi
    if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
        say "$1 cannot make virtual environments. On Debian, as root: apt-get install python3-venv"
        return 1
    fi
    say "installing python3-venv …"
    scripts/apt.sh python3-venv
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        say "python3-venv is installed, yet $1 still lacks ensurepip; name another interpreter with PYTHON=…"
        return 1
    fi
}

logged() {
    if ! "$@" >>"$venv/setup.log" 2>&1; then
        say "failed: $*"
        tail -n 30 "$venv/setup.log" >&2
        return 1
    fi
}

usable() {
    [[ -x $venv/bin/pip ]] && "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.prefix != sys.argv[1])' "$venv" 2>/dev/null
}

build() {
    local python
    python=$(find_python)
    ensure_venv_module "$python"
    say "setting up the environment (first time, or when the lock changes) …"
    rm -f "$stamp"
    # A half-made environment, or one that was made elsewhere, is made anew.
    if ! usable; then
        "$python" -m venv --clear "$venv" >&2
    fi
    : >"$venv/setup.log"
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input)
    logged "${pip[@]}" install --require-hashes --only-binary=:all: -r requirements.lock
    logged "${pip[@]}" install --no-deps --no-build-isolation -e .
    wanted >"$stamp"
}

if up_to_date; then exit 0; fi
# Two makes at once: one builds, the other waits for it. Any file that stays will do as the lock.
exec 9<scripts/setup.sh
flock 9
if up_to_date; then exit 0; fi
build
