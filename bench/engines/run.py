#!/usr/bin/env python3
"""Redis, MongoDB and Elasticsearch: our runs beside the least their own tools need, killed on the way, results counted.

    bench/engines/run.py redis          1,000,000 keys changed, beside `redis-cli --pipe`
    bench/engines/run.py mongodb        300 migrations, beside migrate-mongo (fetched by npm when it is missing)
    bench/engines/run.py elasticsearch  2,000,000 documents into a new index behind an alias, beside `_bulk` and `_reindex`

    ROWS    keys, migrations, documents         KILLS   times the program is killed with SIGKILL on the way (1; mongodb: 0)
    GODWIT  the program (target/release/godwit) ROUNDS  of mongodb (3)

Servers: GODWIT_TEST_REDIS_URL, …_MONGODB_URL, …_ELASTICSEARCH_URL, or `scripts/servers` brings one up in a temporary folder.
A wrong result ends with an error, never with a time.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
GODWIT = os.environ.get("GODWIT", str(ROOT / "target/release/godwit"))
MIGRATE_MONGO = "14.0.7"


def server(kind, work):
    """The URL of a server of this kind; one is brought up when none is named."""
    name = f"GODWIT_TEST_{kind.upper()}_URL"
    if not os.environ.get(name):
        up = subprocess.run([ROOT / "scripts/servers", "up", work / "servers"], env={**os.environ, "SERVERS": kind, "ELASTICSEARCH_HEAP": "2g"},
                            check=True, stdout=subprocess.PIPE, text=True)
        os.environ[name] = next(l.split("=", 1)[1] for l in up.stdout.splitlines() if l.startswith(f"{name}="))
    return os.environ[name]


def command(work, verb, url, *more):
    return [GODWIT, verb, "--url", url, "--path", str(work / "migrations"), *more]


def run_killed(work, url, kills, total, done):
    """Applies, killing at even parts of `total` (counted by `done()`), then resumes. Gives the seconds it took in all."""
    env = {**os.environ, "GODWIT_DATA_DIR": str(work / "state")}
    began = time.monotonic()
    for n in range(kills):
        with open(work / "said", "wb") as said:
            victim = subprocess.Popen(command(work, "apply", url, "--yes"), env=env, stdout=said, stderr=said)
        while victim.poll() is None and done() < total * (n + 1) // (kills + 1):
            time.sleep(0.1)
        if victim.poll() is not None:
            sys.exit(f"it had ended before kill {n + 1}:\n{(work / 'said').read_text()}")
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        print(f"killed after {done()} of {total}")
    ended = subprocess.run(command(work, "resume" if kills else "apply", url, *([] if kills else ["--yes"])), env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode:
        sys.exit(ended.stdout)
    return time.monotonic() - began


def timed(argv, **options):
    began = time.monotonic()
    ended = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    took = time.monotonic() - began
    if ended.returncode:
        sys.exit(ended.stdout)
    return took


class Resp:
    """As much of Redis' protocol as a walk over its keys takes."""

    def __init__(self, url):
        place = urllib.parse.urlsplit(url)
        self.wire = socket.create_connection((place.hostname, place.port or 6379))
        self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.wire.makefile("rb", buffering=1 << 20)
        if place.password:
            self.ask(b"AUTH", *(w.encode() for w in (place.username, urllib.parse.unquote(place.password)) if w))

    def ask(self, *words):
        self.wire.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words))
        return self.answer()

    def answer(self):
        head = self.answers.readline()
        kind, rest = head[:1], head[1:-2]
        if kind == b"-":
            sys.exit(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.answers.read(int(rest) + 2)[:-2]
        return [self.answer() for _ in range(int(rest))] if kind == b"*" else rest


def bare_walk(url, tag, lua):
    """The walk that our run makes, by SCAN and a script for each batch, with no mark, no fence and no history."""
    redis = Resp(url)
    began = time.monotonic()
    sha, cursor = redis.ask(b"SCRIPT", b"LOAD", lua.encode()), b"0"
    while True:
        cursor, keys = redis.ask(b"SCAN", cursor, b"MATCH", f"{tag}:*".encode(), b"COUNT", b"1000")
        if keys:
            redis.ask(b"EVALSHA", sha, str(len(keys)).encode(), *keys)
        if cursor == b"0":
            return time.monotonic() - began


def redis(work, rows, kills):
    url = server("redis", work)
    tag = f"bench{os.getpid()}"
    cli = ["redis-cli", "-u", url]

    def pipe(line):
        feed = work / "feed"
        with open(feed, "w", encoding="ascii") as out:
            out.writelines(line(i) for i in range(rows))
        with open(feed, encoding="ascii") as lines:
            return timed([*cli, "--pipe"], stdin=lines)

    pipe(lambda i: f"SET {tag}:{i} 0\r\n")
    floor = pipe(lambda i: f"INCRBY {tag}:{i} 1\r\n")
    (work / "migrations").mkdir()
    name = "001_count"
    lua = "for _, key in ipairs(KEYS) do redis.call('INCRBY', key, 1) end\n"
    (work / f"migrations/{name}.lua").write_text(lua)
    (work / f"migrations/{name}.json").write_text(json.dumps({
        "version": "1.0.0", "name": "count", "description": "Count every key once", "migration_type": "data", "database_type": "redis",
        "keys": {"match": f"{tag}:*", "count": 1000}}))

    def done():
        sample = subprocess.run([*cli, "EVAL", "local n=0 for i=0,999 do if redis.call('GET',ARGV[1]..':'..i*tonumber(ARGV[2]))=='2' then n=n+1 end end return n",
                                 "0", tag, str(rows // 1000)], stdout=subprocess.PIPE, text=True, check=True)
        return int(sample.stdout.strip().split()[-1]) * rows // 1000

    took = run_killed(work, url, kills, rows, done)
    count = "local t={} local c='0' repeat local r=redis.call('SCAN',c,'MATCH',ARGV[1]..':*','COUNT',10000) c=r[1] for _,k in ipairs(r[2]) do t[k]=redis.call('GET',k) end until c=='0' " \
            "local n,bad=0,0 for _,v in pairs(t) do n=n+1 if v~='2' then bad=bad+1 end end return n..' '..bad"
    said = subprocess.run([*cli, "EVAL", count, "0", tag], stdout=subprocess.PIPE, text=True, check=True).stdout.strip().strip('"')
    if said != f"{rows} 0":
        sys.exit(f"keys and wrong ones: {said}")
    print(f"{rows} keys changed once each: {took:.1f} s with {kills} kills; `redis-cli --pipe` {floor:.1f} s: {took / floor:.2f} x")
    bare = bare_walk(url, tag, lua)
    print(f"the same walk without marks, fence and history: {bare:.1f} s; what makes it safe to kill costs {took - bare:.1f} s: {took / bare:.2f} x")


def mongodb(work, rows, kills):
    del kills
    url = server("mongodb", work)
    parts = urllib.parse.urlsplit(url)
    host, query = f"mongodb://{parts.netloc}", parts.query
    peer = work / "peer"
    (peer / "migrations").mkdir(parents=True)
    (work / "migrations").mkdir()
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", f"migrate-mongo@{MIGRATE_MONGO}", "mongodb@6"], cwd=peer, check=True)
    for i in range(rows):
        operations = [
            {"type": "create_collection", "collection": f"c{i}"},
            {"type": "create_index", "collection": f"c{i}", "index": [["name", 1]], "options": {"name": f"c{i}_name"}},
            {"type": "create_index", "collection": f"c{i}", "index": [["n", -1]], "options": {"name": f"c{i}_n"}},
        ]
        (work / f"migrations/{i + 1:04}_step.json").write_text(json.dumps({
            "version": f"1.0.{i}", "name": "step", "description": "One step", "migration_type": "data", "database_type": "mongodb", "operations": operations}))
        (peer / f"migrations/{20260101000000 + i}-step.js").write_text(
            f"module.exports = {{ async up(db) {{ await db.createCollection('c{i}'); await db.collection('c{i}').createIndex({{name: 1}}, {{name: 'c{i}_name'}}); "
            f"await db.collection('c{i}').createIndex({{n: -1}}, {{name: 'c{i}_n'}}); }}, async down(db) {{ await db.dropCollection('c{i}'); }} }};\n")
    times = {"godwit": [], "migrate-mongo": []}
    nothing = {"godwit": [], "migrate-mongo": []}
    for turn in range(int(os.environ.get("ROUNDS", "3"))):
        ours, theirs = f"bench{os.getpid()}a{turn}", f"bench{os.getpid()}b{turn}"
        (peer / "migrate-mongo-config.js").write_text(
            f"module.exports = {{ mongodb: {{ url: {json.dumps(f'{host}/?{query}')}, databaseName: {json.dumps(theirs)}, options: {{}} }}, migrationsDir: 'migrations', "
            "changelogCollectionName: 'changelog', lockCollectionName: 'changelog_lock', lockTtl: 0, migrationFileExtension: '.js', useFileHash: true, moduleSystem: 'commonjs' };\n")
        env = {**os.environ, "GODWIT_DATA_DIR": str(work / f"state{turn}")}
        apply = command(work, "apply", f"{host}/{ours}?{query}", "--yes")
        up = [peer / "node_modules/.bin/migrate-mongo", "up"]
        for into in (times, nothing):
            into["godwit"].append(timed(apply, env=env))
            into["migrate-mongo"].append(timed(up, cwd=peer))
        check = "const {MongoClient}=require('mongodb');(async()=>{const c=new MongoClient(process.argv[1]);let n=0;const d=c.db(process.argv[2]);" \
                "for(let i=0;i<+process.argv[3];i++){n+=(await d.collection('c'+i).indexes()).length==3;}console.log(n);await d.dropDatabase();await c.close();})()"
        for name in (ours, theirs):
            said = subprocess.run(["node", "-e", check, f"{host}/?{query}", name, str(rows)], cwd=peer, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
            if said != str(rows):
                sys.exit(f"{name} holds {said} of {rows} collections with their indexes")
    for what, each in (("applied", times), ("nothing to do", nothing)):
        ours, theirs = (statistics.median(each[t]) for t in ("godwit", "migrate-mongo"))
        print(f"{rows} migrations, {what}: {ours:.2f} s, migrate-mongo {MIGRATE_MONGO} {theirs:.2f} s: {ours / theirs:.2f} x")


def elasticsearch(work, rows, kills):
    url = server("elasticsearch", work)
    base = url.removeprefix("elasticsearch+")
    name = f"bench{os.getpid()}"

    def call(method, path, body=None, kind="application/json"):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{base}/{path}", data=data, method=method, headers={"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=3600) as answer:
            return json.load(answer)

    mapping = {"properties": {"n": {"type": "long"}, "name": {"type": "keyword"}}}
    settings = {"index": {"number_of_replicas": 0, "number_of_shards": 1}}
    call("PUT", f"{name}_v1", {"mappings": mapping, "settings": settings})

    def bulk(index):
        began = time.monotonic()
        for start in range(0, rows, 10_000):
            lines = "".join(f'{{"index":{{"_id":"{i}"}}}}\n{{"n":{i},"name":"name {i % 1000}"}}\n' for i in range(start, min(rows, start + 10_000)))
            if call("POST", f"{index}/_bulk", lines.encode(), "application/x-ndjson")["errors"]:
                sys.exit("the load failed")
        call("POST", f"{index}/_refresh")
        return time.monotonic() - began

    floor = bulk(f"{name}_v1")
    call("POST", "_aliases", {"actions": [{"add": {"index": f"{name}_v1", "alias": name}}]})
    call("PUT", f"{name}_plain", {"mappings": mapping, "settings": settings})
    began = time.monotonic()
    call("POST", "_reindex?wait_for_completion=true&timeout=1h", {"source": {"index": f"{name}_v1", "size": 1000}, "dest": {"index": f"{name}_plain"}})
    call("POST", f"{name}_plain/_refresh")
    reindex = time.monotonic() - began
    call("DELETE", f"{name}_plain")
    (work / "migrations").mkdir()
    (work / "migrations/001_wider.json").write_text(json.dumps({
        "version": "1.0.0", "name": "wider", "description": "A wider index", "migration_type": "data", "database_type": "elasticsearch",
        "operations": [{"type": "swap_alias", "alias": name, "from": f"{name}_v1", "to": f"{name}_v2",
                        "mapping": {"properties": {**mapping["properties"], "note": {"type": "text"}}}, "settings": settings}]}))
    seen, stop = {"reads": 0, "wrong": []}, threading.Event()

    def read():
        # One connection for all reads: a new one each would use the machine's ports up.
        place = urllib.parse.urlsplit(base)
        connection = http.client.HTTPConnection(place.hostname, place.port)
        while not stop.is_set():
            connection.request("GET", f"{place.path}/{name}/_count")
            answer = connection.getresponse().read().decode()
            seen["reads"] += 1
            if json.loads(answer).get("count") != rows:
                seen["wrong"].append(answer)

    reader = threading.Thread(target=read)
    reader.start()

    def done():
        call("POST", f"{name}_v2*/_refresh?allow_no_indices=true")
        return call("GET", f"{name}_v2*/_count?allow_no_indices=true")["count"]

    try:
        took = run_killed(work, url, kills, rows, done)
    finally:
        stop.set()
        reader.join()
    if seen["wrong"] or call("GET", f"{name}/_count")["count"] != rows:
        sys.exit(f"{len(seen['wrong'])} of {seen['reads']} reads of the alias were wrong: {seen['wrong'][:1]}")
    behind = list(call("GET", f"_alias/{name}"))
    print(f"{rows} documents behind {behind}: {took:.1f} s with {kills} kills; _reindex {reindex:.1f} s: {took / reindex:.2f} x; loaded by _bulk in {floor:.1f} s: {took / floor:.2f} x")
    print(f"a reader of the alias meanwhile: {seen['reads']} reads, each saw all documents")
    for index in behind + [f"{name}_v1"]:
        try:
            call("DELETE", index)
        except OSError:
            pass


def main():
    engines = {"redis": (redis, 1_000_000, 1), "mongodb": (mongodb, 300, 0), "elasticsearch": (elasticsearch, 2_000_000, 1)}
    if len(sys.argv) != 2 or sys.argv[1] not in engines:
        sys.exit(__doc__)
    bench, rows, kills = engines[sys.argv[1]]
    if not os.access(GODWIT, os.X_OK):
        sys.exit(f"no {GODWIT}: run cargo build --release")
    work = pathlib.Path(tempfile.mkdtemp(prefix="godwit-bench-"))
    work.chmod(0o755)
    try:
        bench(work, int(os.environ.get("ROWS", rows)), int(os.environ.get("KILLS", kills)))
    finally:
        if (work / "servers").exists():
            subprocess.run([ROOT / "scripts/servers", "down", work / "servers"], check=False)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
