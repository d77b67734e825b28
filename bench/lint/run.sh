#!/usr/bin/env bash
# Lint throughput on ONE core, Godwit beside squawk.  bench/lint/run.sh [NAME='command reading file names as arguments' ...]
#   GODWIT_CORPORA  folder with *.sql files of any number of projects (required)
#   GODWIT_BIN (target/release/godwit)   SQUAWK_BIN (squawk, if it is on the path)
#   BENCH_ROUNDS (5, interleaved)  BENCH_CPU (0)  BENCH_PATH  BENCH_LIMIT  only the first LIMIT files in name order (all)
# Files: every *.sql under GODWIT_CORPORA, sorted. One process for all files (ARG_MAX permitting, else as few as xargs makes).
# Exit status of a linter that found something is not an error here; what it printed is counted (lines) so that a
# linter that did nothing shows. Needs bash >= 5, GNU time, taskset, xargs, python3.
set -u; export LC_ALL=C PATH="${BENCH_PATH:+$BENCH_PATH:}$PATH"
cd "$(dirname "$0")/../.." || exit 1
DIR=${GODWIT_CORPORA:?set GODWIT_CORPORA to a folder with SQL files}; D=$(mktemp -d); trap 'rm -rf "$D"' EXIT
if [ $# = 0 ]; then
  bin=${GODWIT_BIN:-target/release/godwit}
  [ -x "$bin" ] || { echo "build first: cargo build --release" >&2; exit 2; }
  set -- "godwit=$bin lint --terse --" "godwit-json=$bin lint --format json --"
  if squawk=$(command -v "${SQUAWK_BIN:-squawk}"); then
    # Gcc prints one line per finding, as --terse does; Tty is what squawk prints by default.
    set -- "$@" "squawk-gcc=$squawk --reporter Gcc" "squawk-tty=$squawk --reporter Tty"
  fi
fi
find "$DIR" -type f -name '*.sql' | sort | { if [ -n "${BENCH_LIMIT:-}" ]; then head -n "$BENCH_LIMIT"; else cat; fi; } | tr '\n' '\0' >"$D/files"
nf=$(tr -dc '\0' <"$D/files" | wc -c); nb=$(xargs -0 -n 500 cat <"$D/files" | wc -c)
echo "# $nf files, $nb bytes, pinned to cpu ${BENCH_CPU:-0}"
for ((r = 1; r <= ${BENCH_ROUNDS:-5}; r++)); do for t in "$@"; do
  a=${EPOCHREALTIME/./}
  /usr/bin/time -q -o "$D/t" -f '%U %S %M' taskset -c "${BENCH_CPU:-0}" xargs -0 -a "$D/files" -s 1500000 ${t#*=} >"$D/out" 2>&1
  b=${EPOCHREALTIME/./}; read -r load _ </proc/loadavg
  echo "${t%%=*} $((b - a)) $(tail -n 1 "$D/t") $(wc -l <"$D/out") $load" >>"$D/raw"
done; done
python3 - "$D/raw" "$nf" "$nb" <<'PY'
import statistics as st, sys
d = {}
for l in open(sys.argv[1]):
    n, us, u, s, rss, lines, load = l.split()
    d.setdefault(n, []).append((int(us) / 1e6, float(u) + float(s), int(rss) / 1024, int(lines), float(load)))
nf, nb = int(sys.argv[2]), int(sys.argv[3])
print(f"{'linter':24} {'wall_med':>8} {'wall_min':>8} {'cpu_med':>8} {'files/s':>8} {'MB/s':>7} {'files/cpu_s':>11} {'MB/cpu_s':>8} {'rss_MB':>7} {'out_lines':>9} {'load':>5}")
for n, v in d.items():
    w, c = st.median(x[0] for x in v), st.median(x[1] for x in v)
    print(f"{n:24} {w:8.3f} {min(x[0] for x in v):8.3f} {c:8.3f} {nf / w:8.0f} {nb / 1e6 / w:7.2f} {nf / c:11.0f} {nb / 1e6 / c:8.2f} {max(x[2] for x in v):7.1f} {v[0][3]:9} {st.median(x[4] for x in v):5.1f}")
PY
