//! A replica that falls behind holds a backfill up [S4-90]: a real one, whose replay is paused.

use std::io::{BufRead as _, BufReader};

use super::{once, project_on, touched};
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, Said, until};

/// The same database on another server.
pub fn on(database: &Database, server: &str) -> impl Fn(&str) -> String {
    let url = format!("{}/{}", server.rsplit_once('/').unwrap().0, database.name());
    move |sql: &str| {
        let (url, sql) = (url.clone(), sql.to_owned());
        crate::support::apart(|| {
            crate::support::wait(async {
                use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
                let Ok(mut connection) = sqlx::PgConnection::connect(&url).await else { return String::new() };
                let found = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await;
                found.map_or_else(|_| String::new(), |row| row.try_get_unchecked(0).unwrap_or_default())
            })
        })
    }
}

#[test]
fn s4_90_a_backfill_waits_while_a_replica_is_too_far_behind_and_goes_on_when_it_has_caught_up() {
    let server = OwnServer::up("postgres");
    let replica = server.also("postgres_replica");
    let project = project_on(Database::alone_on(Kind::Postgres, &server.url));
    project.run(&["apply", "--yes", "--to", "1_items"]).expect(0);
    let replica = on(&project.database, &replica);
    until("the replica has the table", || replica("select count(*)::text from items") == super::ROWS.to_string());
    replica("select pg_wal_replay_pause()::text");
    until("its replay is paused", || replica("select pg_get_wal_replay_pause_state()") == "paused");
    project.database.query("create table noise (n integer)");
    until("the server sees that it is behind", || {
        project.database.query("insert into noise values (1)");
        project.database.one("select (max(replay_lag) > interval '2 seconds')::text from pg_stat_replication") == "true"
    });

    let mut run = project.spawn(&["apply", "--yes", "--max-lag", "1", "-v"]);
    let mut words = BufReader::new(run.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    let waits = words.find(|line| line.contains("waiting")).expect("it says why it waits");
    assert!(waits.contains("a replica is") && waits.contains("behind"), "{waits}");
    assert_eq!(touched(&project), [["0".to_owned(), super::ROWS.to_string()]], "no batch was begun");
    replica("select pg_wal_replay_resume()::text");
    let rest: Vec<String> = words.collect();
    let said: Said = run.wait_with_output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?} {rest:?}");
    assert_eq!(touched(&project), once());
}
