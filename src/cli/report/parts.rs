//! The parts of the periodic reports: rows from what was recorded. Pure, but for the dates of pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Duration, NaiveDate, Utc};

use super::super::exit::Failure;
use crate::approval::check::check;
use crate::approval::{Policy, Status, Verdict};
use crate::backup::retention::Listed;
use crate::ids::EnvironmentName;
use crate::lint::{Made, made_by};
use crate::migration::MigrationSet;
use crate::report::count;
use crate::report::sheet::Part;
use crate::store::logs::StepOfRun;
use crate::store::{AuditRecord, AuditVerdict, JudgedPull};

/// What was recorded in the time of a report.
pub(super) struct Facts {
    /// Every step of every run.
    pub steps: Vec<StepOfRun>,
    /// Those of the time before, as long.
    pub earlier: Vec<StepOfRun>,
    /// The audit log.
    pub records: Vec<AuditRecord>,
    /// Whether all of it is as it was written.
    pub verdict: AuditVerdict,
    /// The backups of that time.
    pub backups: Vec<Listed>,
    /// The policy of the folder, where it can be read.
    pub policy: Option<Policy>,
    /// Notes of runs that ended over ninety days ago.
    pub old_notes: i64,
    /// What waits for somebody now.
    pub waiting: Vec<Waiting>,
    /// The environment that the report is about, where it is about one.
    pub environment: Option<EnvironmentName>,
    /// The present.
    pub now: DateTime<Utc>,
}

/// A moment as rows show it.
pub(super) fn at(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M").to_string()
}

/// Text that may be missing.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.filter(|t| !t.is_empty()).unwrap_or("-").to_owned()
}

/// What ran and how it ended [S0-52].
pub(super) fn runs(facts: &Facts) -> Part {
    let mut by_run: BTreeMap<&str, (&StepOfRun, usize, i64)> = BTreeMap::new();
    for step in &facts.steps {
        let entry = by_run.entry(&step.run).or_insert((step, 0, 0));
        entry.1 += 1;
        entry.2 += step.step.duration_ms;
    }
    let failed =
        by_run.values().filter(|(s, ..)| matches!(s.outcome.as_deref(), Some("failed" | "needs_human"))).count();
    let note = format!("{}, {failed} of them failed or wait for a person", count(by_run.len(), "run"));
    Part::new("Execution", note, &["run", "began", "environment", "by", "steps", "took ms", "outcome"]).with(
        by_run.into_iter().map(|(run, (first, steps, took))| {
            vec![
                run.to_owned(),
                at(first.at),
                or_dash(first.environment.as_deref()),
                first.by.clone(),
                steps.to_string(),
                took.to_string(),
                first.outcome.clone().unwrap_or_else(|| "not ended".to_owned()),
            ]
        }),
    )
}

/// The steps that took longest [S0-53].
pub(super) fn slowest(facts: &Facts) -> Part {
    let mut steps: Vec<&StepOfRun> = facts.steps.iter().filter(|s| s.step.duration_ms > 0).collect();
    steps.sort_by_key(|s| std::cmp::Reverse(s.step.duration_ms));
    Part::new("Performance", "the ten steps that took longest", &["migration", "target", "environment", "took ms"])
        .with(steps.into_iter().take(10).map(|s| {
            vec![
                s.step.migration.clone(),
                s.step.target.clone(),
                or_dash(s.environment.as_deref()),
                s.step.duration_ms.to_string(),
            ]
        }))
}

/// Actions that somebody should hear of.
const ALARMING: [&str; 7] =
    ["emergency", "audit-accepted", "reset", "reset-data", "restore", "resolve", "straight-push"];

/// What was out of order [S0-54].
pub(super) fn alerts(facts: &Facts) -> Part {
    let found = facts.records.iter().filter(|r| {
        ALARMING.contains(&r.body.action.as_str()) || matches!(r.body.result.as_str(), "refused" | "denied" | "failed")
    });
    let note = match &facts.verdict.problem {
        None => "the audit log is as it was written".to_owned(),
        Some(problem) => format!("the audit log is NOT what was written: {problem}"),
    };
    Part::new("Security", note, &["when", "who", "what", "where", "result", "why"]).with(found.map(row_of_record))
}

fn row_of_record(record: &AuditRecord) -> Vec<String> {
    let body = &record.body;
    let place: Vec<&str> =
        [&body.environment, &body.target, &body.repo].into_iter().flatten().map(String::as_str).collect();
    vec![
        at(body.at),
        body.actor.clone(),
        body.action.clone(),
        or_dash(Some(&place.join(" "))),
        body.result.clone(),
        or_dash(body.basis.as_deref()),
    ]
}

/// Backups and whether they stood the test [S0-55].
pub(super) fn backups(facts: &Facts) -> Part {
    let bad = facts.backups.iter().filter(|b| !b.meta.is_verified() || !b.reachable).count();
    let note = format!("{} made, {bad} of them not verified or not there any more", facts.backups.len());
    Part::new("Backups", note, &["made", "environment", "target", "file", "bytes", "state"]).with(
        facts.backups.iter().map(|b| {
            let state = match (b.reachable, b.meta.is_verified()) {
                (false, _) => "missing",
                (true, true) => "verified",
                (true, false) => "not verified",
            };
            vec![
                at(b.meta.created_at),
                or_dash(b.meta.environment.as_ref().map(|e| e.as_str())),
                b.meta.target.to_string(),
                b.meta.backup_file.clone(),
                b.meta.size_bytes.to_string(),
                state.to_owned(),
            ]
        }),
    )
}

/// A pull request that waits for somebody.
pub(super) struct Waiting {
    /// As it was last judged.
    pub pull: JudgedPull,
    /// Since when people are asked about it as it is; `None` where nobody is.
    pub asked: Option<DateTime<Utc>>,
}

/// What waits for a review or an approval, which roles are missing where, and for how long [S0-56].
pub(super) fn asked(facts: &Facts) -> Part {
    let mut rows = Vec::new();
    for waiting in &facts.waiting {
        let pull = &waiting.pull;
        let since = waiting.asked.unwrap_or(pull.at);
        let row = |environment: &str, missing: String| {
            let age = (facts.now - since).num_days();
            let risk = pull.binding.as_ref().map(|b| b.risk.to_string());
            let name = format!("{}#{}", pull.repo, pull.pr.0);
            vec![name, or_dash(risk.as_deref()), environment.to_owned(), missing, at(since), age.to_string()]
        };
        let Ok(verdict) = serde_json::from_str::<Verdict>(&pull.verdict) else {
            rows.push(row("-", pull.summary.clone()));
            continue;
        };
        let before = rows.len();
        for judged in &verdict.environments {
            if matches!(judged.evaluation.status, Status::Approved | Status::Skipped) {
                continue;
            }
            if facts.environment.as_ref().is_some_and(|e| *e != judged.environment) {
                continue;
            }
            let missing: Vec<String> = judged
                .required_roles
                .iter()
                .filter(|role| !judged.filled.contains_key(*role))
                .map(ToString::to_string)
                .collect();
            let missing = if missing.is_empty() { judged.evaluation.reason.clone() } else { missing.join(", ") };
            rows.push(row(judged.environment.as_str(), missing));
        }
        if rows.len() == before && facts.environment.is_none() {
            // No environment asks for anybody: a gate is closed.
            rows.push(row("-", verdict.summary.clone()));
        }
    }
    let note = "open pull requests, and the roles that have not agreed yet";
    Part::new("Waiting", note, &["pull request", "risk", "environment", "missing", "since", "days"]).with(rows)
}

fn median(times: &mut [i64]) -> i64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

/// How long steps take, against the time before [S0-57] [S2-97].
pub(super) fn trends(facts: &Facts) -> Part {
    let times = |steps: &[StepOfRun]| -> BTreeMap<String, Vec<i64>> {
        let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for step in steps.iter().filter(|s| s.step.state == "applied") {
            found.entry(or_dash(step.environment.as_deref())).or_default().push(step.step.duration_ms);
        }
        found
    };
    let (now, before) = (times(&facts.steps), times(&facts.earlier));
    let names: BTreeSet<String> = now.keys().chain(before.keys()).cloned().collect();
    Part::new(
        "Durations",
        "the median step, and how many there were; the time before is as long",
        &["environment", "steps", "median ms", "steps before", "median ms before"],
    )
    .with(names.into_iter().map(|name| {
        let (mut a, mut b) =
            (now.get(&name).cloned().unwrap_or_default(), before.get(&name).cloned().unwrap_or_default());
        vec![name, a.len().to_string(), median(&mut a).to_string(), b.len().to_string(), median(&mut b).to_string()]
    }))
}

/// What the policy's own check says [S0-58].
pub(super) fn settings(facts: &Facts) -> Part {
    let part = |note: &str| Part::new("Settings", note, &["level", "finding"]);
    match &facts.policy {
        None => part("the policy files cannot be read: see `godwit policy check`"),
        Some(policy) => part("what `godwit policy check` finds")
            .with(check(policy).into_iter().map(|f| vec![f.level.as_str().to_owned(), f.what.to_string()])),
    }
}

/// What may be deleted [S0-59].
pub(super) fn clean_up(facts: &Facts) -> Part {
    Part::new("Clean-up", "what `godwit logs prune --older-than 90` would delete", &["what", "how many"])
        .with([vec!["notes of runs that ended over 90 days ago".to_owned(), facts.old_notes.to_string()]])
}

/// The log's own state, and who acted [S0-62].
pub(super) fn audit(facts: &Facts) -> Part {
    let mut by: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for record in &facts.records {
        *by.entry((&record.body.actor, &record.body.action)).or_default() += 1;
    }
    let state = if facts.verdict.valid { "every one as it was written" } else { "NOT as it was written" };
    let note = format!("{} records in all, {state}; head {}", facts.verdict.records, facts.verdict.head);
    Part::new("Audit log", note, &["who", "what", "times"])
        .with(by.into_iter().map(|((who, what), n)| vec![who.to_owned(), what.to_owned(), n.to_string()]))
}

/// How much there is [S0-63].
pub(super) fn capacity(facts: &Facts) -> Part {
    let bytes: u64 = facts.backups.iter().map(|b| b.meta.size_bytes).sum();
    let mut sizes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for backup in &facts.backups {
        let size = sizes.entry(backup.meta.target.as_str()).or_insert((u64::MAX, 0));
        *size = (size.0.min(backup.meta.size_bytes), size.1.max(backup.meta.size_bytes));
    }
    let note =
        format!("backups of that time take {bytes} bytes; the store has {} audit records", facts.verdict.records);
    Part::new("Capacity", note, &["target", "smallest backup", "largest backup"])
        .with(sizes.into_iter().map(|(t, (least, most))| vec![t.to_owned(), least.to_string(), most.to_string()]))
}

/// Who did what, of one person or of all [S0-69].
pub(super) fn access(facts: &Facts, user: Option<&str>) -> Part {
    let of_user = |r: &&AuditRecord| user.is_none_or(|u| r.body.actor.eq_ignore_ascii_case(u.trim_start_matches('@')));
    Part::new("Access", "from the audit log", &["when", "who", "what", "where", "result", "why"])
        .with(facts.records.iter().filter(of_user).map(row_of_record))
}

/// Each step of each run [S1-71].
pub(super) fn execution(facts: &Facts) -> Part {
    let columns = ["run", "began", "environment", "target", "migration", "action", "state", "took ms", "error"];
    Part::new("Steps", "", &columns).with(facts.steps.iter().map(|s| {
        vec![
            s.run.clone(),
            at(s.at),
            or_dash(s.environment.as_deref()),
            s.step.target.clone(),
            s.step.migration.clone(),
            s.step.action.clone(),
            s.step.state.clone(),
            s.step.duration_ms.to_string(),
            or_dash(s.step.error.as_deref()),
        ]
    }))
}

/// What all migrations together make, by folder [S3-70].
pub(super) fn schema(set: &MigrationSet) -> Part {
    let mut units: BTreeMap<&str, (usize, Made)> = BTreeMap::new();
    let (mut all, mut total) = (0, Made::default());
    for migration in &set.migrations {
        let made = made_by(migration);
        let unit = units.entry(&migration.unit).or_default();
        unit.0 += 1;
        unit.1 += made;
        all += 1;
        total += made;
    }
    let row = |name: &str, count: usize, made: Made| {
        let mut cells = vec![name.to_owned(), count.to_string()];
        cells.extend(made.parts().map(|(n, ..)| n.to_string()));
        cells
    };
    let columns = ["folder", "migrations", "tables", "columns", "indexes", "enums", "foreign keys"];
    let mut part = Part::new("Totals", "counted from the migrations; what they drop is not taken off", &columns).with(
        units.into_iter().map(|(unit, (count, made))| row(if unit.is_empty() { "." } else { unit }, count, made)),
    );
    part.rows.push(row("all", all, total));
    part
}

/// Pages under `docs` that nobody reviewed for so many days: by a line `Reviewed: YYYY-MM-DD`, else by the file's own date
/// [S0-61] [S3-115].
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn pages(repo: &Path, now: DateTime<Utc>, days: i64) -> anyhow::Result<Part> {
    let columns = ["page", "last reviewed", "days ago"];
    let mut part = Part::new("Documentation", format!("pages that nobody reviewed for {days} days"), &columns);
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(repo.join(&folder)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Failure::usage(format!("cannot read the folder `{folder}`: {e}"))),
        };
        for entry in entries.flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            if !path.ends_with(".md") || !meta.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let Some(last) = reviewed(&text).or_else(|| meta.modified().ok().map(DateTime::<Utc>::from)) else {
                continue;
            };
            if now - last > Duration::days(days) {
                part.rows.push(vec![path, last.format("%Y-%m-%d").to_string(), (now - last).num_days().to_string()]);
            }
        }
    }
    part.rows.sort();
    Ok(part)
}

/// The day that a page says it was reviewed on.
fn reviewed(text: &str) -> Option<DateTime<Utc>> {
    let day = text.lines().find_map(|line| {
        let rest = line.trim().trim_start_matches(['*', '_', '>', '-', ' ']).strip_prefix("Reviewed:")?;
        NaiveDate::parse_from_str(rest.trim().get(..10)?, "%Y-%m-%d").ok()
    })?;
    Some(day.and_time(chrono::NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_115_a_page_says_when_it_was_reviewed() {
        for (text, expected) in [
            ("# a\n\nReviewed: 2026-01-02\n", Some("2026-01-02")),
            ("> **Reviewed: 2026-01-02", Some("2026-01-02")),
            ("Reviewed: soon", None),
            ("nothing", None),
        ] {
            assert_eq!(reviewed(text).map(|d| d.format("%Y-%m-%d").to_string()).as_deref(), expected, "{text}");
        }
    }

    fn nothing() -> Facts {
        Facts {
            steps: Vec::new(),
            earlier: Vec::new(),
            records: Vec::new(),
            verdict: AuditVerdict {
                records: 0,
                valid: true,
                first_bad: None,
                head: String::new(),
                problem: None,
                anchor: None,
            },
            backups: Vec::new(),
            policy: None,
            old_notes: 0,
            waiting: Vec::new(),
            environment: None,
            now: DateTime::UNIX_EPOCH + Duration::days(10),
        }
    }

    #[test]
    fn s0_56_what_waits_is_told_with_the_missing_roles_and_its_age() {
        let evaluation = |status: &str, reason: &str| serde_json::json!({ "name": "x", "status": status, "reason": reason, "children": [], "approvers": [], "missing": [] });
        let environment = |name: &str, status: &str, roles: &[&str], filled: serde_json::Value| {
            serde_json::json!({ "environment": name, "automatic": true, "required_approvals": 1, "required_roles": roles,
                "filled": filled, "evaluation": evaluation(status, "approvals have expired") })
        };
        let verdict = |environments: serde_json::Value| {
            serde_json::json!({ "status": "pending", "summary": "a hold is set", "missing_roles": [],
                "environments": environments, "gates": [], "ignored": [], "notes": [] })
            .to_string()
        };
        let waiting = |pr: u64, verdict: String, asked: Option<i64>| Waiting {
            pull: JudgedPull {
                repo: crate::ids::RepoName::new("o/r").unwrap(),
                pr: crate::ids::PrNumber(pr),
                state: "open".to_owned(),
                look: String::new(),
                head: crate::ids::CommitSha::new("0".repeat(40)).unwrap(),
                base_ref: "main".to_owned(),
                status: "pending".to_owned(),
                summary: "cannot be read".to_owned(),
                binding: None,
                verdict,
                at: DateTime::UNIX_EPOCH + Duration::days(9),
            },
            asked: asked.map(|days| DateTime::UNIX_EPOCH + Duration::days(days)),
        };
        let three = serde_json::json!([
            environment("development", "approved", &["developer"], serde_json::json!({ "developer": "ann" })),
            environment("staging", "pending", &["data_ops"], serde_json::json!({ "data_ops": "omar" })),
            environment("production", "pending", &["dba", "cto"], serde_json::json!({ "dba": "dora" })),
        ]);
        let mut facts = Facts {
            waiting: vec![
                waiting(7, verdict(three), Some(3)),
                waiting(8, verdict(serde_json::json!([])), None),
                waiting(9, "{".to_owned(), None),
            ],
            ..nothing()
        };
        let told = |facts: &Facts| -> Vec<String> {
            asked(facts).rows.iter().map(|r| format!("{} {} {} {}", r[0], r[2], r[3], r[5])).collect()
        };
        assert_eq!(
            told(&facts),
            [
                "o/r#7 staging approvals have expired 7",
                "o/r#7 production cto 7",
                "o/r#8 - a hold is set 1",
                "o/r#9 - cannot be read 1",
            ]
        );
        facts.environment = Some(EnvironmentName::new("production").unwrap());
        assert_eq!(told(&facts)[0], "o/r#7 production cto 7");
    }

    #[test]
    fn s3_70_totals_are_those_of_the_folders() {
        use crate::migration::{MigrationRoot, SourceFile, resolve};
        let files = [
            SourceFile::new("a/0001_x.up.sql", "create table x (id int); create index i on x (id);"),
            SourceFile::new("b/0001_y.up.sql", "create table y (id int references x (id));"),
        ];
        let part = schema(&resolve(&files, &[MigrationRoot::folder("**")]));
        assert_eq!(part.rows.last().unwrap()[1..], ["2", "2", "2", "1", "0", "1"].map(str::to_owned));
        assert_eq!(part.rows.len(), 3);
    }
}
