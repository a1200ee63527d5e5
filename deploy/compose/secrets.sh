#!/usr/bin/env bash
# Makes the passwords and keys of docker-compose.yml, once: what is there already stays. Needs openssl and ssh-keygen.
# usage: deploy/compose/secrets.sh [FOLDER]
set -euo pipefail
umask 077
folder="${1:-"$(dirname "${BASH_SOURCE[0]}")/secrets"}"
mkdir -p "$folder"
cd "$folder"

password() { [ -s "$1" ] || openssl rand -hex 24 | tr -d '\n' >"$1"; }
key() { [ -s "$1" ] || ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$1" </dev/null; }

password mqtt-password
password amqp-password
password grafana-admin
key sftp-key
key sftp-host-key
[ -e prometheus-key ] || : >prometheus-key    # keys.sh fills it in

# mosquitto's own form: PBKDF2 with SHA-512
if [ ! -s mqtt-passwords ]; then
    salt=$(openssl rand -hex 12)    # mosquitto 2.0 wants 12 bytes
    hash=$(openssl kdf -keylen 64 -kdfopt digest:SHA512 -kdfopt "pass:$(cat mqtt-password)" \
        -kdfopt "hexsalt:$salt" -kdfopt iter:10000 -binary PBKDF2 | openssl base64 -A)
    printf 'crossplant:$7$10000$%s$%s\n' "$(printf '%b' "$(sed 's/../\\x&/g' <<<"$salt")" | openssl base64 -A)" "$hash" \
        >mqtt-passwords
fi

# RabbitMQ's: base64(salt + SHA-256(salt + password)), salt of 4 bytes
if [ ! -s amqp-definitions.json ]; then
    openssl rand 4 >salt
    hash=$({ cat salt; cat salt amqp-password | openssl dgst -sha256 -binary; } | openssl base64 -A)
    rm salt
    cat >amqp-definitions.json <<JSON
{
  "users": [{"name": "crossplant", "password_hash": "$hash", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []}],
  "vhosts": [{"name": "/"}],
  "permissions": [{"user": "crossplant", "vhost": "/", "configure": "", "write": "^amq\\\\.default$", "read": "^erp\\\\.orders$"}],
  "queues": [
    {"name": "erp.orders", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}},
    {"name": "erp.confirmations", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}},
    {"name": "erp.advices", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}}
  ]
}
JSON
fi

# The folder is its owner's alone. The files in it are mounted one by one into containers whose users have other
# numbers, so they are readable; prometheus-key is written to later.
chmod 0444 ./*
chmod 0644 prometheus-key
chmod 0700 .
echo "secrets are in $PWD" >&2
