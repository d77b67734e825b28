//! The checklist before a deployment: ten checks, of which the program fills in what it can see, and the sign-off
//! (SPEC 12.2). Pure.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{count, escape};
use crate::config::{Environment, WindowState};
use crate::ids::{EnvironmentName, Risk};
use crate::plan::backup::Why;

/// The checklist of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checklist {
    /// The environment.
    pub environment: EnvironmentName,
    /// When it was filled in.
    pub at: DateTime<Utc>,
    /// What is about to run, as `unit/id`.
    pub migrations: Vec<String>,
    /// The highest risk of it.
    pub risk: Risk,
    /// The ten checks.
    pub checks: Vec<Check>,
    /// Further points, by section.
    pub sections: Vec<Section>,
    /// Who signed.
    pub sign_off: Vec<Signature>,
    /// Roles whose signature is missing.
    pub missing: Vec<String>,
}

/// What a checklist says of the times at which an environment may run, and whether it may now; `None` where it always may.
pub fn window(settings: &Environment, now: DateTime<Utc>) -> Option<(String, bool)> {
    let of = |services: &[String]| {
        let names = services.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
        if names.is_empty() { names } else { format!(" (by the `environments.json` of {names})") }
    };
    if !settings.has_windows() {
        return None;
    }
    Some(match settings.window_at(now) {
        WindowState::Open => ("it is open now".to_owned(), true),
        WindowState::Closed { local, services, .. } => (format!("it opens {local}{}", of(&services)), false),
        WindowState::Never { services } => (format!("it never opens{}", of(&services)), false),
    })
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// From 1 to 10.
    pub number: u32,
    /// What is checked.
    pub title: &'static str,
    /// How it stands.
    pub state: State,
    /// Why, or what to do.
    pub note: String,
}

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Done,
    /// Not yet; nothing should run before it is.
    Open,
    /// Only a person can tell.
    Person,
}

/// Further points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its title.
    pub title: &'static str,
    /// What to look at.
    pub points: Vec<String>,
}

/// One signature, from an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// Who.
    pub name: String,
    /// In which role.
    pub role: String,
    /// When.
    pub at: Option<DateTime<Utc>>,
}

/// The ten checks in their order [S3-38].
pub const TITLES: [&str; 10] = [
    "SQL and operation files read by a second person",
    "This checklist reviewed",
    "Passed in development",
    "Passed in CI and staging, with the same checksum",
    "Backup made and verified",
    "Team notified",
    "Maintenance window set",
    "Rollback plan tested",
    "Environment variables, connection and versions valid",
    "Approvals complete for the risk level",
];

/// An environment that comes earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its name.
    pub environment: EnvironmentName,
    /// What it lacks of what is about to run.
    pub lacks: Vec<String>,
}

/// What the program could see of a deployment.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How many migrations are about to run.
    pub pending: usize,
    /// Whether somebody besides the author agreed to the files as they are.
    pub read: bool,
    /// The first environment; `None`: this is it.
    pub development: Option<Earlier>,
    /// The environment before; `None`: there is none before.
    pub before: Option<Earlier>,
    /// The backup: that there is one, or that the run makes one first. `Err`: why not.
    pub backup: Option<Result<String, String>>,
    /// The maintenance window, in words; `None`: none is configured.
    pub window: Option<String>,
    /// Migrations without a way back.
    pub no_way_back: Vec<String>,
    /// What is wrong with the connections.
    pub connections: Result<String, String>,
    /// What is missing of the approvals.
    pub approvals: Result<String, String>,
}

/// Names that a note has room for.
const NAMED: usize = 5;

/// The first names, and how many there are besides.
fn some(names: &[String]) -> String {
    let (first, rest) = names.split_at(names.len().min(NAMED));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", first.join(", "))
}

/// What is said of the backup that a run makes by itself.
pub fn made_by_the_run(why: &Why) -> String {
    format!("the run makes one, verifies it, and does not begin without: {why}")
}

/// The ten checks as what was seen answers them.
pub fn checks(seen: &Seen) -> Vec<Check> {
    let lacks = |earlier: &Option<Earlier>, none: &str| match earlier {
        _ if seen.pending == 0 => (State::Done, "nothing is pending".to_owned()),
        None => (State::Done, none.to_owned()),
        Some(Earlier { environment, lacks }) if lacks.is_empty() => {
            (State::Done, format!("applied in {environment} with the same checksum"))
        }
        Some(Earlier { environment, lacks }) => (State::Open, format!("not in {environment} yet: {}", some(lacks))),
    };
    let told = |found: &Result<String, String>| match found {
        Ok(note) => (State::Done, note.clone()),
        Err(note) => (State::Open, note.clone()),
    };
    let answers: [(State, String); 10] = [
        if seen.pending == 0 {
            (State::Done, "nothing is pending".to_owned())
        } else if seen.read {
            (State::Done, "by those who approved".to_owned())
        } else {
            (State::Open, "nobody but the author is known to have read them".to_owned())
        },
        (State::Person, "read it to its end".to_owned()),
        lacks(&seen.development, "this is the first environment"),
        lacks(&seen.before, "no environment comes before"),
        match &seen.backup {
            Some(Ok(note)) => (State::Done, note.clone()),
            Some(Err(note)) => (State::Open, note.clone()),
            None => (
                State::Person,
                "nothing asks for one: make one with `godwit backup`, or decide that none is needed".to_owned(),
            ),
        },
        (State::Person, "tell those who work on it and those who use it".to_owned()),
        match &seen.window {
            Some(note) => (State::Done, note.clone()),
            None => (State::Person, "none is configured: agree on a time".to_owned()),
        },
        if seen.no_way_back.is_empty() {
            (State::Person, "every migration has a way back: try it with `godwit rehearse`".to_owned())
        } else {
            let names = some(&seen.no_way_back);
            (State::Open, format!("no way back by script: {names}; plan the restore, or a migration that mends it"))
        },
        told(&seen.connections),
        told(&seen.approvals),
    ];
    (1..)
        .zip(TITLES)
        .zip(answers)
        .map(|((number, title), (state, note))| Check { number, title, state, note })
        .collect()
}

/// The further points of every checklist [S3-39] [S3-40] [S3-41] [S3-42] [S3-43].
pub fn sections(environment: &EnvironmentName, risk: Risk) -> Vec<Section> {
    let mut performance = vec![
        "`godwit plan` shows the locks and the recovery of every step".to_owned(),
        "the run's `--lock-timeout` keeps it from holding up others".to_owned(),
    ];
    if risk == Risk::High {
        performance.push("tried on a copy with production's sizes".to_owned());
    }
    vec![
        Section {
            title: "Environment validation",
            points: vec![
                format!("`godwit doctor {environment}` finds nothing wrong"),
                format!("`godwit drift --env {environment}` finds nothing changed by hand"),
            ],
        },
        Section {
            title: "Testing",
            points: vec![
                "`godwit lint` has no error".to_owned(),
                "`godwit rehearse` goes forward, back and forward".to_owned(),
                "the application's own tests pass on the new schema, and on the old one".to_owned(),
            ],
        },
        Section {
            title: "Backup strategy",
            points: vec![
                format!("`godwit backups --env {environment}` shows a verified one"),
                "somebody here has restored one before".to_owned(),
            ],
        },
        Section { title: "Performance", points: performance },
        Section {
            title: "Team readiness",
            points: vec![
                "who runs it and who watches is said".to_owned(),
                "who decides about a rollback is said, and can be reached".to_owned(),
            ],
        },
    ]
}

impl Checklist {
    /// Whether something that the program can see stands in the way.
    pub fn is_open(&self) -> bool {
        self.checks.iter().any(|c| c.state == State::Open) || !self.missing.is_empty()
    }
}

fn mark(state: State) -> &'static str {
    match state {
        State::Done => "x",
        State::Open | State::Person => " ",
    }
}

/// As Markdown, the form of `docs/PRE_DEPLOYMENT_MIGRATION_CHECKLIST.md`.
pub fn markdown(list: &Checklist) -> String {
    let mut out = format!(
        "# Before the deployment to {}\n\n{} at risk {}, filled in {}\n\n## Critical checks\n\n",
        escape::inline(list.environment.as_str()),
        count(list.migrations.len(), "migration"),
        list.risk,
        list.at.format("%Y-%m-%d %H:%M UTC")
    );
    for check in &list.checks {
        let _ = writeln!(out, "{}. [{}] **{}**: {}", check.number, mark(check.state), check.title, check.note);
    }
    out.push_str("\n## Migrations\n\n");
    for migration in &list.migrations {
        let _ = writeln!(out, "* {}", escape::code(migration));
    }
    for section in &list.sections {
        let _ = writeln!(out, "\n## {}\n", section.title);
        for point in &section.points {
            let _ = writeln!(out, "* [ ] {point}");
        }
    }
    out.push_str("\n## Sign-off\n\n| name | role | time |\n|---|---|---|\n");
    for s in &list.sign_off {
        let at = s.at.map_or(String::new(), |at| at.format("%Y-%m-%d %H:%M UTC").to_string());
        let _ = writeln!(out, "| {} | {} | {at} |", escape::inline(&s.name), escape::inline(&s.role));
    }
    for role in &list.missing {
        let _ = writeln!(out, "| *missing* | {} | |", escape::inline(role));
    }
    out
}

/// Folded, for a comment; without the time, so that looking once more changes nothing.
pub fn block(list: &Checklist) -> String {
    let of = |state: State| list.checks.iter().filter(|c| c.state == state).count();
    let waits = match of(State::Open) {
        0 => String::new(),
        n => format!(", {n} in the way"),
    };
    let name = escape::html(list.environment.as_str());
    let title = format!("<b>{name}</b>: {} of {} checks done{waits}", of(State::Done), list.checks.len());
    let mut out = String::new();
    for check in &list.checks {
        let mark = match check.state {
            State::Done => "✅",
            State::Open => "⏳",
            State::Person => "👤",
        };
        let _ = writeln!(out, "{}. {mark} **{}**: {}", check.number, check.title, escape::prose(&check.note));
    }
    out.push('\n');
    for section in &list.sections {
        let points: Vec<String> = section.points.iter().map(|p| escape::prose(p)).collect();
        let _ = writeln!(out, "* **{}:** {}", section.title, points.join("; "));
    }
    out.push_str("\n| Sign-off | Role |\n|---|---|\n");
    for s in &list.sign_off {
        let _ = writeln!(out, "| {} | {} |", escape::code(&s.name), escape::inline(&s.role));
    }
    for role in &list.missing {
        let _ = writeln!(out, "| *missing* | {} |", escape::inline(role));
    }
    escape::details(&title, &out)
}

/// For a terminal.
pub fn text(list: &Checklist) -> String {
    let mut out = format!(
        "before the deployment to {}: {} at risk {}\n",
        list.environment,
        count(list.migrations.len(), "migration"),
        list.risk
    );
    for check in &list.checks {
        let word = match check.state {
            State::Done => "done",
            State::Open => "OPEN",
            State::Person => "you",
        };
        let _ = writeln!(out, "  {:>2}  {word:<4}  {}: {}", check.number, check.title, check.note);
    }
    for s in &list.sign_off {
        let _ = writeln!(out, "  signed  {} as {}", s.name, s.role);
    }
    for role in &list.missing {
        let _ = writeln!(out, "  MISSING signature of {role}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn earlier(name: &str, lacks: Vec<String>) -> Option<Earlier> {
        Some(Earlier { environment: EnvironmentName::new(name).unwrap(), lacks })
    }

    fn seen() -> Seen {
        Seen {
            pending: 1,
            read: true,
            development: earlier("development", Vec::new()),
            before: earlier("testing", Vec::new()),
            backup: Some(Ok("made by the run".to_owned())),
            window: None,
            no_way_back: Vec::new(),
            connections: Ok("1 database answers".to_owned()),
            approvals: Ok("dba: dora".to_owned()),
        }
    }

    #[test]
    fn s3_38_there_are_exactly_ten_checks_and_each_is_answered() {
        let all = checks(&seen());
        assert_eq!(all.len(), 10);
        assert!(all.iter().all(|c| !c.note.is_empty() && c.state != State::Open), "{all:?}");
        let states = |seen: Seen| -> Vec<u32> {
            checks(&seen).iter().filter(|c| c.state == State::Open).map(|c| c.number).collect()
        };
        for (seen, open) in [
            (Seen { read: false, ..seen() }, 1),
            (Seen { development: earlier("development", vec!["0001_a".to_owned()]), ..seen() }, 3),
            (Seen { before: earlier("testing", vec!["0001_a".to_owned()]), ..seen() }, 4),
            (Seen { backup: Some(Err("none".to_owned())), ..seen() }, 5),
            (Seen { no_way_back: vec!["0001_a".to_owned()], ..seen() }, 8),
            (Seen { connections: Err("no".to_owned()), ..seen() }, 9),
            (Seen { approvals: Err("no".to_owned()), ..seen() }, 10),
        ] {
            assert_eq!(states(seen), [open]);
        }
    }

    #[test]
    fn s3_38_what_was_looked_at_is_named_and_nothing_is_said_of_nothing() {
        let note = |seen: &Seen, n: usize| checks(seen)[n - 1].note.clone();
        assert_eq!(note(&seen(), 3), "applied in development with the same checksum");
        assert_eq!(note(&seen(), 4), "applied in testing with the same checksum");
        let lacking = Seen { before: earlier("testing", vec!["m/0001_a".to_owned()]), ..seen() };
        assert_eq!(note(&lacking, 4), "not in testing yet: m/0001_a");
        assert_eq!(note(&Seen { before: None, ..seen() }, 4), "no environment comes before");
        let nothing = Seen { pending: 0, before: None, development: None, ..seen() };
        assert_eq!([1, 3, 4].map(|n| note(&Seen { read: false, ..nothing.clone() }, n)), ["nothing is pending"; 3]);
    }

    #[test]
    fn a_note_stays_short_whatever_is_missing() {
        let names: Vec<String> = (0..1_000).map(|n| format!("m/{n:04}_a")).collect();
        let all = checks(&Seen { development: earlier("development", names.clone()), no_way_back: names, ..seen() });
        assert!(all[2].note.ends_with("m/0004_a and 995 more"), "{}", all[2].note);
        assert!(all[7].note.contains("and 995 more"), "{}", all[7].note);
    }

    #[test]
    fn s3_44_a_missing_signature_keeps_it_open() {
        let environment = EnvironmentName::new("production").unwrap();
        let list = Checklist {
            at: DateTime::UNIX_EPOCH,
            migrations: vec!["m/0001_a".to_owned()],
            risk: Risk::High,
            checks: checks(&seen()),
            sections: sections(&environment, Risk::High),
            sign_off: Vec::new(),
            missing: vec!["dba".to_owned()],
            environment,
        };
        assert!(list.is_open());
        assert!(markdown(&list).contains("| *missing* | dba | |"));
        let told = block(&list);
        assert!(
            told.contains("<b>production</b>: 6 of 10 checks done") && told.contains("| *missing* | dba |"),
            "{told}"
        );
        assert!(!Checklist { missing: Vec::new(), ..list }.is_open());
    }
}
