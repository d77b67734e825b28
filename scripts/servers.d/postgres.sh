# PostgreSQL, of the version that the distribution has.

# The newest installed version's programs.
postgres_bin() {
  local bin
  bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  if [ -x "$bin/initdb" ]; then echo "$bin"; else return 1; fi
}

packages_postgres() { postgres_bin >/dev/null || echo postgresql; }

start_postgres() {
  local bin data=$dir/postgres log=$dir/postgres.log port
  bin=$(postgres_bin) || die "PostgreSQL is not installed"
  port=$(port_of postgres)
  if ! as postgres "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; then
    mkdir -p "$data"
    : >>"$log"
    own postgres "$data" "$log"
    chmod 700 "$data"
    may_enter postgres
    if [ ! -f "$data/PG_VERSION" ]; then
      (cd / && as postgres "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync) >>"$log" 2>&1 ||
        die "initdb failed, see $log"
    fi
    claim postgres
    # A test server may lose its data when the machine fails, never when a client does: so no fsync.
    (cd / && as postgres "$bin/pg_ctl" -D "$data" -l "$log" -w -t 60 start -o "-p $port -c listen_addresses=127.0.0.1 \
      -c unix_socket_directories='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
      -c max_connections=200 -c wal_level=logical") >>"$dir/postgres.ctl.log" 2>&1 </dev/null 9>&- ||
      die "PostgreSQL did not start, see $log"
  fi
  echo "GODWIT_TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:$port/postgres" >"$dir/postgres.env"
}

# PostgreSQL is several processes: `immediate` ends them all with no farewell, and the next start recovers.
stop_postgres() {
  local bin data=$dir/postgres mode=fast
  if [ "$1" = KILL ]; then mode=immediate; fi
  [ -f "$data/postmaster.pid" ] || return 0
  bin=$(postgres_bin) || return 0
  (cd / && as postgres "$bin/pg_ctl" -D "$data" -m "$mode" -w stop) >>"$dir/postgres.ctl.log" 2>&1 || true
}
