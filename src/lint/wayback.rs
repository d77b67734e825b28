//! What the way back of a migration destroys beyond what its forward script made. Undoing is meant to drop things, and so
//! most rules are silent there; rows and tables that were there before are not its to take.

use std::collections::{BTreeSet, HashSet};

use squawk_syntax::ast;
use squawk_syntax::{Parse, SourceFile};

use super::Severity;
use super::rules;
use super::schema::{Brought, Change, columns_set, filled};
use super::script::{Finding, Script, tables_of};
use super::squawk::Chosen;
use super::table::RuleInfo;

/// The rules that a way back is asked by, as far as it is about what was there before.
const RULES: [&str; 5] =
    ["adding-required-field", "ban-truncate-cascade", "delete-without-where", "truncate-table", "update-without-where"];

/// Whether a way back is asked by a rule.
pub fn asks(rule: &RuleInfo) -> bool {
    RULES.contains(&rule.id)
}

/// What these rules find in the way back `script`.
pub fn losses(
    script: &Script<'_>,
    parse: &Parse<SourceFile>,
    squawk: &Chosen,
    on: impl Fn(&RuleInfo) -> bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    squawk.run(script, parse, &mut found);
    rules::run(script, |rule| asks(rule) && on(rule), &mut found);
    let newer = HashSet::new();
    // What fills a column that comes back here overwrites nothing.
    found.retain(|f| {
        let fills = f.rule.id == UPDATE && f.severity == Some(Severity::Warning);
        !fills && !script.concerns_only_new(f, &newer)
    });
    for finding in &mut found {
        finding.tables = script.tables_at(finding);
        finding.message = match finding.rule.id {
            REQUIRED => {
                "on the way back: a column that is `NOT NULL` and has no value for the rows that are there fails on a \
                         table with rows"
                    .to_owned()
            }
            _ => format!("on the way back: {}", finding.message),
        };
        finding.fix = None;
    }
    found.retain(|f| f.rule.id != REQUIRED || !is_emptied(script, f));
    found
}

const UPDATE: &str = "update-without-where";
const REQUIRED: &str = "adding-required-field";

/// Whether the script empties the table of a finding in front of it.
fn is_emptied(script: &Script<'_>, finding: &Finding) -> bool {
    let in_front = script.statements.iter().take_while(|s| s.range.end <= finding.range.start);
    let mut empties = in_front.filter(|s| match &s.node {
        ast::Stmt::Truncate(_) => true,
        ast::Stmt::Delete(delete) => delete.where_clause_or_current_of().is_none(),
        _ => false,
    });
    empties.any(|s| finding.tables.iter().any(|table| tables_of(&s.node).contains(table)))
}

/// Leaves of these findings about a way back those about rows that were there before its forward script, which has `up`
/// for its changes and `told` for what was found in it.
pub fn keep_foreign(up: &[Change], told: &[Finding], back: &[Change], found: &mut Vec<Finding>) {
    if !found.iter().any(|f| asks(f.rule)) {
        return;
    }
    let brought = Brought::of(up);
    // What it filled there itself is at least part of what goes.
    let filled: BTreeSet<&str> = filled(up);
    for finding in found.iter_mut().filter(|f| f.rule.id == "delete-without-where") {
        if finding.tables.iter().any(|table| filled.contains(table.as_str())) {
            finding.severity = Some(Severity::Warning);
            finding.message.push_str(", those that the forward script did not add too");
        }
    }
    found.retain(|finding| {
        if !asks(finding.rule) {
            return true;
        }
        // One that does the same on the way there has left nothing to lose.
        let same = |f: &Finding| {
            (f.rule.id == finding.rule.id || f.rule.id == UPDATE || f.rule.id == "ddl-with-backfill")
                && f.tables == finding.tables
        };
        let Some(brought) = brought.as_ref() else { return false };
        if finding.tables.is_empty() || finding.tables.iter().any(|table| brought.has_table(table)) {
            return false;
        }
        if finding.rule.id != REQUIRED && told.iter().any(same) {
            return false;
        }
        let set: BTreeSet<&str> = columns_set(back, &finding.range);
        let own = |column: &&str| finding.tables.iter().any(|table| brought.has_column(table, column));
        finding.rule.id != UPDATE || set.is_empty() || !set.iter().all(own)
    });
}
