#!/usr/bin/env bash
# A backfill of many rows on a real PostgreSQL: killed on the way, resumed, with somebody else writing all the time.
#
#   ROWS=5000000 KILLS=3 bench/backfill/run.sh
#
# GODWIT_TEST_POSTGRES_URL names a server whose user may create databases; without it one is brought up by
# `scripts/servers` in a temporary folder. GODWIT names the program (default: the release build).
# Says how often each row was changed (once, or it fails) and how long the writer's own updates took at most.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
rows=${ROWS:-5000000} kills=${KILLS:-3} batch=${BATCH:-5000} pause=${PAUSE:-10ms} bound_ms=${BOUND_MS:-1500}
godwit=${GODWIT:-$here/target/release/godwit}
work=$(mktemp -d)
chmod 755 "$work"
writer=
cleanup() {
  if [ -n "$writer" ]; then kill "$writer" 2>/dev/null || true; fi
  psql -q "$server" -c "drop database if exists $name with (force)" || true
  if [ -d "$work/servers" ]; then "$here/scripts/servers" down "$work/servers" || true; fi
  rm -rf "$work"
}
export GODWIT_TEST_POSTGRES_URL=${GODWIT_TEST_POSTGRES_URL:-}
if [ -z "$GODWIT_TEST_POSTGRES_URL" ]; then
  export "$(SERVERS=postgres "$here/scripts/servers" up "$work/servers" | grep ^GODWIT_TEST_POSTGRES_URL=)"
fi
server=$GODWIT_TEST_POSTGRES_URL
name=godwit_backfill_$$
trap cleanup EXIT
url=$(python3 - "$server" "$name" <<'PY'
import sys, urllib.parse as u
p = u.urlsplit(sys.argv[1])
print(u.urlunsplit(p._replace(path="/" + sys.argv[2])))
PY
)
psql -q "$server" -c "create database $name"
psql -q "$url" -v ON_ERROR_STOP=1 >/dev/null <<SQL
create table items (id bigint primary key, touched int not null default 0, written int not null default 0);
insert into items (id) select n from generate_series(1, $rows) n;
analyze items;
SQL
mkdir "$work/m"
cat > "$work/m/1_fill.up.sql" <<SQL
-- godwit: backfill=items key=id batch=$batch pause=$pause phase=backfill
update items set touched = touched + 1 where /* godwit:batch */ true;
SQL
run() { GODWIT_DATA_DIR=$work/state "$godwit" "$1" --url "$url" --path "$work/m" "${@:2}"; }
done_rows() { psql -Atq "$url" -c "select coalesce((progress::json->>'rows')::bigint, 0) from godwit_history" 2>/dev/null || echo 0; }

# The writer: one update after another of rows all over the table, each timed; and what it waited for, now and then.
python3 - "$url" "$rows" "$work/latencies" <<'PY' &
import random, subprocess, sys
url, rows, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
p = subprocess.Popen(["psql", "-qAt", url], stdin=subprocess.PIPE, stdout=open(out, "w"), text=True)
p.stdin.write("\\timing on\n")
try:
    while True:
        p.stdin.write(f"update items set written = written + 1 where id = {random.randint(1, rows)};\n")
        p.stdin.flush()
except (BrokenPipeError, KeyboardInterrupt):
    pass
PY
writer=$!
( while kill -0 "$writer" 2>/dev/null; do
    psql -Atq "$url" -c "select wait_event_type || ':' || wait_event from pg_stat_activity where query like 'update items set written%' and wait_event_type = 'Lock'" 2>/dev/null || true
    sleep 0.2
  done > "$work/waits" ) &
began=$SECONDS
for n in $(seq "$kills"); do
  # The program itself, not a shell around it, is what is killed.
  (export GODWIT_DATA_DIR="$work/state"; exec "$godwit" apply --url "$url" --path "$work/m" --yes >/dev/null 2>&1) &
  victim=$!
  aim=$((rows * n / (kills + 1)))
  while kill -0 "$victim" 2>/dev/null && [ "$(done_rows)" -lt "$aim" ]; do sleep 0.2; done
  kill -9 "$victim" 2>/dev/null || { echo "it had ended before kill $n"; exit 1; }
  wait "$victim" 2>/dev/null || true
  echo "killed after $(done_rows) of $rows rows"
done
run resume --format json | tee "$work/report" | python3 -c 'import json,sys; print("rows in the report:", json.load(sys.stdin)["steps"][0]["rows"])'
took=$((SECONDS - began))
kill "$writer" 2>/dev/null || true
psql -Atq "$url" -c "select pg_terminate_backend(pid) from pg_stat_activity where query like 'update items set written%'" >/dev/null || true
wait 2>/dev/null || true
writer=
psql -Atq "$url" -c "select 'changed ' || touched || ' times: ' || count(*) || ' rows' from items group by touched order by touched" | tee "$work/touched"
[ "$(cat "$work/touched")" = "changed 1 times: $rows rows" ] || { echo "a row was left out or done twice"; exit 1; }
python3 - "$work/latencies" "$work/waits" "$bound_ms" "$took" <<'PY'
import re, sys
ms = sorted(float(m) for m in re.findall(r"Time: ([0-9.]+) ms", open(sys.argv[1]).read()))
waits = open(sys.argv[2]).read().split()
at = lambda q: ms[min(len(ms) - 1, int(len(ms) * q))]
print(f"{sys.argv[4]} s in all; the writer's {len(ms)} updates: median {at(.5):.2f} ms, p99 {at(.99):.2f} ms, "
      f"p99.9 {at(.999):.2f} ms, longest {ms[-1]:.1f} ms; seen waiting for a lock {len(waits)} times")
sys.exit(0 if ms[-1] <= float(sys.argv[3]) else f"the longest wait is above {sys.argv[3]} ms")
PY
