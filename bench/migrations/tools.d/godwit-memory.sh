# the same as godwit with its store in memory, where making intents durable costs nothing: beside godwit it says what they cost
BIN=${GODWIT_BIN:-godwit}; LAYOUT=golang-migrate
state() { echo "${XDG_RUNTIME_DIR:-/dev/shm}/godwit-bench-state"; }
version() { "$BIN" --version | awk '{print $2}'; }
apply()  { CMD=(env GODWIT_DATA_DIR="$(state)" "$BIN" apply --url "$URL" --path "$DIR" --yes); }
noop()   { apply; }
status() { CMD=(env GODWIT_DATA_DIR="$(state)" "$BIN" status --url "$URL" --path "$DIR"); }
