//! The project's own rules: one rule, one file, with what it accepts and what it does not.

mod elasticsearch;
mod mongodb;
pub(in crate::lint) mod operation;
mod operations;
pub(in crate::lint) mod postgres;
mod redis;

pub use operation::{Example, OperationRule};
pub(super) use postgres::SECRET_LITERAL;

use super::script::{Finding, Script, Statement, range_of};
use super::table::RuleInfo;
use squawk_syntax::SyntaxNode;

/// A rule about SQL.
pub struct OwnRule {
    /// The table's entry.
    pub info: RuleInfo,
    /// How it looks.
    pub check: Check,
    /// The safer form, printed under a finding.
    pub help: &'static str,
    /// Scripts without a finding of this rule.
    pub ok: &'static [&'static str],
    /// Scripts with one.
    pub bad: &'static [&'static str],
}

/// What a rule is given.
pub enum Check {
    /// Each statement with its index.
    Statement(fn(&Script<'_>, usize, &Statement, &mut Report<'_>)),
    /// The whole script.
    Script(fn(&Script<'_>, &mut Report<'_>)),
}

/// Where a rule puts what it found.
pub struct Report<'a> {
    rule: &'static OwnRule,
    found: &'a mut Vec<Finding>,
}

impl Report<'_> {
    /// A finding at a node.
    pub fn add(&mut self, node: &SyntaxNode, message: impl Into<String>) -> &mut Finding {
        self.add_range(range_of(node), message)
    }

    /// A finding at a byte range.
    pub fn add_range(&mut self, range: std::ops::Range<usize>, message: impl Into<String>) -> &mut Finding {
        self.found.push(Finding::new(&self.rule.info, range, message).with_help(self.rule.help));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

/// Every own rule about SQL.
pub static OWN: &[&OwnRule] = postgres::RULES;

/// Every rule about operations, by the folder of its file; those of every engine have the last word.
pub static OPERATIONS: &[(&str, &[&OperationRule])] = &[
    ("mongodb", mongodb::RULES),
    ("elasticsearch", elasticsearch::RULES),
    ("redis", redis::RULES),
    ("operations", operations::RULES),
];

/// Every rule about operations, in the order in which they look.
pub fn about_operations() -> impl Iterator<Item = &'static OperationRule> {
    OPERATIONS.iter().flat_map(|(_, rules)| rules.iter().copied())
}

/// Runs the own rules that `wanted` names.
pub fn run(script: &Script<'_>, wanted: impl Fn(&RuleInfo) -> bool, found: &mut Vec<Finding>) {
    for rule in OWN.iter().filter(|r| wanted(&r.info)) {
        let mut report = Report { rule, found };
        match rule.check {
            Check::Statement(check) => {
                for (index, statement) in script.statements.iter().enumerate() {
                    check(script, index, statement, &mut report);
                }
            }
            Check::Script(check) => check(script, &mut report),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::ids::Engine;
    use crate::lint::bodies::{self, Parsed};
    use crate::lint::script::{Direction, Server};

    fn finds(rule: &'static OwnRule, sql: &str) -> bool {
        let Parsed { text: sql, parse, statements } = bodies::parsed(Cow::Borrowed(sql));
        assert!(parse.errors().is_empty(), "{sql}: {:?}", parse.errors());
        let script = Script::new(&sql, statements, Engine::Postgresql, Direction::Up, true)
            .on(Server { major: 15, is_assumed: false });
        let mut found = Vec::new();
        run(&script, |info| info.id == rule.info.id, &mut found);
        found.retain(|f| !script.concerns_only_new(f, &Default::default()));
        !found.is_empty()
    }

    #[test]
    fn every_rule_keeps_to_its_examples() {
        for rule in OWN {
            assert!(!rule.ok.is_empty() && !rule.bad.is_empty(), "{}: no examples", rule.info.id);
            for sql in rule.ok {
                assert!(!finds(rule, sql), "{} finds something in {sql}", rule.info.id);
            }
            for sql in rule.bad {
                assert!(finds(rule, sql), "{} finds nothing in {sql}", rule.info.id);
            }
        }
    }
}
