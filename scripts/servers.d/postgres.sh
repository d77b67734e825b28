# PostgreSQL, of the version that the distribution has.

# The newest installed version's programs.
postgres_bin() {
  local bin
  bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  if [ -x "$bin/initdb" ]; then echo "$bin"; else return 1; fi
}

packages_postgres() { postgres_bin >/dev/null || echo postgresql; }

# run_postgres NAME DATA OPTION…
run_postgres() {
  local name=$1 data=$2 bin
  bin=$(postgres_bin)
  claim "$name"
  # A test server may lose its data when the machine fails, never when a client does: so no fsync.
  (cd / && as postgres "$bin/pg_ctl" -D "$data" -l "$dir/$name.log" -w -t 60 start -o "-p $(port_of "$name") -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories='' -c fsync=off -c full_page_writes=off -c max_connections=200 -c wal_level=logical ${*:3}") \
    >>"$dir/postgres.ctl.log" 2>&1 </dev/null 9>&- || die "PostgreSQL did not start, see $dir/$name.log"
}

postgres_runs() {
  local bin
  bin=$(postgres_bin) || die "PostgreSQL is not installed"
  as postgres "$bin/pg_ctl" -D "$dir/$1" status >/dev/null 2>&1
}

# init_postgres NAME: a folder of data in DIR/NAME, where there is none.
init_postgres() {
  local bin data=$dir/$1 log=$dir/$1.log
  bin=$(postgres_bin)
  mkdir -p "$data"
  : >>"$log"
  own postgres "$data" "$log"
  chmod 700 "$data"
  may_enter postgres
  if [ ! -f "$data/PG_VERSION" ]; then
    (cd / && as postgres "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync) >>"$log" 2>&1 ||
      die "initdb failed, see $log"
  fi
}

start_postgres() {
  if ! postgres_runs postgres; then
    init_postgres postgres
    run_postgres postgres "$dir/postgres" -c synchronous_commit=off
  fi
  echo "GODWIT_TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:$(port_of postgres)/postgres" >"$dir/postgres.env"
}

# PostgreSQL is several processes: `immediate` ends them all with no farewell, and the next start recovers.
stop_postgres() { end_postgres "$1" postgres; }
stop_postgres_replica() { end_postgres "$1" postgres_replica; }

end_postgres() {
  local bin data=$dir/$2 mode=fast
  if [ "$1" = KILL ]; then mode=immediate; fi
  [ -f "$data/postmaster.pid" ] || return 0
  bin=$(postgres_bin) || return 0
  (cd / && as postgres "$bin/pg_ctl" -D "$data" -m "$mode" -w stop) >>"$dir/postgres.ctl.log" 2>&1 || true
}

# A streaming replica of the server in the same DIR, which must run.
packages_postgres_replica() { packages_postgres; }

start_postgres_replica() {
  local bin data=$dir/postgres_replica log=$dir/postgres_replica.log
  bin=$(postgres_bin) || die "PostgreSQL is not installed"
  if ! as postgres "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; then
    : >>"$log"
    if [ ! -f "$data/PG_VERSION" ]; then
      mkdir -p "$data"
      own postgres "$data" "$log"
      chmod 700 "$data"
      (cd / && as postgres "$bin/pg_basebackup" -D "$data" -R -c fast -X stream -N -h 127.0.0.1 -p "$(port_of postgres)" -U postgres) \
        >>"$log" 2>&1 9>&- || die "pg_basebackup failed, see $log"
    fi
    # It tells at once how far it is.
    run_postgres postgres_replica "$data" -c hot_standby=on -c wal_receiver_status_interval=1
  fi
  echo "GODWIT_TEST_POSTGRES_REPLICA_URL=postgres://postgres@127.0.0.1:$(port_of postgres_replica)/postgres" >"$dir/postgres_replica.env"
}

# One with a little room: what is made in the tablespace `small` fills it. The room is memory that only this server sees and
# that goes with it. Making it takes root's rights, or `sudo` without a password.
packages_postgres_small() { packages_postgres; }

start_postgres_small() {
  local bin data=$dir/postgres_small space=$dir/postgres_small_space
  bin=$(postgres_bin) || die "PostgreSQL is not installed"
  if ! postgres_runs postgres_small; then
    claim postgres_small
    init_postgres postgres_small
    mkdir -p "$space"
    # shellcheck disable=SC2016,SC2046 # the words are for the shell inside; several, or none
    (cd / && as_root unshare --mount sh -c 'mount -t tmpfs -o "size=24m,uid=$2" tmpfs "$1" && shift 2 && exec "$@"' small "$space" "$(as postgres id -u)" \
      $(switch_back postgres) "$bin/pg_ctl" -D "$data" -l "$dir/postgres_small.log" -w -t 60 start \
      -o "-p $(port_of postgres_small) -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off") \
      >>"$dir/postgres.ctl.log" 2>&1 </dev/null 9>&- || die "PostgreSQL did not start, see $dir/postgres.ctl.log and $dir/postgres_small.log"
    "$bin/psql" -X -q -h 127.0.0.1 -p "$(port_of postgres_small)" -U postgres -c "CREATE TABLESPACE small LOCATION '$space'" >>"$dir/postgres.ctl.log" 2>&1
  fi
  echo "GODWIT_TEST_POSTGRES_SMALL_URL=postgres://postgres@127.0.0.1:$(port_of postgres_small)/postgres" >"$dir/postgres_small.env"
}
stop_postgres_small() { end_postgres "$1" postgres_small; }
