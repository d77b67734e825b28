#!/usr/bin/env python3
"""Applies folders of real PostgreSQL migrations whole, and compares with what psql makes of the same files.

  GODWIT_CORPORA=DIR GODWIT_PG=postgres://… bench/corpora/run.py [FOLDER…]

Each folder of DIR is one project's migrations (default: all of them). For each: an empty database gets every file by
psql, in the order of the project's own tool (worked out here from the names); another gets `godwit apply`. Then
`pg_dump --schema-only` of both must say the same, the second `apply` must have nothing to do, and the history must
name every migration once. Then both undo the newest migrations, as many as psql can,
and must say the same again. A file that psql itself cannot run ends both there; so do two files with one version. Ways back whose way there is a program are left out. GODWIT names the program (default: target/release/godwit).
"""
import difflib, json, os, re, shutil, subprocess, sys, tempfile, time
from urllib.parse import urlsplit, urlunsplit

corpora = os.environ.get("GODWIT_CORPORA") or sys.exit(__doc__)
server = os.environ.get("GODWIT_PG") or sys.exit(__doc__)
here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
program = os.environ.get("GODWIT", os.path.join(here, "target/release/godwit"))
# What tools keep beside the schema.
OWN = ["godwit_*", "_prisma_migrations", "flyway_schema_history", "schema_migrations", "goose_db_version", "__diesel_schema_migrations"]


def number(text):
    return int(re.match(r"\d+", text)[0])


def scripts(folder):
    """The forward scripts in their tool's order: (id, text)."""
    entries = sorted(os.listdir(folder), key=str.encode)
    inside = lambda name: [e for e in entries if os.path.isfile(os.path.join(folder, e, name))]
    read = lambda *path: open(os.path.join(folder, *path), encoding="utf-8").read()
    if inside("migration.sql"):
        return [(d, read(d, "migration.sql")) for d in inside("migration.sql")]
    if inside("up.sql"):
        return [(d, read(d, "up.sql")) for d in sorted(inside("up.sql"), key=lambda d: d.split("_")[0].replace("-", ""))]
    files = [e for e in entries if e.endswith(".sql") and os.path.isfile(os.path.join(folder, e))]
    versioned = [f for f in files if re.match(r"V[\d._]+__", f)]
    if versioned:
        version = lambda f: [int(p) for p in re.split(r"[._]", f[1:].split("__")[0])]
        ordered = sorted(versioned, key=version) + sorted(f for f in files if f.startswith("R__"))
        return [(f[:-4], read(f)) for f in ordered]
    goose = [f for f in files if "-- +goose Up" in read(f)]
    if goose:
        up = lambda text: re.split(r"--\s*\+goose\s+Down", text, flags=re.I)[0]
        return [(f[:-4], up(read(f))) for f in sorted(goose, key=number)]
    return [(f[: -len(".up.sql")], read(f)) for f in sorted((f for f in files if f.endswith(".up.sql")), key=number)]


def ways_back(folder, ids):
    """The backward scripts of the newest migrations, newest first, up to the first that has none."""
    found = []
    for one in reversed(ids):
        path = next((p for p in (os.path.join(folder, one, "down.sql"), os.path.join(folder, f"{one}.down.sql")) if os.path.isfile(p)), None)
        text = path and open(path, encoding="utf-8").read()
        # A text of comments alone undoes nothing.
        if not text or not re.sub(r"--[^\n]*|/\*.*?\*/", "", text, flags=re.S).strip():
            break
        found.append((one, text))
    return found


def at(database):
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


def psql(database, *args, text=None):
    return subprocess.run(["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", *args, at(database)],
                          input=text, capture_output=True, text=True)


def fresh(database):
    for sql in (f"drop database if exists {database} with (force)", f"create database {database}"):
        done = psql("postgres", "-c", sql)
        if done.returncode:
            sys.exit(f"corpora: {sql}: {done.stderr}")


def schema(database):
    left_out = [f"--exclude-table={table}" for table in OWN]
    done = subprocess.run(["pg_dump", "--schema-only", "--no-owner", *left_out, at(database)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"corpora: pg_dump: {done.stderr}")
    # A word of its own in each dump.
    return [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def godwit(folder, database, state, *more, command="apply"):
    began = time.monotonic()
    done = subprocess.run([program, command, "--yes", "--accept-data-loss", "--format", "json", "--url", at(database), "--path", folder, *more],
                          capture_output=True, text=True, env={**os.environ, "GODWIT_DATA_DIR": state})
    try:
        return json.loads(done.stdout), time.monotonic() - began
    except ValueError:
        sys.exit(f"corpora: godwit ended with {done.returncode}\n{done.stdout}{done.stderr}")


def back(folder, ids, state, problems):
    """Undoes as many of the newest migrations as psql can undo, by both, and compares; gives their number."""
    undone = 0
    for _, text in ways_back(folder, ids):
        # What may not stand in a transaction does one thing alone.
        whole = [] if "concurrently" in text.lower() else ["-1"]
        if psql("corpora_psql", *whole, text=text).returncode:
            break
        undone += 1
    if undone:
        report, _ = godwit(folder, "corpora_godwit", state, "--steps", str(undone), command="rollback")
        ours = [s["migration"] for s in report["steps"] if s["state"] == "rolled_back"]
        if ours != ids[::-1][:undone]:
            problems.append(f"psql undid {undone}, godwit {len(ours)}: {[b['message'] for b in report['blocked_by']][:3]}")
        elif schema("corpora_godwit") != schema("corpora_psql"):
            problems.append(f"the schemas differ after {undone} were undone")
    return undone


def compare(name):
    folder = os.path.join(corpora, name)
    all_of_them = scripts(folder)
    fresh("corpora_psql"), fresh("corpora_godwit")
    began, done, stopped, whole = time.monotonic(), 0, None, len(all_of_them)
    # Two files with one version are an error of the folder: as far as they.
    seen = {}
    for n, (one, _) in enumerate(all_of_them):
        if os.path.isfile(os.path.join(folder, f"{one}.up.sql")) and seen.setdefault(number(one), n) != n:
            stopped, all_of_them = f"{one} and {all_of_them[seen[number(one)]][0]} have one version", all_of_them[: seen[number(one)]]
            break
    for one, text in all_of_them:
        said = psql("corpora_psql", "-1", text=text)
        # What failed in one transaction has left nothing.
        if said.returncode and psql("corpora_psql", text=text).returncode:
            stopped = f"psql stops at {one}: {said.stderr.strip().splitlines()[0]}"
            break
        done += 1
    by_psql = time.monotonic() - began
    problems = []
    with tempfile.TemporaryDirectory() as state:
        there = {number(one) for one, _ in all_of_them if one[0].isdigit()}
        left_out = lambda _, files: [f for f in files if f.endswith((".down.sql", ".up.sql")) and "_" in f and number(f) not in there]
        folder = shutil.copytree(folder, os.path.join(state, name), ignore=left_out)
        to = ("--to", all_of_them[done - 1][0]) if stopped and done else ()
        report, by_godwit = godwit(folder, "corpora_godwit", state, *to)
        applied = [s for s in report["steps"] if s["state"] == "applied"]
        if len(applied) != done:
            failed = next((s for s in report["steps"] if s["error"]), None)
            why = failed and f"{failed['migration']}: {failed['error']['message']}" or [b["message"] for b in report["blocked_by"]][:3]
            problems.append(f"{len(applied)} applied, psql ran {done}: {why}")
        else:
            ours, theirs = schema("corpora_godwit"), schema("corpora_psql")
            if ours != theirs:
                problems.append("the schemas differ:\n" + "\n".join(list(difflib.unified_diff(theirs, ours, "psql", "godwit", lineterm="", n=1))[:30]))
            rows = psql("corpora_godwit", "-c", "select count(*), count(distinct (unit, id)) from godwit_history where state = 'applied'").stdout.strip()
            if rows != f"{done}|{done}":
                problems.append(f"the history has {rows} rows")
            again, second = godwit(folder, "corpora_godwit", state, *to)
            if again["outcome"] != "nothing":
                problems.append(f"the second apply says {again['outcome']}")
            undone = back(folder, [one for one, _ in all_of_them[:done]], state, problems)
            print(f"{name}: {done} of {whole} migrations, {undone} undone, psql {by_psql:.1f} s, godwit {by_godwit:.1f} s, again {second:.2f} s; "
                  f"{len(ours)} lines of schema" + (f"; {stopped}" if stopped else ""))
    for problem in problems:
        print(f"{name}: WRONG: {problem}")
    return not problems


names = sys.argv[1:] or sorted(n for n in os.listdir(corpora) if os.path.isdir(os.path.join(corpora, n)))
good = [compare(name) for name in names]
for database in ("corpora_psql", "corpora_godwit"):
    psql("postgres", "-c", f"drop database if exists {database} with (force)")
sys.exit(0 if all(good) else 1)
