//! A plan is told apart from a change by the servers' own counters of writes.

use mongodb::bson::doc;

use crate::kill::steps::{files, fill, steps};
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, Project, until, wait};

/// How much was ever written, as the server itself counts it. Elsewhere than on Redis it counts by database.
fn writes(database: &Database) -> i64 {
    match database.kind {
        Kind::Postgres | Kind::Sqlite => {
            // A connection counts what it did when it ends.
            let others = "select count(*)::text from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
            until("every connection has ended", || database.one(others) == "0");
            let counted =
                "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint::text from pg_stat_user_tables";
            database.one(counted).parse().unwrap()
        }
        Kind::Mongodb | Kind::MongodbStandalone => top(database),
        Kind::Redis | Kind::RedisCluster => {
            let told: String = database.redis(&["INFO", "persistence"]);
            told.lines().find_map(|l| l.strip_prefix("rdb_changes_since_last_save:")).unwrap().parse().unwrap()
        }
        Kind::Elasticsearch => {
            let path = format!("/*{}*/_stats/indexing?expand_wildcards=all", database.name());
            let counted = database.elastic("GET", &path, None).body["_all"]["primaries"]["indexing"].clone();
            // Nothing is counted where there is no index yet.
            ["index_total", "delete_total"].iter().filter_map(|what| counted[*what].as_i64()).sum()
        }
    }
}

/// MongoDB's counters of each collection.
fn top(database: &Database) -> i64 {
    let said = wait(async {
        let client = mongodb::Client::with_uri_str(&database.url).await.unwrap();
        client.database("admin").run_command(doc! { "top": 1 }).await.unwrap()
    });
    let own = format!("{}.", database.name());
    let totals = said.get_document("totals").unwrap().iter().filter(|(name, _)| name.starts_with(&own));
    let counts = totals.filter_map(|(_, counters)| counters.as_document()).flat_map(|counters| {
        ["insert", "update", "remove"].map(|what| counters.get_document(what).and_then(|c| c.get_i32("count")).unwrap())
    });
    counts.map(i64::from).sum()
}

#[test]
fn r15_a_plan_moves_no_counter_of_writes() {
    let redis = OwnServer::up("redis");
    for kind in [Kind::Postgres, Kind::Mongodb, Kind::Redis, Kind::Elasticsearch] {
        for step in steps(kind) {
            let database = match kind {
                Kind::Redis => Database::alone_on(kind, &redis.url),
                _ => Database::fresh(kind),
            };
            let project = Project::of(database, &[]);
            for (name, text) in files(&project.database, *step) {
                project.write(&name, &text);
            }
            let first = if kind == Kind::Postgres { "0001_first" } else { "001_first" };
            let empty = writes(&project.database);
            project.run(&["apply", "--yes", "--to", first]).expect(0);
            fill(&project.database);
            let before = writes(&project.database);
            assert!(before > empty, "{kind:?}: the counter counts");
            for arguments in [&["plan", "--format", "json"][..], &["apply", "--dry-run"], &["status"]] {
                project.run(arguments).expect(0);
                assert_eq!(writes(&project.database), before, "{kind:?} {arguments:?}");
            }
        }
    }
}
