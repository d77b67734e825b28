# the floor with what makes a stale runner harmless and a crash readable: the fence asserted in each transaction, and a full
# row of history; beside 01-floor-tx-each it says what the two cost the server
BIN=psql; LAYOUT=floor
version() { psql --version | awk '{print $3}'; }
# A fence is read with SELECT, so what it says is thrown away.
apply()  { CMD=(psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d "$URL" -f "$DIR/fenced_1rt.sql"); }
noop()   { CMD=(psql -X -q -At -d "$URL" -c "SELECT id, checksum FROM godwit_history"); }
status() { CMD=(psql -X -q -At -d "$URL" -c "SELECT id, finished_at FROM godwit_history ORDER BY 1"); }
