//! Whether what the bot did and says is what people agreed to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use godwit::store::AuditFilter;
use sqlx::Connection as _;

use super::company::ENVIRONMENTS;
use super::lives::{Life, Lives};
use crate::bot::world::{APPROVAL, SUMMARY, run_comment};
use crate::support::wait;

/// How long nothing may change while something is not as it must be. How long all of it takes depends on how
/// much there is and on what else the machine does.
const STUCK: Duration = Duration::from_secs(300);
/// What goes round in circles is stuck too: the time for each pull request, far above what it takes.
const AT_MOST: Duration = Duration::from_secs(60);
/// How often people who look on are told what is still missing.
const TOLD: Duration = Duration::from_secs(10);
/// What clocks and rounding may make of a moment.
const SLACK: TimeDelta = TimeDelta::seconds(1);

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

/// What the databases hold, lane by lane and environment by environment.
pub struct Ledger(BTreeMap<(&'static str, &'static str), Vec<Row>>);

impl Ledger {
    pub fn read(lives: &Lives) -> Self {
        let places = lives.company.lanes.iter().flat_map(|lane| ENVIRONMENTS.map(|environment| (*lane, environment)));
        Self(places.map(|(lane, e)| ((lane, e), history(&lives.company.database(lane, e)))).collect())
    }

    /// Whether an environment holds the migration of a life.
    pub fn holds(&self, life: &Life, environment: &'static str) -> bool {
        self.0[&(life.lane, environment)].iter().any(|r| r.id == life.migration && r.state == "applied")
    }
}

/// Awaits that everything is told as it is, then checks what no waiting may mend.
pub fn of(lives: &mut Lives) {
    lives.good_days();
    let began = Instant::now();
    let (mut before, mut changed, mut told) = (Vec::new(), began, began);
    let ledger = loop {
        lives.note(Utc::now());
        let ledger = Ledger::read(lives);
        lives.finish(&ledger);
        let wrong = untold(lives, &ledger);
        if wrong.is_empty() {
            break ledger;
        }
        if wrong != before {
            (before, changed) = (wrong, Instant::now());
        }
        if changed.elapsed() > STUCK || began.elapsed() > AT_MOST * u32::try_from(lives.all.len() + 10).unwrap() {
            let (log, waits) = (end_of(&lives.log()), jobs(lives));
            panic!(
                "{}\nnothing changes any more:\n{}\n{waits}\nthe log ends so:\n{log}",
                lives.told(),
                before.join("\n")
            );
        }
        if told.elapsed() > TOLD {
            told = Instant::now();
            let first = before.first().map_or("", |w| w.lines().next().unwrap_or_default());
            println!("{} not as it must be after {} s, first {first:.200}", before.len(), began.elapsed().as_secs());
            lives.company.check();
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let mut wrong = Vec::new();
    let started = wait(async {
        let store = lives.company.open_store().await;
        let verdict = store.verify_audit(None).await.unwrap();
        if !verdict.valid {
            wrong.push(format!("the audit chain is broken: {verdict:?}"));
        }
        let all = store.audit(&AuditFilter::default()).await.unwrap();
        store.close().await;
        let started = all.into_iter().map(|r| r.body).filter(|b| b.action == "run-started");
        started.map(|b| (b.pr, b.environment, b.at)).collect::<BTreeSet<_>>()
    });
    for ((lane, environment), rows) in &ledger.0 {
        let n = ENVIRONMENTS.iter().position(|e| e == environment).unwrap();
        for row in rows {
            let what = format!("{environment}: {} of {lane}", row.id);
            let Some(life) = lives.all.iter().find(|l| l.migration == row.id && l.lane == *lane) else {
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
            // It was looked at then; until it ran, people may have said something else.
            let looked = started.range(
                (Some(number), Some((*environment).to_owned()), DateTime::<Utc>::MIN_UTC)
                    ..=(Some(number), Some((*environment).to_owned()), row.started_at + SLACK),
            );
            let Some((_, _, looked)) = looked.last() else {
                wrong.push(format!("{what} of #{number} ran and nobody wrote down why"));
                continue;
            };
            if !life.timelines[n].agreed_at(row.started_at, row.started_at - *looked + SLACK) {
                wrong.push(format!(
                    "{what} of #{number} was looked at {looked}, ran at {} without leave: {:?}\n{:?}",
                    row.started_at, life.facts, life.timelines[n]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", lives.told(), wrong.join("\n"));
    println!("all is as it must be after {} s: {}", began.elapsed().as_secs(), lives.told());
}

/// What is not yet as it must be.
fn untold(lives: &Lives, ledger: &Ledger) -> Vec<String> {
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
            environments(lives, ledger, index, life, &mut wrong);
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
fn environments(lives: &Lives, ledger: &Ledger, index: usize, life: &Life, wrong: &mut Vec<String>) {
    let number = life.pull.number();
    let labels = life.pull.labels().unwrap();
    let mut before = true;
    for environment in ENVIRONMENTS {
        let there = ledger.holds(life, environment);
        if labels.contains(&format!("migrated:{environment}")) != there {
            wrong.push(format!("#{number}: {environment} holds it: {there}; labels: {labels:?}"));
        }
        let told = run_comment(&life.pull, environment);
        if told.contains("1 migration applied") != there {
            wrong.push(format!("#{number}: {environment} holds it: {there}; its comment: {told}"));
        }
        // What was merged before in this lane and does not run stands in its way.
        let earlier = lives.merged.iter().take_while(|i| **i != index).map(|i| &lives.all[*i]);
        let free = earlier.filter(|l| l.lane == life.lane).all(|l| ledger.holds(l, environment));
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

/// What the server still has to do, and why it did not.
fn jobs(lives: &Lives) -> String {
    wait(async {
        let store = lives.company.open_store().await;
        let rows: Vec<(String, String, i64, i64, Option<String>)> = sqlx::query_as(
            "SELECT serial_key, state, attempts, due_at, error FROM jobs WHERE state <> 'done' ORDER BY id LIMIT 100",
        )
        .fetch_all(store.reader())
        .await
        .unwrap();
        store.close().await;
        rows.iter().map(|row| format!("{row:?}\n")).collect()
    })
}

fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
