#!/usr/bin/env bash
# How long a pull request with 1,000 migrations waits for its answer: from the webhook to the summary, and from the second
# review to the green check. The release build, behind the stand-in for GitHub of the tests, on a PostgreSQL of their own.
#
#   bench/webhook/pull.sh [ROUNDS]        default: 3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo build --locked --release --quiet
export GODWIT_BENCH_MIGRATIONS=1000 GODWIT_PROGRAM=${GODWIT_PROGRAM:-$PWD/target/release/godwit}
for _ in $(seq "${1:-3}"); do
  scripts/test --quiet --test it b2_a_pull_request_with_many -- --nocapture 2>&1 | grep "migrations:"
done
