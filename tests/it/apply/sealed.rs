//! Values that a migration holds sealed: opened where it runs, and shown nowhere [S4-84].

use std::io::Write as _;
use std::process::Stdio;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use serde_json::{Value, json};

use crate::support::{BOTH, Database, Kind, Project, Said, godwit, postgres_server};

/// What nobody may see. It has what ends a literal in each of the languages.
const VALUE: &str = "Tr0ub4dor's \"&\" \\3 ü$$ %s";
const VARIABLE: &str = "GODWIT_SEALED_IDENTITY";

fn secret(key: &Identity) -> String {
    key.to_string().expose_secret().to_owned()
}

/// `value` as `godwit seal` writes it for `key`.
fn seal(key: &Identity, value: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut command = godwit(dir.path());
    command.args(["seal", "--recipient", &key.to_public().to_string()]);
    let said = told(command, &format!("{value}\n")).expect(0);
    said.stdout.trim_end().to_owned()
}

/// What a command says that is given `input`.
fn told(mut command: std::process::Command, input: &str) -> Said {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

/// A typed migration.
fn typed(kind: Kind, name: &str, more: Value) -> (String, String) {
    let number = &name[..3];
    let mut file = json!({
        "version": format!("1.{}.0", number.parse::<u32>().unwrap()), "name": &name[4..], "description": "d",
        "database_type": kind.engine().as_str(), "migration_type": "data",
    });
    file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (format!("{name}.json"), serde_json::to_string_pretty(&file).unwrap())
}

/// A migration that writes `sealed` into a database of `kind`, what is needed for that, and a way back.
fn files(database: &Database, sealed: &str) -> Vec<(String, String)> {
    let kind = database.kind;
    let own = |name: &str, text: String| (name.to_owned(), text);
    match kind {
        Kind::Postgres | Kind::Sqlite => vec![
            own("0001_a.up.sql", "create table a (n text unique);".to_owned()),
            own("0001_a.down.sql", "drop table a;".to_owned()),
            own("0002_b.up.sql", format!("-- it is\n-- sealed\ninsert into a values ('{sealed}');")),
            own("0002_b.down.sql", format!("delete from a where n = '{sealed}';")),
        ],
        Kind::Mongodb | Kind::MongodbStandalone => vec![
            typed(kind, "001_a", json!({ "operations": [{ "type": "create_collection", "collection": "a" }] })),
            typed(
                kind,
                "002_b",
                json!({
                    "operations": [{ "type": "run_command", "command": { "insert": "a", "documents": [{ "_id": 1, "n": sealed }] } }],
                    "rollback": [{ "type": "update_documents", "collection": "a", "filter": { "_id": 1 }, "update": { "$set": { "n": "gone" } } }],
                }),
            ),
        ],
        Kind::Redis | Kind::RedisCluster => {
            let key = format!("{{{}}}a", database.name());
            vec![
                typed(kind, "001_a", json!({ "keys": [key], "args": [sealed] })),
                own("001_a.lua", "redis.call('SET', KEYS[1], ARGV[1])\nreturn 1\n".to_owned()),
                own("001_a_rollback.lua", "return redis.call('DEL', KEYS[1])\n".to_owned()),
                typed(kind, "002_b", json!({ "keys": [key], "args": [sealed] })),
                own(
                    "002_b.lua",
                    "-- ours\nif redis.call('GET', KEYS[1]) ~= ARGV[1] then error('another') end\nreturn 1\n"
                        .to_owned(),
                ),
                own("002_b_rollback.lua", "return 0\n".to_owned()),
            ]
        }
        Kind::Elasticsearch => {
            let index = format!("{}_a", database.name());
            vec![
                typed(
                    kind,
                    "001_a",
                    json!({ "operations": [{ "type": "create_index", "index": index, "mapping": {}, "settings": { "number_of_replicas": 0 } }] }),
                ),
                typed(
                    kind,
                    "002_b",
                    json!({
                        "operations": [{ "type": "update_by_query", "index": index, "query": { "exists": { "field": "id" } },
                            "script": { "source": "ctx._source.n = params.n", "params": { "n": sealed } } }],
                        "rollback": [{ "type": "update_by_query", "index": index, "query": { "exists": { "field": "id" } },
                            "script": { "source": "ctx._source.remove('n')" } }],
                    }),
                ),
            ]
        }
    }
}

/// What the database holds where the migration has written.
fn written(database: &Database) -> String {
    match database.kind {
        Kind::Postgres | Kind::Sqlite => database.one("select n from a"),
        Kind::Mongodb | Kind::MongodbStandalone => {
            let said = database.mongo(&json!({ "find": "a" })).unwrap();
            said["cursor"]["firstBatch"][0]["n"].as_str().unwrap_or_default().to_owned()
        }
        Kind::Redis | Kind::RedisCluster => database.redis(&["GET", &format!("{{{}}}a", database.name())]),
        Kind::Elasticsearch => {
            let path = format!("/{}_a/_doc/1", database.name());
            database.elastic("GET", &path, None).body["_source"]["n"].as_str().unwrap_or_default().to_owned()
        }
    }
}

fn project(kind: Kind, sealed: &str) -> Project {
    let database = Database::fresh(kind);
    let files = files(&database, sealed);
    let project = Project::of(database, &[]);
    files.iter().for_each(|(name, text)| project.write(name, text));
    project
}

fn run(project: &Project, key: &Identity, args: &[&str]) -> Said {
    project.command(args).env(VARIABLE, secret(key)).output().unwrap().into()
}

/// Neither the value nor a part of it that would tell, nor the key.
fn is_hidden(said: &Said, key: &Identity) {
    let all = format!("{}{}", said.stdout, said.stderr);
    for part in ["Tr0ub4dor", "roub4d", &secret(key)] {
        assert!(!all.contains(part), "{all}");
    }
}

#[test]
fn s4_84_a_sealed_value_is_opened_where_it_runs_and_shown_nowhere() {
    for kind in [Kind::Postgres, Kind::Sqlite, Kind::Mongodb, Kind::Redis, Kind::RedisCluster, Kind::Elasticsearch] {
        let key = Identity::generate();
        let sealed = seal(&key, VALUE);
        let project = project(kind, &sealed);
        if kind == Kind::Elasticsearch {
            run(&project, &key, &["apply", "--yes", "--to", "001_a"]).expect(0);
            let path = format!("/{}_a/_doc/1?refresh=true", project.database.name());
            project.database.elastic("PUT", &path, Some(&json!({ "id": 1 })));
        }
        // A plan needs no key, and tells that there is something to open.
        let plan = project.run(&["plan", "--format", "json"]).expect(0).json();
        let notes = plan["notes"].to_string();
        assert!(notes.contains("sealed value") && notes.contains("opened when the step runs"), "{kind:?}: {plan}");
        let shown = plan["steps"].to_string();
        assert!(shown.contains("ENC[age:"), "{kind:?}: what the file says is shown: {shown}");
        for args in [&["apply", "--yes", "--format", "json", "-vv"][..], &["status", "--format", "json"]] {
            is_hidden(&run(&project, &key, args).expect(0), &key);
        }
        for args in [&["logs"][..], &["audit", "list", "--format", "json"]] {
            let said: Said = godwit(project.dir.path()).args(args).output().unwrap().into();
            is_hidden(&said.expect(0), &key);
        }
        assert_eq!(written(&project.database), VALUE, "{kind:?}");
        is_hidden(&run(&project, &key, &["apply", "--yes"]).expect(0), &key);
        let back = ["rollback", "--steps", "1", "--yes", "--accept-data-loss", "--format", "json"];
        is_hidden(&run(&project, &key, &back).expect(0), &key);
        if !matches!(kind, Kind::Redis | Kind::RedisCluster) {
            assert_ne!(written(&project.database), VALUE, "{kind:?}: the way back was opened, too");
        }
        // Nor do the store and the target's history hold it.
        for file in std::fs::read_dir(project.store().parent().unwrap()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(9).any(|w| w == b"Tr0ub4dor"), "{kind:?}: the store holds the value");
        }
    }
}

#[test]
fn s4_84_without_its_key_nothing_is_changed() {
    for kind in [Kind::Postgres, Kind::Sqlite, Kind::Mongodb, Kind::Redis, Kind::Elasticsearch] {
        let key = Identity::generate();
        let project = project(kind, &seal(&key, VALUE));
        let refused = |said: Said, why: &str| {
            let said = said.expect(2).json();
            let told = said["blocked_by"].to_string();
            assert!(told.contains(why), "{kind:?}: {told}");
            assert_eq!(project.database.history(), [] as [&str; 0], "{kind:?}: not even the first one ran");
            told
        };
        let apply = ["apply", "--yes", "--format", "json"];
        let told = refused(project.run(&apply), "no key is given");
        assert!(told.contains(VARIABLE) && told.contains("sealed.identity"), "{told}");
        refused(run(&project, &Identity::generate(), &apply), "sealed for another key");
        let nonsense = project.command(&apply).env(VARIABLE, "AGE-SECRET-KEY-nonsense").output().unwrap().into();
        refused(nonsense, "is no `AGE-SECRET-KEY-1…`");
        let nowhere = project.command(&apply).env("GODWIT_SEALED_IDENTITY_FILE", "/nowhere").output().unwrap();
        refused(nowhere.into(), "cannot be read");
        // Several keys may stand in a file, as `age-keygen` writes them.
        let file = project.dir.path().join("keys.txt");
        let keys = format!("# public key: age1…\n{}\n\n{}\n", secret(&Identity::generate()), secret(&key));
        std::fs::write(&file, keys).unwrap();
        let said: Said = project.command(&apply).env("GODWIT_SEALED_IDENTITY_FILE", &file).output().unwrap().into();
        is_hidden(&said.expect(0), &key);
    }
}

#[test]
fn s4_84_a_failure_tells_its_line_and_nothing_of_the_value() {
    for kind in BOTH {
        let key = Identity::generate();
        let sealed = seal(&key, VALUE);
        let twice = format!("create table b (n text);\n\ninsert into a values\n  ('{sealed}'),\n  ('{sealed}');");
        for head in ["", "-- godwit: no-transaction "] {
            let project = project(kind, &sealed);
            project.remove("0002_b.up.sql");
            project.remove("0002_b.down.sql");
            project.write("0002_b.up.sql", &format!("{head}\n{twice}"));
            let said = run(&project, &key, &["apply", "--yes", "--format", "json"]).expect(1);
            is_hidden(&said, &key);
            let error = said.json()["steps"][1]["error"].clone();
            assert_eq!(error["line"], 4, "{kind:?}: {error}");
            assert!(!project.database.history().is_empty());
            let kept = match kind {
                Kind::Postgres => {
                    project.database.one("select coalesce(string_agg(error, ' '), '') from godwit_history")
                }
                _ => project.database.one("select coalesce(group_concat(error, ' '), '') from godwit_history"),
            };
            assert!(!kept.is_empty() && !kept.contains("roub4d"), "{kept}");
            // Mended behind what is done, it goes on from there.
            project
                .write("0002_b.up.sql", &format!("{head}\n{}", twice.replacen(&format!("('{sealed}'),"), "('x'),", 1)));
            run(&project, &key, &["apply", "--yes"]).expect(0);
            assert_eq!(project.database.one("select count(*) from a"), "2", "{kind:?} {head}");
        }
    }
}

/// What the server says while the statement runs, what a query gives that must give another, and what the log of a run keeps.
#[test]
fn s4_84_neither_a_notice_nor_a_query_nor_the_log_of_a_run_tells_it() {
    let key = Identity::generate();
    let sealed = seal(&key, VALUE);
    let project = Project::new(Kind::Postgres, &[]);
    project.write(
        "0001_a.up.sql",
        "create function note(n text) returns void language plpgsql as $$ begin raise notice 'it is %', n; end $$;\n\
         create function fail(n text) returns void language plpgsql as $$ begin execute format('select %L::int', n); end $$;",
    );
    project.write("0002_b.up.sql", &format!("select note('{sealed}');"));
    let said = run(&project, &key, &["apply", "--yes", "--format", "json"]).expect(0);
    is_hidden(&said, &key);
    assert!(said.stdout.contains("it is ****"), "{}", said.stdout);
    let logs = || {
        let said: Said = godwit(project.dir.path()).args(["logs", "-v"]).output().unwrap().into();
        is_hidden(&said, &key);
        said.stdout
    };
    for (name, sql, says) in [
        ("0003_c.up.sql", format!("select '{sealed}'::text;\n-- Should return 0\n"), "must return `0`"),
        // In a notation of its own, in the server's context.
        ("0003_c.up.sql", format!("select fail('{sealed}');"), "invalid input syntax"),
        ("0003_c.up.sql", format!("select json '{sealed}';"), "invalid input syntax for type json"),
        (
            "0003_c.up.sql",
            format!("-- godwit: no-transaction\nvacuum;\nalter role nobody_at_all password '{sealed}';"),
            "nobody_at_all",
        ),
    ] {
        project.write(name, &sql);
        let said = run(&project, &key, &["apply", "--yes", "--format", "json"]).expect(1);
        is_hidden(&said, &key);
        assert!(said.stdout.contains(says), "{sql}: {}", said.stdout);
        assert!(!logs().contains("u0020"), "{sql}");
    }
}

/// Another runner that waits says what it waits for: not the value.
#[test]
fn s4_84_who_waits_for_a_statement_does_not_see_the_value_in_it() {
    let key = Identity::generate();
    let sealed = seal(&key, VALUE);
    let project = Project::new(Kind::Postgres, &[("0001_a.up.sql", "create table a (n text);")]);
    run(&project, &key, &["apply", "--yes"]).expect(0);
    let sql = format!("-- godwit: no-transaction\nvacuum a;\nselect pg_sleep(8), '{sealed}'::text;");
    project.write("0002_b.up.sql", &sql);
    let mut child = project.command(&["apply", "--yes"]);
    let mut child = child.env(VARIABLE, secret(&key)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let sleeps =
        "select count(*)::text from pg_stat_activity where query like '%pg_sleep(8)%' and pid <> pg_backend_pid()";
    crate::support::until("it sleeps", || project.database.one(sleeps) != "0");
    let said = run(&project, &key, &["apply", "--yes", "--lock-wait", "1"]).expect(3);
    is_hidden(&said, &key);
    assert!(said.stdout.contains("it runs `") && !said.stdout.contains("u0020"), "{}", said.stdout);
    assert!(child.wait().unwrap().success());
}

#[test]
fn s4_84_a_run_that_was_killed_goes_on_with_the_key() {
    for kind in [Kind::Postgres, Kind::Mongodb, Kind::Redis] {
        let key = Identity::generate();
        let project = project(kind, &seal(&key, VALUE));
        let killed = project
            .command(&["apply", "--yes"])
            .env(VARIABLE, secret(&key))
            .env("GODWIT_FAILPOINT", "record_pre:kill")
            .output()
            .unwrap();
        assert!(!killed.status.success());
        is_hidden(&killed.into(), &key);
        is_hidden(&run(&project, &key, &["resume", "--format", "json"]).expect(0), &key);
        assert_eq!(written(&project.database), VALUE, "{kind:?}");
    }
}

/// A rehearsal may be of files that nobody has agreed to yet: it opens nothing, whatever key is there.
#[test]
fn s4_84_a_rehearsal_opens_nothing() {
    for (kind, url) in [(Kind::Postgres, postgres_server()), (Kind::Sqlite, "sqlite:".to_owned())] {
        let key = Identity::generate();
        let project = project(kind, &seal(&key, VALUE));
        // It would fail with any other value than the one that stands in the file.
        project.write(
            "0003_c.up.sql",
            "create table c (n text check (n like 'ENC_age:%'));\ninsert into c select n from a;",
        );
        project.write("0003_c.down.sql", "drop table c;");
        let mut command = godwit(project.dir.path());
        command.arg("rehearse").arg(project.migrations()).args(["--url", &url]).env(VARIABLE, secret(&key));
        is_hidden(&Said::from(command.output().unwrap()).expect(0), &key);
    }
}

#[test]
fn s4_84_an_environment_names_its_own_keys() {
    let (production, development) = (Identity::generate(), Identity::generate());
    let database = Database::fresh(Kind::Sqlite);
    let project = Project::of(database, &[("0001_a.up.sql", "create table a (n text unique);")]);
    let write = |name: &str, text: &str| {
        let file = project.dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write(
        "godwit.yml",
        "version: 1\nenvironments: [development, production]\nmigrations:\n  - { path: m, target: shop }\n",
    );
    let part = |name: &str, key: &Identity| {
        format!(
            "{name}:\n  targets:\n    shop: {{ engine: sqlite, url: \"${{SHOP_URL}}\" }}\n  migration: {{ backup_required: false }}\n  \
             sealed: {{ recipients: [{}], identity: \"${{{}_KEY}}\" }}\n",
            key.to_public(),
            name.to_uppercase()
        )
    };
    let environments = format!("{}{}", part("development", &development), part("production", &production));
    write("policies/environments.yml", &environments);
    let command = |args: &[&str]| {
        let mut command = godwit(project.dir.path());
        command.args(args).env("SHOP_URL", &project.database.url);
        command
    };
    let said = told(command(&["seal", "--env", "production", "--format", "json"]), VALUE).expect(0).json();
    assert_eq!(said["recipients"], json!([production.to_public().to_string()]));
    let sealed = said["sealed"].as_str().unwrap();
    project.write("0002_b.up.sql", &format!("insert into a values ('{sealed}');"));
    // The right key in the wrong place: only the one that the environment names counts.
    let keys = |mut command: std::process::Command, development: &Identity| -> Said {
        command.env("DEVELOPMENT_KEY", secret(development)).env(VARIABLE, secret(&production)).output().unwrap().into()
    };
    let refused = keys(command(&["apply", "development", "--yes"]), &development).expect(2);
    assert!(refused.stdout.contains("sealed for another key"), "{refused:?}");
    let missing: Said = command(&["apply", "development", "--yes"]).output().unwrap().into();
    assert!(missing.expect(2).stdout.contains("set `DEVELOPMENT_KEY`"));
    keys(command(&["apply", "development", "--yes"]), &production).expect(0);
    assert_eq!(project.database.one("select n from a"), VALUE);
    // Seed data is opened by the same key.
    let seed = told(command(&["seal", "--env", "development"]), "of the seed").expect(0);
    write(
        "seeds/development.sql",
        &format!("insert into a values ('{}') on conflict do nothing;", seed.stdout.trim_end()),
    );
    keys(command(&["seed", "development"]), &production).expect(2);
    keys(command(&["seed", "development"]), &development).expect(0);
    assert_eq!(project.database.one("select n from a where n <> 'x' order by n desc limit 1"), "of the seed");
    // What is no public key is refused without being repeated, and a private key in the file is told.
    for (from, to, says) in [
        (production.to_public().to_string(), secret(&production), "takes public keys"),
        ("${PRODUCTION_KEY}".to_owned(), secret(&production), "take it from a variable"),
    ] {
        write("policies/environments.yml", &environments.replace(&from, &to));
        let said: Said = command(&["policy", "check"]).output().unwrap().into();
        assert!(format!("{said:?}").contains(says), "{said:?}");
        is_hidden(&said, &production);
    }
}

#[test]
fn s4_84_what_cannot_be_sealed_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let public = Identity::generate().to_public().to_string();
    for (args, input, says) in [
        (&["seal"][..], "x", "say for whom"),
        (&["seal", "--recipient", "age1nonsense"], "x", "is no `age1…` public key"),
        (&["seal", "--env", "nowhere"], "x", "nowhere"),
        (&["seal", "--recipient", &public], "", "no value on standard input"),
        (&["seal", "--recipient", &public], "\n", "no value on standard input"),
    ] {
        let mut command = godwit(dir.path());
        command.args(args);
        let said = told(command, input).expect(2);
        assert!(said.stderr.contains(says), "{args:?}: {}", said.stderr);
    }
    // Sealed twice, it reads otherwise: nobody can tell from the file which values are the same.
    let key = Identity::generate();
    assert_ne!(seal(&key, "x"), seal(&key, "x"));
}

/// Before it runs, the linter and the plan say what would not be opened; what is sealed is no secret to them.
#[test]
fn s4_84_x01_lint_takes_a_sealed_value_for_no_secret_and_tells_a_broken_one() {
    let key = Identity::generate();
    let sealed = seal(&key, VALUE);
    let project = Project::new(Kind::Postgres, &[]);
    let lint = |sql: &str| {
        project.write("0001_a.up.sql", sql);
        let mut command = godwit(project.dir.path());
        let said: Said = command.args(["lint", "m", "--format", "json"]).output().unwrap().into();
        let said = said.json();
        let rules: Vec<String> = said["violations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| format!("{}:{}", v["rule"].as_str().unwrap(), v["line"]))
            .collect();
        rules
    };
    let role = "-- a role\nalter role shop password ";
    assert!(lint(&format!("{role}'hunter2';")).contains(&"password-literal:2".to_owned()));
    let rules = lint(&format!("{role}'{sealed}';"));
    assert!(!rules.iter().any(|r| r.starts_with("password-literal") || r.starts_with("sealed-value")), "{rules:?}");
    for broken in [format!("'{}'", &sealed[..sealed.len() - 3]), format!("E'{sealed}'"), format!("'x {sealed}'")] {
        assert!(lint(&format!("{role}{broken};")).contains(&"sealed-value:2".to_owned()), "{broken}");
        let refused = run(&project, &key, &["apply", "--yes"]).expect(1);
        assert!(refused.stdout.contains("0001_a.up.sql:2"), "{refused:?}");
    }
}
