# Redis 7, alone and as a cluster of three masters, each with a replica where a test asks for one. Every write is in the append-only file before it is answered,
# so a killed server comes back with all that it promised.

packages_redis() {
  command -v redis-server >/dev/null || echo redis-server
  command -v redis-cli >/dev/null || echo redis-tools
}
packages_redis_cluster() { packages_redis; }

# run_redis NAME [OPTION…]
run_redis() {
  local name=$1 port
  port=$(port_of "$name")
  claim "$name"
  mkdir -p "$dir/$name"
  # Without a title of its own the process keeps its words, by which `alive` knows it.
  launch "$name" redis-server --dir "$dir/$name" --port "$port" --bind 127.0.0.1 --set-proc-title no \
    --save '' --appendonly yes --appendfsync always "${@:2}"
  await 30 "$name" redis-cli -e -p "$port" ping
}

start_redis() {
  if ! alive redis >/dev/null; then run_redis redis; fi
  echo "GODWIT_TEST_REDIS_URL=redis://127.0.0.1:$(port_of redis)/" >"$dir/redis.env"
}

stop_redis() { end_process "$1" redis; }

# A replica of the server in the same DIR, which must run.
packages_redis_replica() { packages_redis; }

redis_replica_follows() { redis-cli -p "$(port_of redis_replica)" info replication | grep -q '^master_link_status:up'; }

start_redis_replica() {
  if ! alive redis_replica >/dev/null; then run_redis redis_replica --replicaof 127.0.0.1 "$(port_of redis)"; fi
  await 30 redis_replica redis_replica_follows
  echo "GODWIT_TEST_REDIS_REPLICA_URL=redis://127.0.0.1:$(port_of redis_replica)/" >"$dir/redis_replica.env"
}

stop_redis_replica() { end_process "$1" redis_replica; }

redis_cluster_says_ok() { redis-cli -p "$1" cluster info | grep -q '^cluster_state:ok'; }

start_redis_cluster() {
  local node name slots=(0-5460 5461-10922 10923-16383) ports=() buses=()
  for node in 0 1 2; do
    name=redis_cluster_$node
    ports+=("$(port_of "$name")")
    # The nodes talk on ports of their own choosing; Redis would add 10,000, and end among the machine's client ports.
    buses+=("$(port_of "${name}_bus")")
    if ! alive "$name" >/dev/null; then
      claim "${name}_bus"
      run_redis "$name" --cluster-enabled yes --cluster-config-file nodes.conf \
        --cluster-port "${buses[node]}" --cluster-node-timeout 2000
    fi
  done
  # A cluster that exists refuses the first two and knows the third, so that a half-made one is finished.
  for node in 0 1 2; do
    redis-cli -p "${ports[node]}" cluster addslotsrange "${slots[node]%-*}" "${slots[node]#*-}"
    redis-cli -p "${ports[node]}" cluster set-config-epoch $((node + 1))
  done >>"$dir/redis_cluster.log" 2>&1
  for node in 1 2; do
    redis-cli -p "${ports[0]}" cluster meet 127.0.0.1 "${ports[node]}" "${buses[node]}"
  done >>"$dir/redis_cluster.log" 2>&1
  for node in 0 1 2; do await 30 "redis_cluster_$node" redis_cluster_says_ok "${ports[node]}"; done
  echo "GODWIT_TEST_REDIS_CLUSTER_URL=redis-cluster://127.0.0.1:${ports[0]},127.0.0.1:${ports[1]},127.0.0.1:${ports[2]}" \
    >"$dir/redis_cluster.env"
}

stop_redis_cluster() {
  local node
  for node in 0 1 2; do end_process "$1" "redis_cluster_$node"; done
}

# A replica of the first node of the cluster in the same DIR, which must run.
packages_redis_cluster_replica() { packages_redis; }

redis_cluster_replica_follows() {
  redis-cli -p "$(port_of redis_cluster_replica)" info replication | grep -q '^master_link_status:up'
}

start_redis_cluster_replica() {
  local port bus
  port=$(port_of redis_cluster_replica)
  bus=$(port_of redis_cluster_replica_bus)
  if ! alive redis_cluster_replica >/dev/null; then
    claim redis_cluster_replica_bus
    run_redis redis_cluster_replica --cluster-enabled yes --cluster-config-file nodes.conf \
      --cluster-port "$bus" --cluster-node-timeout 2000
  fi
  redis-cli -p "$port" cluster meet 127.0.0.1 "$(port_of redis_cluster_0)" "$(port_of redis_cluster_0_bus)" \
    >>"$dir/redis_cluster_replica.log" 2>&1
  await 30 redis_cluster_replica redis-cli -e -p "$port" cluster replicate \
    "$(redis-cli -p "$(port_of redis_cluster_0)" cluster myid)"
  await 30 redis_cluster_replica redis_cluster_replica_follows
  echo "GODWIT_TEST_REDIS_CLUSTER_REPLICA_URL=redis://127.0.0.1:$port/" >"$dir/redis_cluster_replica.env"
}

stop_redis_cluster_replica() { end_process "$1" redis_cluster_replica; }
