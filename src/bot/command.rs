//! Commands in comments: one strict grammar, no free-form argument that reaches anything but a text. Pure.
//!
//! A command stands alone on a line (`/godwit plan staging`) of a plain paragraph; `speech` says which lines those are.
//! Whatever does not match is answered with what would (B-12); nothing is guessed, since a guess may choose the wrong
//! environment.

use super::speech;
use crate::ids::{EnvironmentName, MigrationReference, RunId};
use crate::migration::naming;

/// What begins every command.
const PREFIX: &str = "/godwit";
/// Commands answered per comment; more are a mistake or mischief.
const MAX_COMMANDS: usize = 10;
/// What stands for a migration's name in a command's usage.
const MIGRATION: &str = "MIGRATION";
/// Said where a name may have been torn apart.
const QUOTING: &str = ", with a name that holds blanks in quotation marks";
/// Longest reason (characters).
const MAX_REASON: usize = 500;

impl Command {
    /// The environment it is about.
    pub fn environment(&self) -> Option<&EnvironmentName> {
        match self {
            Command::Help | Command::Status | Command::Lint | Command::Confirm(_) => None,
            Command::Plan(environment) => environment.as_ref(),
            Command::Apply(environment)
            | Command::Promote(environment)
            | Command::Rollback(environment, _)
            | Command::Retry(environment)
            | Command::Cancel(environment)
            | Command::Resolve { environment, .. }
            | Command::Lock(environment, _)
            | Command::Unlock(environment)
            | Command::Emergency(environment, _)
            | Command::Release(environment, ..) => Some(environment),
        }
    }
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The list of commands.
    Help,
    /// Where the pull request stands.
    Status,
    /// Look again.
    Lint,
    /// What a run would do, in one environment or all.
    Plan(Option<EnvironmentName>),
    /// Run now what is merged.
    Apply(EnvironmentName),
    /// Open a manual gate.
    Promote(EnvironmentName),
    /// Undo a migration.
    Rollback(EnvironmentName, MigrationReference),
    /// Try again after a failure or an expiry.
    Retry(EnvironmentName),
    /// Stop before the next statement.
    Cancel(EnvironmentName),
    /// The second person's word.
    Confirm(RunId),
    /// Settle what only a person can.
    Resolve {
        /// Where.
        environment: EnvironmentName,
        /// Which.
        migration: MigrationReference,
        /// As what.
        settled: Settled,
        /// Why.
        reason: String,
    },
    /// Freeze an environment.
    Lock(EnvironmentName, String),
    /// Unfreeze it.
    Unlock(EnvironmentName),
    /// Run without approvals, and why; a rollback needs no reason.
    Emergency(EnvironmentName, Option<String>),
    /// Let a contract migration run.
    Release(EnvironmentName, MigrationReference, String),
}

/// How a person says an unproved migration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is there.
    Applied,
    /// It is not there.
    RolledBack,
    /// Try it again.
    Retry,
}

/// Why a line that addresses the bot is no command; a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotACommand(pub String);

/// Every verb with its usage and what it does; help and errors are written from it.
pub const VERBS: [(&str, &str, &str); 15] = [
    ("help", "help", "this list"),
    ("status", "status", "where this pull request stands in every environment"),
    ("lint", "lint", "look at the migrations again"),
    ("plan", "plan [ENV]", "what a run would do"),
    ("apply", "apply ENV", "run now what is merged"),
    ("promote", "promote ENV", "open the gate of an environment with `promotion: manual`"),
    ("rollback", "rollback ENV MIGRATION", "undo a migration"),
    ("retry", "retry ENV", "try again after a failure, or ask again after an expiry"),
    ("cancel", "cancel ENV", "take back what waits, or stop before the next statement"),
    ("confirm", "confirm RUN", "the second person's word for a rollback in production"),
    ("resolve", "resolve ENV MIGRATION applied|rolled-back|retry REASON", "settle what cannot be proved"),
    ("lock", "lock ENV REASON", "freeze an environment"),
    ("unlock", "unlock ENV", "unfreeze it"),
    ("emergency", "emergency ENV REASON", "run without approvals, or undo without a second person"),
    ("release", "release ENV MIGRATION REASON", "let a migration with `phase=contract` run"),
];

/// Every command of a comment, in order, with the line as it was written. Lines that do not address the bot are not
/// mentioned. `environments` are the valid ones.
pub fn commands(body: &str, environments: &[EnvironmentName]) -> Vec<(String, Result<Command, NotACommand>)> {
    command_lines(body)
        .into_iter()
        .take(MAX_COMMANDS)
        .map(|line| (line.to_owned(), parse(line, environments)))
        .collect()
}

/// What is said where a comment holds more commands than are read.
pub fn left_out(body: &str) -> Option<String> {
    let lines = command_lines(body);
    let first = lines.get(MAX_COMMANDS)?;
    let more = lines.len() - MAX_COMMANDS;
    let them = if more == 1 { "the last one was".to_owned() } else { format!("the last {more} were") };
    Some(format!(
        "⚠️ I read {MAX_COMMANDS} commands of a comment, and this one holds {}: {them} not read, from {} on. Write them in a \
         comment of their own.",
        lines.len(),
        quoted(first)
    ))
}

/// Whether a comment addresses the bot at all.
pub fn addresses_bot(body: &str) -> bool {
    !command_lines(body).is_empty()
}

/// The lines that begin with the prefix where a person speaks.
pub fn command_lines(body: &str) -> Vec<&str> {
    speech::lines(body, |line| {
        line == PREFIX || line.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with([' ', '\t']))
    })
}

/// Reads one line.
fn parse(line: &str, environments: &[EnvironmentName]) -> Result<Command, NotACommand> {
    let (_, rest) = next_word(line);
    let (verb, rest) = next_word(rest);
    if verb.is_empty() {
        return Err(NotACommand(format!("what should I do? {}", known_verbs())));
    }
    let Some((verb, usage, _)) = VERBS.iter().find(|(v, _, _)| *v == verb) else {
        return Err(NotACommand(format!("I do not know {}. {}", quoted(verb), known_verbs())));
    };
    let named = usage.split(' ').skip(1).position(|word| word == MIGRATION);
    let hint = if named.is_some() { QUOTING } else { "" };
    let wrong = || NotACommand(format!("write it as `{PREFIX} {usage}`{hint}"));
    let words = words(rest, named)
        .map_err(|naming::Unended| NotACommand(format!("nothing ends the quotation mark: `{PREFIX} {usage}`{hint}")))?;
    let exactly = |n: usize| if words.len() == n { Ok(()) } else { Err(wrong()) };
    let environment = |i: usize| known_environment(words.get(i).copied().ok_or_else(wrong)?, environments);
    let reason = |from: usize| {
        let reason = words.get(from..).unwrap_or_default().join(" ");
        match reason.chars().count() {
            0 => Err(NotACommand(format!("a reason is missing: `{PREFIX} {usage}`"))),
            n if n > MAX_REASON => Err(NotACommand(format!("the reason has {n} characters, {MAX_REASON} are allowed"))),
            _ => Ok(reason),
        }
    };
    let migration =
        |i: usize| MigrationReference::new(*words.get(i).ok_or_else(wrong)?).map_err(|e| NotACommand(e.to_string()));
    Ok(match *verb {
        "help" => exactly(0).map(|()| Command::Help)?,
        "status" => exactly(0).map(|()| Command::Status)?,
        "lint" => exactly(0).map(|()| Command::Lint)?,
        "plan" if words.is_empty() => Command::Plan(None),
        "plan" => exactly(1).and_then(|()| Ok(Command::Plan(Some(environment(0)?))))?,
        "apply" => exactly(1).and_then(|()| Ok(Command::Apply(environment(0)?)))?,
        "promote" => exactly(1).and_then(|()| Ok(Command::Promote(environment(0)?)))?,
        "rollback" => exactly(2).and_then(|()| Ok(Command::Rollback(environment(0)?, migration(1)?)))?,
        "retry" => exactly(1).and_then(|()| Ok(Command::Retry(environment(0)?)))?,
        "cancel" => exactly(1).and_then(|()| Ok(Command::Cancel(environment(0)?)))?,
        "confirm" => {
            exactly(1)?;
            Command::Confirm(RunId::new(words[0]).map_err(|e| NotACommand(e.to_string()))?)
        }
        "resolve" => Command::Resolve {
            environment: environment(0)?,
            migration: migration(1)?,
            settled: match words.get(2).copied() {
                Some("applied") => Settled::Applied,
                Some("rolled-back") => Settled::RolledBack,
                Some("retry") => Settled::Retry,
                Some(_) | None => return Err(wrong()),
            },
            reason: reason(3)?,
        },
        "lock" => Command::Lock(environment(0)?, reason(1)?),
        "unlock" => exactly(1).and_then(|()| Ok(Command::Unlock(environment(0)?)))?,
        "emergency" => {
            let environment = environment(0)?;
            Command::Emergency(environment, if words.len() > 1 { Some(reason(1)?) } else { None })
        }
        "release" => Command::Release(environment(0)?, migration(1)?, reason(2)?),
        _ => return Err(wrong()),
    })
}

/// The first word of a text, and what follows it.
fn next_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// The words of a text; the one at `named` is a migration's name, which may stand in quotation marks.
fn words(mut text: &str, named: Option<usize>) -> Result<Vec<&str>, naming::Unended> {
    let mut words = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Ok(words);
        }
        let quoted = if named == Some(words.len()) { naming::unquoted(text) } else { None };
        let (word, rest) = quoted.unwrap_or_else(|| Ok(next_word(text)))?;
        words.push(word);
        text = rest;
    }
}

fn known_environment(word: &str, environments: &[EnvironmentName]) -> Result<EnvironmentName, NotACommand> {
    environments.iter().find(|e| e.as_str() == word).cloned().ok_or_else(|| {
        let names: Vec<String> = environments.iter().map(|e| format!("`{e}`")).collect();
        NotACommand(format!("there is no environment {}; there is {}", quoted(word), names.join(", ")))
    })
}

fn known_verbs() -> String {
    let names: Vec<String> = VERBS.iter().map(|(v, _, _)| format!("`{v}`")).collect();
    format!("I know {}", names.join(", "))
}

/// A word from a comment, harmless in Markdown: short, without back-ticks, in code.
fn quoted(word: &str) -> String {
    let plain: String = word.chars().filter(|c| *c != '`' && !c.is_control()).take(60).collect();
    format!("`{plain}`")
}

/// The answer to `help`.
pub fn help() -> String {
    let mut text = String::from("Write one of these alone on a line:\n\n| command | what it does |\n|---|---|\n");
    for (_, usage, what) in VERBS {
        text.push_str(&format!("| `{PREFIX} {}` | {what} |\n", usage.replace('|', "\\|")));
    }
    text.push_str(&format!(
        "\n`{MIGRATION}` is a name as comments show it: in quotation marks where it holds blanks (`\"0004 add orders\"`), with \
         its folder before it where several have that name (`billing/0001_init`).\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environments() -> Vec<EnvironmentName> {
        ["development", "staging", "production"].map(|n| EnvironmentName::new(n).unwrap()).to_vec()
    }

    fn env(name: &str) -> EnvironmentName {
        EnvironmentName::new(name).unwrap()
    }

    fn read(body: &str) -> Vec<Result<Command, String>> {
        commands(body, &environments()).into_iter().map(|(_, r)| r.map_err(|e| e.0)).collect()
    }

    #[test]
    fn b12_every_verb_of_the_interface_is_read() {
        let id = |s: &str| MigrationReference::new(s).unwrap();
        for (line, expected) in [
            ("help", Command::Help),
            ("status", Command::Status),
            ("lint", Command::Lint),
            ("plan", Command::Plan(None)),
            ("plan staging", Command::Plan(Some(env("staging")))),
            ("apply staging", Command::Apply(env("staging"))),
            ("promote production", Command::Promote(env("production"))),
            ("rollback staging 0004_orders", Command::Rollback(env("staging"), id("0004_orders"))),
            ("rollback staging billing/0001_init", Command::Rollback(env("staging"), id("billing/0001_init"))),
            ("rollback staging \"1_a b/0001 init\" ", Command::Rollback(env("staging"), id("1_a b/0001 init"))),
            ("retry  staging ", Command::Retry(env("staging"))),
            ("cancel staging", Command::Cancel(env("staging"))),
            ("confirm 01ARZ3NDEKTSV4RRFFQ69G5FAV", Command::Confirm(RunId::new("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap())),
            (
                "resolve production 0004_orders rolled-back checked by hand",
                Command::Resolve {
                    environment: env("production"),
                    migration: id("0004_orders"),
                    settled: Settled::RolledBack,
                    reason: "checked by hand".into(),
                },
            ),
            (
                "resolve production “2019_Add an email” applied it \"is\" there",
                Command::Resolve {
                    environment: env("production"),
                    migration: id("2019_Add an email"),
                    settled: Settled::Applied,
                    reason: "it \"is\" there".into(),
                },
            ),
            ("lock production \"release freeze\"", Command::Lock(env("production"), "\"release freeze\"".into())),
            ("lock production release freeze", Command::Lock(env("production"), "release freeze".into())),
            ("unlock production", Command::Unlock(env("production"))),
            ("emergency production site is down", Command::Emergency(env("production"), Some("site is down".into()))),
            ("emergency production", Command::Emergency(env("production"), None)),
            (
                "release production 0007_drop version 4 is everywhere",
                Command::Release(env("production"), id("0007_drop"), "version 4 is everywhere".into()),
            ),
        ] {
            assert_eq!(read(&format!("/godwit {line}")), [Ok(expected)], "{line}");
        }
        assert_eq!(VERBS.len(), 15);
    }

    #[test]
    fn b12_what_is_wrong_is_an_error_that_lists_what_is_right() {
        for (line, parts) in [
            ("", &["`help`", "`emergency`"][..]),
            ("aply staging", &["`aply`", "`apply`"]),
            ("Apply staging", &["`Apply`"]),
            ("apply", &["`/godwit apply ENV`"]),
            ("apply prod", &["`prod`", "`development`, `staging`, `production`"]),
            ("apply staging production", &["`/godwit apply ENV`"]),
            ("apply --all", &["no environment `--all`"]),
            ("apply ../staging", &["no environment"]),
            ("apply staging;id", &["no environment"]),
            ("apply $(id)", &["no environment"]),
            ("help me", &["`/godwit help`"]),
            ("lock production", &["reason is missing"]),
            ("emergency", &["`/godwit emergency ENV"]),
            ("resolve production 0001_a maybe why", &["applied|rolled-back|retry"]),
            ("resolve production 0001_a applied", &["reason is missing"]),
            ("rollback staging a/", &["migration id"]),
            ("rollback staging \"\"", &["migration id"]),
            ("rollback staging \"0001 a", &["nothing ends the quotation mark"]),
            ("rollback staging 0001 a", &["`/godwit rollback ENV MIGRATION`", "in quotation marks"]),
            ("confirm 12", &["ULID"]),
            ("approve", &["`approve`", "`status`"]),
        ] {
            let answers = read(&format!("/godwit {line}"));
            let [Err(message)] = &answers[..] else { panic!("{line}: {answers:?}") };
            for part in parts {
                assert!(message.contains(part), "{line}: {message}");
            }
        }
    }

    #[test]
    fn b12_only_a_person_speaking_is_heard() {
        for quiet in [
            "please /godwit help",
            "`/godwit help`",
            "> /godwit help",
            "    /godwit help",
            "\t/godwit help",
            "```\n/godwit help\n```",
            "~~~ sh\n/godwit help\n```\n/godwit help\n~~~",
            "````\n```\n/godwit help\n````",
            "```\nnever closed\n/godwit help",
            "<!--\n/godwit help\n-->",
            "<!-- /godwit help -->",
            "- /godwit help",
            "/godwithelp",
            "/GODWIT help",
            "//godwit help",
            "/godwit-bot help",
        ] {
            assert_eq!(read(quiet), [], "{quiet:?}");
            assert!(!addresses_bot(quiet));
        }
        for loud in [
            "/godwit help",
            "  /godwit help  ",
            "Hello\r\n/godwit help\r\nbye",
            "```\ncode\n```\n/godwit help",
            "> quoted\n\n/godwit help",
            "<!-- x -->\n/godwit help",
        ] {
            assert_eq!(read(loud), [Ok(Command::Help)], "{loud:?}");
        }
        assert_eq!(read("/godwit help\n/godwit status"), [Ok(Command::Help), Ok(Command::Status)]);
        assert_eq!(read(&"/godwit help\n".repeat(50)).len(), MAX_COMMANDS);
    }

    #[test]
    fn b12_commands_that_are_too_many_are_told() {
        let ten = "/godwit help\n".repeat(MAX_COMMANDS);
        assert_eq!(left_out(&ten), None);
        let said = left_out(&format!("{ten}/godwit status\n")).unwrap();
        assert!(said.contains("10 commands") && said.contains("holds 11: the last one was"), "{said}");
        let said = left_out(&format!("{ten}/godwit status\n/godwit lint\n")).unwrap();
        assert!(said.contains("holds 12: the last 2 were not read, from `/godwit status` on"), "{said}");
    }

    #[test]
    fn an_error_quotes_nothing_that_could_break_out_of_code() {
        let answers = read("/godwit a`b`@team&lt;");
        assert_eq!(answers[0].as_ref().unwrap_err().split(". ").next(), Some("I do not know `ab@team&lt;`"));
    }

    #[test]
    fn help_lists_every_verb() {
        let help = help();
        assert!(VERBS.iter().all(|(verb, _, _)| help.contains(&format!("/godwit {verb}"))));
    }
}
