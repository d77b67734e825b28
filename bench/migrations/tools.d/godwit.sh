# GODWIT_BIN names the binary where it is not on PATH. A store of its own, so that intents are really made durable.
BIN=${GODWIT_BIN:-godwit}; LAYOUT=golang-migrate
version() { "$BIN" --version | awk '{print $2}'; }
apply()  { CMD=(env GODWIT_DATA_DIR="$OUT/godwit-state" "$BIN" apply --url "$URL" --path "$DIR" --yes); }
noop()   { apply; }
status() { CMD=(env GODWIT_DATA_DIR="$OUT/godwit-state" "$BIN" status --url "$URL" --path "$DIR"); }
