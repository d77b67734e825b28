# Elasticsearch 7.17. Its packages are in no registry, but Maven has the build that its authors test with: the real
# server with few modules. The modules that a migration needs are added here, each from its own jar. Two things are
# not as in a download: painless is 7.10.2's engine (the newest in a registry), and there is no ingest-common.

elasticsearch_files=$here/servers.d/elasticsearch
elasticsearch_version=7.17.29

elasticsearch_home() {
  local files
  mapfile -t files < <(find "$elasticsearch_files" -type f | LC_ALL=C sort)
  cached elasticsearch "${files[@]}" "$elasticsearch_files.sh"
}

# A Java 11 or 17 that Elasticsearch's user may run; later ones have no security manager by default.
java_home() {
  local home
  for home in "${ES_JAVA_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    [ -n "$home" ] && grep -qE '^JAVA_VERSION="(11|17)\.' "$home/release" 2>/dev/null || continue
    [ -x "$home/bin/javac" ] && as nobody test -x "$home/bin/java" || continue
    echo "$home"
    return
  done
  return 1
}

packages_elasticsearch_secured() { packages_elasticsearch; }
packages_elasticsearch() {
  command -v curl >/dev/null || echo curl
  java_home >/dev/null || echo openjdk-17-jdk-headless
  if [ -d "$(elasticsearch_home)" ]; then return; fi
  command -v mvn >/dev/null || echo maven
  command -v unzip >/dev/null || echo unzip
}

downloads_elasticsearch_secured() { downloads_elasticsearch; }
downloads_elasticsearch() { [ -d "$(elasticsearch_home)" ] || echo elasticsearch; }

download_elasticsearch() {
  local home part java jars modules
  home=$(elasticsearch_home)
  java=$(java_home) || die "no JDK 11 or 17"
  say "mvn dependency:copy-dependencies: Elasticsearch $elasticsearch_version"
  part=$home.part
  jars=$part/jars
  rm -rf "$part"
  mkdir -p "$jars"
  # A repository of its own, for Maven's plugin too: nothing is left in a home folder, and there need not be one.
  JAVA_HOME=$java mvn -B -q --strict-checksums "-Dmaven.repo.local=$part/maven" -f "$elasticsearch_files/pom.xml" \
    dependency:copy-dependencies "-DoutputDirectory=$jars" >"$part/maven.log" 2>&1 ||
    { tail -n 20 "$part/maven.log" >&2; die "Maven could not fetch Elasticsearch"; }
  (cd "$jars" && sha256sum --check --strict --quiet "$elasticsearch_files/SHA256SUMS")
  unzip -q "$jars/elasticsearch-$elasticsearch_version.zip" -d "$part"
  modules=$part/elasticsearch-$elasticsearch_version/modules
  cp -r "$elasticsearch_files"/modules/* "$modules/"
  # A module sees its own jars and the server's: what reindex shares with another module it gets a copy of.
  cp "$jars"/reindex-client-*.jar "$jars"/elasticsearch-rest-client-*.jar \
    "$modules"/x-pack-core/{elasticsearch-ssl-config-*,http{async,}client-[0-9]*,httpcore-*,commons-*,log4j-1.2-api-*}.jar \
    "$modules/reindex/"
  cp "$jars"/mapper-extras-client-*.jar "$modules/mapper-extras/"
  cp "$jars"/parent-join-client-*.jar "$modules/parent-join/"
  cp "$jars"/{lang-painless-*,scripting-painless-spi-*,antlr4-runtime-*,asm*}.jar "$modules/lang-painless/"
  "$java/bin/javac" -nowarn -proc:none --release 11 -cp "$modules/../lib/*:$modules/lang-painless/*" -d "$part/classes" \
    "$elasticsearch_files/PainlessModule.java"
  "$java/bin/jar" --create --file "$modules/lang-painless/painless-module.jar" -C "$part/classes" .
  mv "$part/elasticsearch-$elasticsearch_version" "$home"
  rm -r "$part"
}

elasticsearch_is_ready() { curl -sf "http://$1/_cluster/health?wait_for_status=yellow&timeout=1s"; }

start_elasticsearch() {
  local place
  place=127.0.0.1:$(port_of elasticsearch)
  if ! alive elasticsearch >/dev/null; then run_elasticsearch elasticsearch "xpack.security.enabled: false"; fi
  await 180 elasticsearch elasticsearch_is_ready "$place"
  echo "GODWIT_TEST_ELASTICSEARCH_URL=elasticsearch+http://$place" >"$dir/elasticsearch.env"
}

# elasticsearch_users CONFIG: users and their roles, as files.
elasticsearch_users() {
  local user
  mkdir -p "$1"
  # All have the password `secured`; no variables: a hash of it.
  # shellcheck disable=SC2016
  for user in admin migrator clerk; do echo "$user:"'$2a$04$Co/zqGSD2ot64.EydYfDjOxiK0kYWai/zhCHZ3IkL6F82z0sEJnDu'; done >"$1/users"
  printf '%s\n' superuser:admin migrator:migrator clerk:clerk >"$1/users_roles"
  cp "$elasticsearch_files/roles.yml" "$1/"
}

# The same with users and roles, which stand in files: without analysis-common it cannot make users of its own.
start_elasticsearch_secured() {
  local place config=$dir/elasticsearch_secured/config
  place=admin:secured@127.0.0.1:$(port_of elasticsearch_secured)
  if ! alive elasticsearch_secured >/dev/null; then
    elasticsearch_users "$config"
    run_elasticsearch elasticsearch_secured "xpack.security.enabled: true"
  fi
  await 180 elasticsearch_secured elasticsearch_is_ready "$place"
  echo "GODWIT_TEST_ELASTICSEARCH_SECURED_URL=elasticsearch+http://$place" >"$dir/elasticsearch_secured.env"
}

# One that writes one thing at a time, and lets few wait for it.
packages_elasticsearch_narrow() { packages_elasticsearch; }
downloads_elasticsearch_narrow() { downloads_elasticsearch; }

start_elasticsearch_narrow() {
  local place
  place=127.0.0.1:$(port_of elasticsearch_narrow)
  if ! alive elasticsearch_narrow >/dev/null; then
    run_elasticsearch elasticsearch_narrow $'xpack.security.enabled: false\nthread_pool.write: { size: 1, queue_size: 20 }'
  fi
  await 180 elasticsearch_narrow elasticsearch_is_ready "$place"
  echo "GODWIT_TEST_ELASTICSEARCH_NARROW_URL=elasticsearch+http://$place" >"$dir/elasticsearch_narrow.env"
}

# run_elasticsearch NAME SETTING
run_elasticsearch() {
  local name=$1 port transport home java place=$dir/$1 options=()
  port=$(port_of "$name")
  transport=$(port_of "${name}_transport")
  home=$(elasticsearch_home)
  java=$(java_home) || die "no JDK 11 or 17"
  claim "$name"
  claim "${name}_transport"
  mkdir -p "$place"/{config,data,snapshots,tmp}
  cp "$elasticsearch_files/log4j2.properties" "$place/config/"
  # One node needs no votes; a full disk or many scripts of many tests at once are no reason to refuse one of them. The
  # breaker counts what requests reserve: by the heap's real use, a full old generation refuses for ever, since nothing
  # is allocated that would have it collected.
  cat >"$place/config/elasticsearch.yml" <<YML
cluster.name: godwit-test
node.name: only
path.data: $place/data
path.repo: ["$place/snapshots"]
network.host: 127.0.0.1
http.port: $port
transport.port: $transport
discovery.type: single-node
$2
cluster.routing.allocation.disk.threshold_enabled: false
cluster.max_shards_per_node: 5000
script.max_compilations_rate: 10000/1m
indices.breaker.total.use_real_memory: false
YML
  own nobody "$place"
  may_enter nobody
  # The downloads may be in a folder that is closed to others.
  if ! as nobody test -r "$home/lib/elasticsearch-$elasticsearch_version.jar"; then
    rm -rf "$place/home"
    cp -r "$home" "$place/home"
    home=$place/home
  fi
  if grep -q '^JAVA_VERSION="17' "$java/release"; then options+=(-Djava.security.manager=allow); fi
  # What bin/elasticsearch ends in, without the two virtual machines that it asks for these options first. A small heap,
  # one collector thread and the quick compiler alone: it is up in half the time and in half the memory.
  # shellcheck disable=SC2046 # several words, or none
  cd "$place" && launch "$name" $(switch_to nobody) env ES_TMPDIR="$place/tmp" LIBFFI_TMPDIR="$place/tmp" \
    "$java/bin/java" -Xms"${ELASTICSEARCH_HEAP:-512m}" -Xmx"${ELASTICSEARCH_HEAP:-512m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError \
    -Djava.io.tmpdir="$place/tmp" -Djava.awt.headless=true -Dfile.encoding=UTF-8 -Djava.locale.providers=SPI,COMPAT \
    --add-opens=java.base/java.io=ALL-UNNAMED "${options[@]}" -Djna.nosys=true \
    -Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0 \
    -Dio.netty.allocator.numDirectArenas=0 -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true \
    -Des.path.home="$home" -Des.path.conf="$place/config" \
    -Des.distribution.flavor=oss -Des.distribution.type=zip -Des.bundled_jdk=false \
    -cp "$home/lib/*" org.elasticsearch.bootstrap.Elasticsearch
}

stop_elasticsearch() { end_process "$1" elasticsearch; }
stop_elasticsearch_secured() { end_process "$1" elasticsearch_secured; }
stop_elasticsearch_narrow() { end_process "$1" elasticsearch_narrow; }
