#!/usr/bin/env bash
# Webhook ingest on loopback: signed pull_request deliveries, each stored on disk before it is answered.
#
#   bench/webhook/run.sh [DIR]      DIR: where the store lives (default: a temporary folder on this disk)
#
#   BENCH_SECS   seconds a round (6)      BENCH_CONNS   connections (32)      BENCH_ROUNDS   rounds, interleaved (3)
#   GODWIT       the binary (target/release/godwit)
#   PROBOT       a folder with node_modules/probot (npm install probot@14 there): the same beside that framework's server
#   GODWIT_TEST_WEBHOOK_EXAMPLES   the unpacked npm package @octokit/webhooks-examples (else where scripts/test puts it)
#
# Servers: `floor` (axum, signature check, nothing stored), `godwit` (release build, `--role web`), and
# `sync` is what the disk can do at all: appends of 4 KiB, each made durable, one after the other.
# Each server must accept the right signature and refuse a wrong one, else it is not timed. After each round the store
# must hold exactly as many deliveries as were answered 2xx. Needs wrk, openssl, curl, node, sqlite3.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/godwit-bench.XXXXXX")
pids=()
trap 'for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; done; rm -rf "$work"' EXIT

for tool in wrk openssl curl node sqlite3; do command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 1; }; done
godwit=${GODWIT:-$root/target/release/godwit}
[ -x "$godwit" ] || { echo "no $godwit: run cargo build --release" >&2; exit 1; }
examples=${GODWIT_TEST_WEBHOOK_EXAMPLES:-$root/.servers/npm/node_modules/@octokit/webhooks-examples}
[ -d "$examples" ] || examples=$(dirname "$(dirname "$examples")") # the variable may also name a file of the package
export GODWIT_WEBHOOK_SECRET=bench-secret
export BODY=$work/body.json

node -e '
const all = require(process.argv[1] + "/api.github.com/index.json");
const one = all.find((e) => e.name === "pull_request").examples.find((e) => e.action === "opened" && e.installation);
require("fs").writeFileSync(process.argv[2], JSON.stringify(one));' "$examples" "$BODY"
SIGNATURE=$(openssl dgst -sha256 -hmac "$GODWIT_WEBHOOK_SECRET" <"$BODY" | awk '{print $NF}')
export SIGNATURE

CARGO_TARGET_DIR=${FLOOR_TARGET_DIR:-$root/target/floor} cargo build --quiet --release --manifest-path "$here/floor/Cargo.toml"

start() { # name, command...: starts a server and waits for the line with its address
  local name=$1; shift
  "$@" >"$work/$name.out" 2>"$work/$name.log" &
  pids+=($!); eval "pid_$name=$!"
  for _ in $(seq 200); do grep -q http:// "$work/$name.out" && break; kill -0 $! || { cat "$work/$name.log" >&2; exit 1; }; sleep 0.05; done
  eval "url_$name=$(grep -o 'http://[0-9.:]*' "$work/$name.out")/github/webhook"
}

post() { # url, signature, delivery
  curl -s -o /dev/null -w '%{http_code}' -m 10 -X POST "$1" -H 'Content-Type: application/json' -H 'X-GitHub-Event: pull_request' \
    -H "X-GitHub-Delivery: $3" -H "X-Hub-Signature-256: sha256=$2" --data-binary @"$BODY"
}

start floor "${FLOOR_TARGET_DIR:-$root/target/floor}/release/webhook-floor"
start godwit "$godwit" serve --listen 127.0.0.1:0 --role web --data-dir "$work/data" --store "sqlite:$work/godwit.db"

servers=(floor godwit)
if [ -n "${PROBOT:-}" ]; then
  openssl genrsa -out "$work/app.pem" 2048 2>/dev/null
  BENCH_KEY=$work/app.pem start probot node "$here/probot.mjs"
  servers+=(probot)
fi

printf '# body %s bytes, %s connections, 1 wrk thread, %s cores\n' "$(stat -c %s "$BODY")" "${BENCH_CONNS:-32}" "$(nproc)"
printf '# sync: %s\n' "$(dd if=/dev/zero of="$work/sync" bs=4k count=2000 oflag=dsync 2>&1 | tail -1)"
printf '%-8s %5s %10s %9s %9s %9s %8s %8s %6s\n' server round req/s p50 p99 max non2xx rss_MB load
for ((round = 1; round <= ${BENCH_ROUNDS:-3}; round++)); do
  for name in "${servers[@]}"; do
    url=url_$name; pid=pid_$name
    good=$(post "${!url}" "$SIGNATURE" "check-$round"); bad=$(post "${!url}" "${SIGNATURE//[0-9]/f}" "bad-$round")
    [[ $good == 2* && $bad == 4* ]] || { echo "$name answers $good and $bad: not timed"; continue; }
    before=$([ "$name" = godwit ] && sqlite3 "$work/godwit.db" 'SELECT COUNT(*) FROM deliveries' || echo 0)
    read -r load _ </proc/loadavg
    RUN=$(printf '%08x' $((RANDOM * 65536 + round))) wrk -t1 -c"${BENCH_CONNS:-32}" -d"${BENCH_SECS:-6}s" --latency \
      -s "$here/hook.lua" "${!url}" >"$work/wrk"
    answered=$(awk '/requests in/{print $1}' "$work/wrk")
    non2xx=$(awk '/Non-2xx/{print $NF}' "$work/wrk")
    printf '%-8s %5s %10s %9s %9s %9s %8s %8s %6s\n' "$name" "$round" \
      "$(awk '/Requests\/sec/{print $2}' "$work/wrk")" "$(awk '$1=="50%"{print $2}' "$work/wrk")" \
      "$(awk '$1=="99%"{print $2}' "$work/wrk")" "$(awk '$1=="Latency"&&NF>=4{print $4; exit}' "$work/wrk")" \
      "${non2xx:-0}" "$(awk '/VmHWM/{printf "%.1f", $2/1024}' "/proc/${!pid}/status")" "$load"
    if [ "$name" = godwit ]; then
      # wrk stops without waiting for the answers under way, so a few more than it counted may be stored, never fewer.
      stored=$(($(sqlite3 "$work/godwit.db" 'SELECT COUNT(*) FROM deliveries') - before))
      [ "$stored" -ge "$answered" ] || { echo "answered $answered, stored only $stored" >&2; exit 1; }
    fi
  done
done
