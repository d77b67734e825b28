# The servers once more, each taking encrypted connections alone, with a certificate that an authority of this folder
# has signed.

packages_tls() { command -v openssl >/dev/null || echo openssl; }
packages_postgres_tls() { packages_tls; packages_postgres; }
packages_mongodb_tls() { packages_tls; packages_mongodb; }
packages_redis_tls() { packages_tls; packages_redis; }
packages_elasticsearch_tls() { packages_tls; packages_elasticsearch; }
downloads_mongodb_tls() { downloads_mongodb; }
downloads_elasticsearch_tls() { downloads_elasticsearch; }

# certificates NAME: DIR/NAME_certificates with ca.pem, server.pem, server.key and both together.
certificates() {
  local place=$dir/$1_certificates
  if [ -f "$place/both.pem" ]; then return; fi
  mkdir -p "$place"
  (
    cd "$place"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 30 \
      -subj "/CN=Authority of a test" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=localhost
    printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 extendedKeyUsage=serverAuth >extensions
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 30 -extfile extensions
    cat server.key server.pem >both.pem
    chmod 600 server.key both.pem
  ) >>"$dir/$1.log" 2>&1 || die "openssl could not make certificates, see $dir/$1.log"
}

start_postgres_tls() {
  local place=$dir/postgres_tls_certificates
  if ! postgres_runs postgres_tls; then
    certificates postgres_tls
    own postgres "$place"
    init_postgres postgres_tls
    echo "hostssl all all 127.0.0.1/32 trust" >"$dir/postgres_tls/pg_hba.conf"
    run_postgres postgres_tls "$dir/postgres_tls" -c ssl=on -c "ssl_cert_file=$place/server.pem" -c "ssl_key_file=$place/server.key"
  fi
  echo "GODWIT_TEST_POSTGRES_TLS_URL=postgres://postgres@localhost:$(port_of postgres_tls)/postgres" >"$dir/postgres_tls.env"
}
stop_postgres_tls() { end_postgres "$1" postgres_tls; }

start_mongodb_tls() {
  local place=$dir/mongodb_tls_certificates
  if ! alive mongodb_tls >/dev/null; then
    certificates mongodb_tls
    run_mongod mongodb_tls --tlsMode requireTLS --tlsCertificateKeyFile "$place/both.pem" --tlsCAFile "$place/ca.pem" \
      --tlsAllowConnectionsWithoutCertificates
  fi
  echo "GODWIT_TEST_MONGODB_TLS_URL=mongodb://localhost:$(port_of mongodb_tls)/" >"$dir/mongodb_tls.env"
}
stop_mongodb_tls() { end_process "$1" mongodb_tls; }

start_redis_tls() {
  local port place=$dir/redis_tls_certificates
  port=$(port_of redis_tls)
  if ! alive redis_tls >/dev/null; then
    certificates redis_tls
    claim redis_tls
    mkdir -p "$dir/redis_tls"
    launch redis_tls redis-server --dir "$dir/redis_tls" --port 0 --tls-port "$port" --bind 127.0.0.1 --set-proc-title no \
      --save '' --appendonly yes --tls-cert-file "$place/server.pem" --tls-key-file "$place/server.key" \
      --tls-ca-cert-file "$place/ca.pem" --tls-auth-clients no
    await 30 redis_tls redis-cli -e -p "$port" --tls --cacert "$place/ca.pem" ping
  fi
  echo "GODWIT_TEST_REDIS_TLS_URL=redis://localhost:$port/" >"$dir/redis_tls.env"
}
stop_redis_tls() { end_process "$1" redis_tls; }

elasticsearch_is_encrypted() {
  curl -sf --cacert "$1" -u admin:secured "https://localhost:$2/_cluster/health?wait_for_status=yellow&timeout=1s"
}

start_elasticsearch_tls() {
  local port config=$dir/elasticsearch_tls/config place=$dir/elasticsearch_tls_certificates
  port=$(port_of elasticsearch_tls)
  if ! alive elasticsearch_tls >/dev/null; then
    certificates elasticsearch_tls
    mkdir -p "$config"
    cp "$place/server.pem" "$place/server.key" "$config/"
    elasticsearch_users "$config"
    run_elasticsearch elasticsearch_tls "xpack.security.enabled: true
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.key: server.key
xpack.security.http.ssl.certificate: server.pem"
  fi
  await 180 elasticsearch_tls elasticsearch_is_encrypted "$place/ca.pem" "$port"
  echo "GODWIT_TEST_ELASTICSEARCH_TLS_URL=elasticsearch+http://admin:secured@localhost:$port" >"$dir/elasticsearch_tls.env"
}
stop_elasticsearch_tls() { end_process "$1" elasticsearch_tls; }
