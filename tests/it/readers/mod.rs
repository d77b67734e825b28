//! Whatever a stranger may write, no reader panics or hangs on it: samples of every format, bent at random.
//!
//! The suite bends the same way each time, so that it never fails by chance. For a hunt:
//! `PROPTEST_CASES=100000 PROPTEST_RNG_SEED=$RANDOM scripts/test readers::`; a failure prints the bent text.

mod bend;

use chrono::NaiveDate;
use godwit::approval::Policy;
use godwit::approval::codeowners::CodeOwners;
use godwit::config::{LintConfig, RepoConfig};
use godwit::ids::{Engine, EnvironmentName};
use godwit::lint::fix::fixes;
use godwit::lint::{Scope, check, objects_of, pipelines};
use godwit::migration::execution::{execution, statements};
use godwit::migration::operations::Operation;
use godwit::migration::{MigrationRoot, SourceFile, graph, resolve};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use bend::{bent, bent_bytes, bent_of};

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap()
}

/// Lints the files as a repository that a stranger sent, and reads every script as a run would.
fn swallow(files: Vec<(String, Vec<u8>)>) {
    let files: Vec<SourceFile> = files.into_iter().map(|(path, bytes)| SourceFile::new(path, bytes)).collect();
    let set = resolve(&files, &[MigrationRoot::folder("**")]);
    let report = check(&set, &LintConfig::default(), &Scope::All, today());
    for found in &report.violations {
        assert!(found.line >= 1 && found.end_line >= found.line, "{found:?}");
    }
    for fixed in fixes(&set, &report, &LintConfig::default(), &Scope::All, today()) {
        assert!(!fixed.mended.is_empty(), "{fixed:?}");
    }
    for migration in &set.migrations {
        let _ = objects_of(migration);
        for script in std::iter::once(&migration.up).chain(&migration.down) {
            let _ = execution(migration.engine, &script.text, false);
            let _ = statements(migration.engine, &script.text);
        }
    }
    let _ = graph::edges(&set);
}

const PRISMA_SQL: &[&str] = &["CREATE TABLE \"users\" (\"key\" TEXT NOT NULL, \"role\" \"Role\"[]);"];
const SQL: &[&str] = &[
    include_str!("../../../migrations/postgresql/0002_orders.up.sql"),
    include_str!("../../../migrations/postgresql/0004_customers_names_expand.up.sql"),
    include_str!("../../../migrations/postgresql/0005_customers_names_backfill.up.sql"),
    "do $body$ begin execute 'drop table t'; perform 1; end $body$;\ncreate index concurrently if not exists i on t (a);",
    "create function f() returns trigger language plpgsql as $$ begin raise notice '% of %', 1, 2; return new; end $$;",
    "-- godwit: risk=HIGH depends_on=shop/0003_x no-transaction waive=ban-drop-table reason=\"old\"\nalter table a.b alter column c type text using c::text;",
    "-- +goose Up\n-- +goose StatementBegin\nselect 1;\n-- +goose StatementEnd\n-- +goose Down\nselect 2;",
    "-- migrate:up transaction:false\nvacuum full t;\n-- migrate:down\n",
    "begin;\nupdate t set a = e'\\'' where b ->> 'c' = $1;\ncommit;\n\\copy t from 'x'\n",
    "ALTER TABLE s.tä ADD COLUMN c uuid DEFAULT gen_random_uuid(), ADD d bigint DEFAULT 1 CHECK (d > 0) REFERENCES u (id);",
    "alter table t alter column \"ä b\" set not null;",
    "alter table t add constraint k unique (a, b)",
    "set lock_timeout = 0;\ndrop view v cascade; truncate t cascade;\ninsert into u select a from t where a not in (select b from v) limit 3;",
    "create table c (id bigint primary key, a json, t_id bigint references t (id)) inherits (p);\ncreate index on c (a);\ncopy c from stdin;",
];

const PRISMA: &[&str] = &[
    "datasource db {\n  provider = \"postgresql\"\n}\nenum Role {\n  A\n  B\n}\nmodel User {\n  id String @id @map(\"key\")\n  role Role[] // all\n  at DateTime?\n  posts Post[]\n  @@map(\"users\")\n}\nmodel Post {\n  id Int @id\n  by User @relation(fields: [byId], references: [id])\n  byId String\n  @@schema(\"blog\")\n}\nview V {\n  id Int @unique\n}\n",
];

const PIPELINES: &[(&str, &str)] = &[
    (
        ".github/workflows/deploy.yml",
        "name: Deploy\non: push\nenv:\n  DATABASE_URL: ${{ secrets.DATABASE_URL }}\njobs:\n  run:\n    environment:\n      name: production\n    steps:\n      - run: |\n          npm run db\n          npx prisma migrate deploy\n      - uses: x@y\n",
    ),
    (
        "package.json",
        "{\"scripts\":{\"start\":\"npm run db && node .\",\"db\":\"prisma migrate reset --force; yarn start\"}}",
    ),
    ("Dockerfile", "FROM node\nRUN npx prisma generate\nCMD [\"npx\", \"prisma\", \"migrate\", \"deploy\"]\n"),
];

const JSON: &[(&str, &str)] = &[
    ("mongodb", include_str!("../../../migrations/mongodb/001_customers.json")),
    ("mongodb", include_str!("../../../migrations/mongodb/002_customer_status.json")),
    ("elasticsearch", include_str!("../../../migrations/elasticsearch/002_orders_v2.json")),
    ("redis", r#"{"version":"1.0.0","operations":[{"type":"rename_keys","pattern":"a:*","from":"a:","to":"b:"}]}"#),
];

const LUA: &str = "local n = 0\nfor i, key in ipairs(KEYS) do\n  if redis.call('HEXISTS', key, 'v') == 0 then\n    redis.call('HSET', key, 'v', ARGV[1])\n    n = n + 1\n  end\nend\nreturn n\n";

const YAML: &[(&str, &str)] = &[
    ("policies/approval_matrix.yml", include_str!("../../../policies/approval_matrix.yml")),
    (
        "policies/environments.yml",
        "production:\n  targets:\n    pg: { engine: postgresql, host: \"${H}\", port: 5432, database: d, user: u, password: \"${P}\" }\n    m: { engine: mongodb, url: \"${M}\", region: eu }\n  migration: { auto_approve: false, backup_required: true, timeout: 900 }\n  promotion: manual\n  branch: release/1.x\n  windows:\n    - { days: [sat, sun], start: \"22:00\", end: \"04:00\", timezone: Europe/Berlin }\n  health_checks: { thresholds: { cpu_usage: { warning: 70, critical: 90 } }, critical_tables: [pg/orders] }\n",
    ),
    (
        "policies/roles.yml",
        "dba:\n  teams: [org/dba]\n  users: [ada]\n  labels: [approved:dba]\ncto: ['@bob', '@org/cto']\n",
    ),
    (
        "policies/lint.yml",
        "postgres_version: 16\nrules: { ban-drop-column: error }\nwaivers:\n  - { rule: ban-drop-table, paths: ['m/**'], reason: old, expires: 2027-01-31 }\n",
    ),
    (
        "godwit.yml",
        "version: 1\nenvironments: [development, production]\npolicies: policies\nmigrations:\n  - { path: db/migrations, layout: numbered, engine: postgresql, target: pg, native: auto }\ncritical_tables: [orders]\n",
    ),
];

const OWNERS: &str = "# owners\n* @org/all\n/migrations/**/*.sql @org/dba ada@example.com\ndocs/* @bob # the lot\n/a\\ b/ @x\n[Section][2] @no\n!not @y\n";

const COMMENTS: &str = "Hello\n/godwit resolve production 0004_orders applied it was done by hand\n> /godwit help\n```\n/godwit apply staging\n```\n/godwit rollback staging 0004_orders\n/godwit rollback staging \"billing/0005 two words\"\n/godwit release staging “0006 „three“ words” now\n/godwit emergency production the shop is down\n";

/// The library's own settings, whose variables choose the number of cases and the seed.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sql(text in bent(SQL), name in r"(00[0-9]{1,3}|V1\.[0-9]|R|U2)_{1,2}[a-z é/]{1,9}(\.up|\.down)?\.(sql|SQL|js|json)") {
        swallow(vec![
            ("migrations/postgresql/0001_first.up.sql".to_owned(), SQL[0].into()),
            (format!("migrations/postgresql/{name}"), text.clone().into()),
            ("migrations/sqlite/0001_x.up.sql".to_owned(), text.into()),
        ]);
    }

    #[test]
    fn bytes_that_are_no_text(bytes in bent_bytes(SQL[0].as_bytes())) {
        swallow(vec![
            ("db/V1__a.sql".to_owned(), bytes.clone()),
            ("prisma/migrations/20240101000000_a/migration.sql".to_owned(), bytes.clone()),
            ("services/a/migrations/dependencies.json".to_owned(), bytes.clone()),
            ("m/mongodb/001_a.json".to_owned(), bytes),
        ]);
    }

    #[test]
    fn json(seed in 0..JSON.len(), text in bent_of(JSON)) {
        for engine in [Engine::Mongodb, Engine::Elasticsearch, Engine::Redis] {
            let _ = Operation::parse(engine, &text);
        }
        let folder = JSON[seed].0;
        swallow(vec![
            (format!("migrations/{folder}/001_first.json"), JSON[seed].1.into()),
            (format!("migrations/{folder}/002_bent.json"), text.into()),
        ]);
    }

    #[test]
    fn lua(text in bent(&[LUA])) {
        let metadata = r#"{"version":"1.0.0","description":"counts"}"#;
        swallow(vec![
            ("migrations/redis/1.0.0_count.json".to_owned(), metadata.into()),
            ("migrations/redis/1.0.0_count.lua".to_owned(), text.into()),
        ]);
    }

    #[test]
    fn yaml(seed in 0..YAML.len(), text in bent_of(YAML)) {
        let file = YAML[seed].0;
        let _ = RepoConfig::parse_all(&text);
        let only = |path: &str| (path == file).then(|| text.clone().into_bytes());
        let _ = Policy::load(&only);
    }

    #[test]
    fn prisma(schema in bent(PRISMA), sql in bent(PRISMA_SQL)) {
        swallow(vec![
            ("prisma/schema.prisma".to_owned(), schema.into()),
            ("prisma/migrations/20240101000000_a/migration.sql".to_owned(), sql.into()),
        ]);
    }

    #[test]
    fn pipeline(seed in 0..PIPELINES.len(), text in bent_of(PIPELINES)) {
        let files: Vec<(String, String)> = PIPELINES
            .iter()
            .enumerate()
            .map(|(n, (path, own))| ((*path).to_owned(), if n == seed { text.clone() } else { (*own).to_owned() }))
            .collect();
        for found in pipelines::problems(&files) {
            assert!(found.line >= 1, "{found:?}");
        }
    }

    #[test]
    fn codeowners(text in bent(&[OWNERS]), path in r"[a-z /.é\\*]{1,20}") {
        let owners = CodeOwners::parse("CODEOWNERS", &text);
        let _ = owners.owners_of(&path);
    }
}

/// Each sample is what it says before it is bent: a test of nonsense alone would prove little.
#[test]
fn the_samples_are_read_as_they_are() {
    for (engine, text) in JSON {
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{engine}");
    }
    for (file, text) in YAML {
        let only = |path: &str| (path == *file).then(|| text.as_bytes().to_vec());
        match *file {
            RepoConfig::FILE => assert!(RepoConfig::parse_all(text).is_ok()),
            _ => {
                let read = Policy::load(&only);
                assert!(read.is_ok(), "{file}: {read:?}");
            }
        }
    }
    let pipelines: Vec<(String, String)> = PIPELINES.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
    assert!(pipelines::problems(&pipelines).len() >= 3);
    assert!(CodeOwners::parse("CODEOWNERS", OWNERS).owners_of("migrations/a/b.sql").is_some());
}

mod from_github {
    use std::sync::LazyLock;

    use godwit::bot::command;
    use godwit::github::webhook;

    use super::*;

    /// Payloads that GitHub's own projects publish, by event.
    static PAYLOADS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
        let place = std::path::PathBuf::from(
            std::env::var_os("GODWIT_TEST_WEBHOOK_EXAMPLES").expect("`scripts/test` sets GODWIT_TEST_WEBHOOK_EXAMPLES"),
        );
        let file = if place.is_file() { place } else { place.join("api.github.com/index.json") };
        let events: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let mut all = Vec::new();
        for event in &events {
            let name = event["name"].as_str().unwrap();
            let read = ["pull_request", "pull_request_review", "issue_comment", "check_run", "push", "merge_group"];
            if read.contains(&name) {
                let example = event["examples"].as_array().unwrap().first().unwrap();
                all.push((name.to_owned(), serde_json::to_vec(example).unwrap()));
            }
        }
        assert!(all.len() >= 5);
        all
    });

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn comments(text in bent(&[COMMENTS])) {
            let _ = command::addresses_bot(&text);
            let environments = ["staging", "production"].map(|n| EnvironmentName::new(n).unwrap());
            let _ = command::commands(&text, &environments);
        }

        #[test]
        fn webhooks(seed in any::<prop::sample::Index>(), edits in bend::edits()) {
            let (name, body) = seed.get(&PAYLOADS);
            let _ = webhook::parse(name, &bend::bytes(body, &edits));
        }
    }
}
