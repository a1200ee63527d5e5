#!/usr/bin/env bash
# Makes the hub's API keys: one for you, printed once, and one for Prometheus. Once, while the hub runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
create() { docker compose exec --no-TTY hub crossplant keys create "$@" --data /var/lib/crossplant; }

[ -s deploy/compose/secrets/prometheus-key ] || create prometheus --role monitor >deploy/compose/secrets/prometheus-key
create "${1:-"$(id -un)"}" --role admin
