//! Whether what the bot did and says is what people agreed to.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Connection as _;

use super::company::{ENVIRONMENTS, LANES};
use super::lives::{Life, Lives};
use crate::bot::world::{APPROVAL, SUMMARY, run_comment};
use crate::support::wait;

/// How long the bot may take to come to the truth once the bad days are over, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between the look at what was agreed and the start of the run on the database.
const LEEWAY: TimeDelta = TimeDelta::seconds(20);

/// A row of a database's history, and how often its migration left its mark.
struct Row {
    id: String,
    state: String,
    started_at: DateTime<Utc>,
    pr: Option<i64>,
    marks: i64,
}

/// Id, state, start in milliseconds and pull request of a row.
type Stored = (String, String, i64, Option<i64>);

/// Awaits that everything is told as it is, then checks what no waiting may mend.
pub fn of(lives: &mut Lives) {
    lives.good_days();
    let began = Instant::now();
    loop {
        lives.note(Utc::now());
        let wrong = untold(lives);
        if wrong.is_empty() {
            break;
        }
        if began.elapsed() > PATIENCE {
            panic!("{}\n{}\nthe server's log ends so:\n{}", lives.told(), wrong.join("\n"), end_of(&lives.log()));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut wrong = Vec::new();
    for lane in LANES {
        for (n, environment) in ENVIRONMENTS.into_iter().enumerate() {
            for row in history(&lives.company.database(lane, environment)) {
                let what = format!("{environment}: {} of {lane}", row.id);
                let Some(life) = lives.all.iter().find(|l| l.migration == row.id && l.lane == lane) else {
                    wrong.push(format!("{what} is of no pull request"));
                    continue;
                };
                let number = i64::try_from(life.pull.number()).unwrap();
                if row.state != "applied" || row.marks != 1 || row.pr != Some(number) {
                    wrong.push(format!("{what}: {} by #{:?}, its mark stands {} times", row.state, row.pr, row.marks));
                }
                if !life.merged {
                    wrong.push(format!("{what} ran and #{number} is not merged"));
                }
                if !life.timelines[n].agreed_at(row.started_at, LEEWAY) {
                    wrong
                        .push(format!("{what} of #{number} ran at {} without leave: {:?}", row.started_at, life.facts));
                }
            }
        }
    }
    wait(async {
        let store = lives.company.open_store().await;
        let verdict = store.verify_audit(None).await.unwrap();
        if !verdict.valid {
            wrong.push(format!("the audit chain is broken: {verdict:?}"));
        }
        store.close().await;
    });
    assert!(wrong.is_empty(), "{}\n{}", lives.told(), wrong.join("\n"));
}

/// What is not yet as it must be.
fn untold(lives: &Lives) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, life) in lives.all.iter().enumerate() {
        let number = life.pull.number();
        let comments = life.pull.comments().unwrap();
        let mut markers: Vec<&str> =
            comments.iter().filter(|c| c.by_app).filter_map(|c| c.body.lines().next()).collect();
        markers.sort_unstable();
        if let Some(twice) = markers.windows(2).find(|w| w[0] == w[1]) {
            wrong.push(format!("#{number}: `{}` stands on two comments", twice[0]));
        }
        if !life.merged && !life.closed {
            check(lives, life, &mut wrong);
        }
        if life.merged {
            environments(lives, index, life, &mut wrong);
        }
    }
    wrong
}

/// The required check of an open pull request says what people agreed to.
fn check(lives: &Lives, life: &Life, wrong: &mut Vec<String>) {
    let number = life.pull.number();
    let newest = life.pull.check_runs().unwrap().into_iter().filter(|c| c.name == APPROVAL).max_by_key(|c| c.id);
    let agreed = ENVIRONMENTS.into_iter().all(|e| life.facts.agreed(e, lives.dba));
    let green = newest.as_ref().is_some_and(|c| c.conclusion.as_deref() == Some("success"));
    if newest.is_none() || green != agreed {
        let said = newest.map(|c| (c.status, c.conclusion));
        wrong.push(format!("#{number}: agreed is {agreed}, the check says {said:?}: {:?}", life.facts));
    }
    if !life.pull.comments().unwrap().iter().any(|c| c.by_app && c.body.starts_with(SUMMARY)) {
        wrong.push(format!("#{number} has no summary"));
    }
}

/// The environments of a merged pull request hold what may run and nothing else; label and comment say so.
fn environments(lives: &Lives, index: usize, life: &Life, wrong: &mut Vec<String>) {
    let number = life.pull.number();
    let labels = life.pull.labels().unwrap();
    let mut before = true;
    for environment in ENVIRONMENTS {
        let applied = |life: &Life| {
            history(&lives.company.database(life.lane, environment))
                .iter()
                .any(|r| r.id == life.migration && r.state == "applied")
        };
        let there = applied(life);
        if labels.contains(&format!("migrated:{environment}")) != there {
            wrong.push(format!("#{number}: {environment} holds it: {there}; labels: {labels:?}"));
        }
        let told = run_comment(&life.pull, environment);
        if told.contains("1 migration applied") != there {
            wrong.push(format!("#{number}: {environment} holds it: {there}; its comment: {told}"));
        }
        // What was merged before in this lane and does not run stands in its way.
        let earlier = lives.merged.iter().take_while(|i| **i != index).map(|i| &lives.all[*i]);
        let free = earlier.filter(|l| l.lane == life.lane).all(applied);
        if before && free && life.facts.agreed(environment, lives.dba) && !there {
            wrong.push(format!("#{number}: {environment} may run and does not; its comment: {told}; {:?}", life.facts));
        }
        before = there;
    }
}

fn history(file: &Path) -> Vec<Row> {
    if !file.exists() {
        return Vec::new();
    }
    wait(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
        let mut c = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let rows: Result<Vec<Stored>, _> =
            sqlx::query_as("SELECT id, state, started_at, pr FROM godwit_history ORDER BY id").fetch_all(&mut c).await;
        let mut all = Vec::new();
        for (id, state, started_at, pr) in rows.unwrap_or_default() {
            let table = id.split_once('_').unwrap().1;
            let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let marks: i64 = sqlx::query_scalar(count).fetch_one(&mut c).await.unwrap_or(0);
            let started_at = DateTime::from_timestamp_millis(started_at).unwrap();
            all.push(Row { id, state, started_at, pr, marks });
        }
        c.close().await.unwrap();
        all
    })
}

fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
