//! A rule about operations: what it is asked about, and what it is tried on.

use std::ops::Range;

use crate::lint::operations::{Call, Look, Lua};
use crate::lint::script::Finding;
use crate::lint::table::RuleInfo;
use crate::migration::Migration;
use crate::migration::operations::{Located, elasticsearch, mongodb, redis};

/// A rule about operations of MongoDB, Elasticsearch or Redis, or of each of them.
pub struct OperationRule {
    /// The table's entry.
    pub info: RuleInfo,
    /// How it looks.
    pub(in crate::lint) check: Check,
    /// Without a finding of this rule.
    pub ok: &'static [Example],
    /// With one.
    pub bad: &'static [Example],
}

/// What a rule is tried on.
pub enum Example {
    /// The operations of one migration, with commas in between.
    Operations(&'static str),
    /// The same of several migrations, in order.
    Migrations(&'static [&'static str]),
    /// The whole files of several migrations, in order.
    Files(&'static [&'static str]),
    /// A script of Redis.
    Lua(&'static str),
}

/// What a rule is given.
pub(in crate::lint) enum Check {
    /// The name of each thing that an operation uses, with the operation's place in its migration.
    Use(fn(&Look<'_>, usize, &str, &mut Told<'_>)),
    /// Each operation of MongoDB.
    Mongodb(fn(&Look<'_>, &mongodb::Operation, &mut Told<'_>)),
    /// Each operation of Elasticsearch.
    Elasticsearch(fn(&Look<'_>, &elasticsearch::Operation, &mut Told<'_>)),
    /// Each operation of Redis.
    Redis(fn(&redis::Operation, &mut Told<'_>)),
    /// Why a script does not compile.
    Refused(fn(&str, &mut Told<'_>)),
    /// Each command that a script calls by its name.
    Call(fn(&Lua<'_>, &Call, &mut Told<'_>)),
    /// Each script.
    Lua(fn(&Lua<'_>, &mut Told<'_>)),
    /// Each migration, with its operations and what they leave.
    Migration(fn(&Look<'_>, &Migration, &[Located], &mut Told<'_>)),
}

/// Where a rule puts what it found.
pub(in crate::lint) struct Told<'a> {
    rule: &'static RuleInfo,
    /// Where that stands of which the rule is asked.
    pub at: Range<usize>,
    found: &'a mut Vec<Finding>,
}

impl Told<'_> {
    /// A finding about what the rule is asked of.
    pub fn add(&mut self, message: impl Into<String>, help: &str) -> &mut Finding {
        self.add_at(self.at.clone(), message, help)
    }

    /// A finding at a byte range.
    pub fn add_at(&mut self, at: Range<usize>, message: impl Into<String>, help: &str) -> &mut Finding {
        self.found.push(Finding::new(self.rule, at, message).with_help(help));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

/// What every rule has to say of something that stands at `at`; `ask` calls those that are about such things.
pub(in crate::lint) fn asked(at: &Range<usize>, mut ask: impl FnMut(&Check, &mut Told<'_>)) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in super::about_operations() {
        ask(&rule.check, &mut Told { rule: &rule.info, at: at.clone(), found: &mut found });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LintConfig;
    use crate::lint::table::Applies;
    use crate::lint::{Scope, Violation, check, rules};
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    /// The files of an example, with an empty rollback where they are lists of operations.
    fn files(engine: &str, example: &Example) -> Vec<(String, String)> {
        let listed = |n: usize, list: &str| {
            let json = format!(
                r#"{{"version":"{}.0.0","name":"m","description":"BREAKING","database_type":"{engine}","migration_type":"schema","rollback":[],"operations":[
{list}
]}}"#,
                n + 1
            );
            (format!("migrations/{engine}/{:03}_m.json", n + 1), json)
        };
        match example {
            Example::Operations(list) => vec![listed(0, list)],
            Example::Migrations(lists) => lists.iter().enumerate().map(|(n, list)| listed(n, list)).collect(),
            Example::Files(texts) => {
                let file = |(n, text): (usize, &&str)| {
                    (format!("migrations/{engine}/{:03}_m.json", n + 1), (*text).to_owned())
                };
                texts.iter().enumerate().map(file).collect()
            }
            Example::Lua(source) => {
                let json = r#"{"version":"1.0.0","name":"m","description":"x","database_type":"redis","migration_type":"data","keys":{"match":"a:*"}}"#;
                vec![
                    ("migrations/redis/001_m.json".to_owned(), json.to_owned()),
                    ("migrations/redis/001_m.lua".to_owned(), (*source).to_owned()),
                    ("migrations/redis/001_m_rollback.lua".to_owned(), "return 0".to_owned()),
                ]
            }
        }
    }

    /// What is found in an example.
    fn found(rule: &OperationRule, example: &Example) -> Vec<Violation> {
        let engine = match rule.info.applies {
            Applies::Elasticsearch => "elasticsearch",
            Applies::Redis => "redis",
            _ => "mongodb",
        };
        let files: Vec<_> =
            files(engine, example).iter().map(|(p, t)| SourceFile::new(p.as_str(), t.as_bytes())).collect();
        let set = resolve(&files, &[MigrationRoot::folder("migrations/*")]);
        let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
        check(&set, &LintConfig::default(), &Scope::All, today).violations
    }

    /// Whether a finding stands where the example does: at an operation, or in the script.
    fn is_in(example: &Example, found: &Violation) -> bool {
        match example {
            Example::Operations(_) | Example::Migrations(_) => found.line > 1,
            Example::Files(_) => found.file.ends_with(".json"),
            Example::Lua(_) => found.file.ends_with("001_m.lua"),
        }
    }

    fn text(example: &Example) -> String {
        match example {
            Example::Operations(text) | Example::Lua(text) => (*text).to_owned(),
            Example::Migrations(texts) | Example::Files(texts) => texts.join("\n"),
        }
    }

    #[test]
    fn every_rule_keeps_to_its_examples() {
        for rule in rules::about_operations() {
            let id = rule.info.id;
            assert!(!rule.ok.is_empty() && !rule.bad.is_empty(), "{id}: no examples");
            for (example, bad) in rule.ok.iter().map(|e| (e, false)).chain(rule.bad.iter().map(|e| (e, true))) {
                let (found, text) = (found(rule, example), text(example));
                let told = found.iter().find(|v| v.rule == id);
                assert_eq!(told.is_some(), bad, "{id}, in {text}: {found:?}");
                assert!(told.is_none_or(|v| is_in(example, v)), "{id}, in {text}: {found:?}");
                // An example that is no migration would be quiet about everything.
                let broken = ["invalid-operation", "invalid-metadata", "version-order", "not-analysed"];
                assert!(!found.iter().any(|v| broken.contains(&v.rule.as_str())), "{id}, in {text}: {found:?}");
            }
        }
    }
}
