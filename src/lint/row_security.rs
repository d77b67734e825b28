//! Row level security: what switching it on or off means for those who use a table, told once for each table.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::corrections::holds;
use super::script::{Finding, Script, Statement, builtin, name_of};
use super::touched::word;
use crate::ids::Risk;

/// What a statement does with the row level security of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rows {
    Enabled,
    Forced,
    Disabled,
    NotForced,
}

impl Rows {
    fn is_on(self) -> bool {
        matches!(self, Rows::Enabled | Rows::Forced)
    }
}

/// The table whose row level security a finding is about, and what is done with it.
fn of_rows(script: &Script<'_>, finding: &Finding) -> Option<(String, Rows)> {
    if !matches!(finding.rule.id, ROW_LEVEL_SECURITY | "ban-disable-trigger") {
        return None;
    }
    let ast::Stmt::AlterTable(alter) = &script.statements[script.statement_at(finding.range.start)?].node else {
        return None;
    };
    let rows = match alter.actions().find(|a| holds(a.syntax(), finding))? {
        ast::AlterTableAction::EnableRls(_) => Rows::Enabled,
        ast::AlterTableAction::ForceRls(_) => Rows::Forced,
        ast::AlterTableAction::DisableRls(_) => Rows::Disabled,
        ast::AlterTableAction::NoForceRls(_) => Rows::NotForced,
        _ => return None,
    };
    Some((name_of(alter.table_relation_name()?.syntax()), rows))
}

const ROW_LEVEL_SECURITY: &str = "ban-alter-row-level-security";

/// Row level security is told once for each table, by its own rule and where it is first touched: `ENABLE` and `FORCE` are
/// two halves of one decision, and no trigger is switched off.
pub fn told_once(script: &Script<'_>, found: &mut Vec<Finding>) {
    found.retain(|f| f.rule.id == ROW_LEVEL_SECURITY || of_rows(script, f).is_none());
    let mut all: Vec<(usize, String, Rows)> =
        found.iter().filter_map(|f| of_rows(script, f).map(|(table, rows)| (f.range.start, table, rows))).collect();
    all.sort();
    found.retain_mut(|finding| {
        let Some((table, rows)) = of_rows(script, finding) else { return true };
        let beside = || all.iter().filter(|(_, t, r)| *t == table && r.is_on() == rows.is_on());
        if beside().next().is_some_and(|(first, ..)| *first != finding.range.start) {
            return false;
        }
        let has = |wanted: Rows| beside().any(|(.., r)| *r == wanted);
        let policies = if rows.is_on() { policies(script, finding, &table) } else { Vec::new() };
        if !policies.is_empty() {
            let Some((message, risk)) = narrowed(script, &table, &policies, has(Rows::Forced)) else { return false };
            finding.message = message;
            finding.risk = Some(risk);
            finding.tables = vec![table];
            return true;
        }
        finding.message = if has(Rows::Disabled) {
            format!("from here on every role with rights on `{table}` sees all of its rows, whatever its policies say")
        } else if rows == Rows::NotForced {
            format!("from here on the owner of `{table}` sees all of its rows, whatever its policies say")
        } else if !has(Rows::Enabled) {
            format!(
                "from here on the policies of `{table}` hold for its owner too: programs that connect as the owner see and \
                 write no more than they allow"
            )
        } else if has(Rows::Forced) {
            format!("without a policy nobody sees a row of `{table}` from here on or writes one, its owner neither")
        } else {
            format!("without a policy nobody but its owner sees a row of `{table}` from here on or writes one")
        };
        true
    });
}

/// Whether a finding is about the rows that a table has already: policies on a new one hide nothing from anybody.
pub fn is_of_rows_there(finding: &Finding) -> bool {
    finding.rule.id == ROW_LEVEL_SECURITY && !finding.tables.is_empty()
}

/// The policies that a table has as soon as its row level security is on.
fn policies(script: &Script<'_>, finding: &Finding, table: &str) -> Vec<ast::CreatePolicy> {
    let Some(index) = script.statement_at(finding.range.start) else { return Vec::new() };
    // Where each statement commits by itself, nobody sees a row until the policy behind it is there.
    let beside = if script.in_transaction { &script.statements[..] } else { &script.statements[..index] };
    let of = |policy: &&ast::CreatePolicy| {
        policy.on_table().and_then(|on| on.table_name_ref()).is_some_and(|n| name_of(n.syntax()) == table)
    };
    let all = beside.iter().filter_map(|s| match &s.node {
        ast::Stmt::CreatePolicy(policy) => Some(policy),
        _ => None,
    });
    all.filter(of).cloned().collect()
}

/// What switching it on does to those who use a table, by its policies: a message and how risky it is; nothing where they see
/// and write all rows as before.
fn narrowed(script: &Script<'_>, table: &str, policies: &[ast::CreatePolicy], forced: bool) -> Option<(String, Risk)> {
    if policies.iter().any(opens_all) {
        return None;
    }
    let who = if forced { "all programs, its owner too," } else { "programs that are not its owner" };
    let from_here_on = format!("from here on {who} see and write only what the policies of `{table}` let through");
    if policies.iter().any(asks_a_setting) {
        let message = format!(
            "{from_here_on}; `current_setting` with one argument is an error in each session that has not set it"
        );
        return Some((message, Risk::High));
    }
    let new = new_columns(script, table);
    let conditions = policies.iter().filter_map(|policy| policy.using_expr_clause());
    let named = conditions.flat_map(|using| identifiers(using.syntax())).find(|name| new.contains(name));
    Some(match named {
        Some(column) => {
            let message =
                format!("{from_here_on}; `{column}` is new and NULL in every row that is there, which hides them");
            (message, Risk::High)
        }
        None => (from_here_on, Risk::Medium),
    })
}

/// Whether a policy lets everybody do everything.
fn opens_all(policy: &ast::CreatePolicy) -> bool {
    let says = |node: Option<&SyntaxNode>, word: &str| {
        node.is_some_and(|n| n.text().to_string().to_ascii_lowercase().split_whitespace().any(|w| w == word))
    };
    let restricts = says(policy.as_policy_type().as_ref().map(AstNode::syntax), "restrictive");
    let of_all = policy.policy_command().is_none_or(|command| says(Some(command.syntax()), "all"));
    let to_all = policy.policy_roles().is_none_or(|roles| says(Some(roles.syntax()), "public"));
    let condition = policy.using_expr_clause().and_then(|using| using.expr());
    let lets_through = condition.is_some_and(|e| e.syntax().text().to_string().trim().eq_ignore_ascii_case("true"));
    let checks = policy.with_check_expr_clause().is_some_and(|c| !says(c.expr().as_ref().map(AstNode::syntax), "true"));
    !restricts && of_all && to_all && lets_through && !checks
}

/// Whether a policy calls `current_setting` so that it fails where nobody has set it.
fn asks_a_setting(policy: &ast::CreatePolicy) -> bool {
    let mut calls = policy.syntax().descendants().filter_map(ast::CallExpr::cast);
    calls.any(|call| {
        let arguments = call.arg_list().map_or(0, |list| list.args().count());
        arguments == 1 && builtin(&call).as_deref() == Some("current_setting")
    })
}

/// The columns that a script adds to a table.
fn new_columns(script: &Script<'_>, table: &str) -> BTreeSet<String> {
    let fills = |s: &Statement| matches!(&s.node, ast::Stmt::Update(update) if update.relation_name().is_some_and(|n| name_of(n.syntax()) == table));
    if script.statements.iter().any(fills) {
        return BTreeSet::new();
    }
    let altered = script.statements.iter().filter_map(|s| match &s.node {
        ast::Stmt::AlterTable(alter) => Some(alter),
        _ => None,
    });
    let of = altered.filter(|a| a.table_relation_name().is_some_and(|n| name_of(n.syntax()) == table));
    let has_value = |add: &ast::AddColumn| {
        add.constraints()
            .any(|c| !matches!(c, ast::Constraint::NullConstraint(_) | ast::Constraint::ReferencesConstraint(_)))
    };
    let added = of.flat_map(|alter| alter.actions().collect::<Vec<_>>()).filter_map(|action| match action {
        ast::AlterTableAction::AddColumn(add) if !has_value(&add) => Some(name_of(add.column_name()?.syntax())),
        _ => None,
    });
    added.collect()
}

/// The names in a piece of SQL, as PostgreSQL compares them.
fn identifiers(node: &SyntaxNode) -> BTreeSet<String> {
    let tokens = node.descendants_with_tokens().filter_map(|element| element.into_token());
    tokens.filter(|token| token.kind() == SyntaxKind::IDENT).map(|token| word(token.text())).collect()
}

#[cfg(test)]
mod tests {
    use crate::ids::Risk;
    use crate::lint::sample;

    fn told(sql: &str) -> Vec<String> {
        sample(&[("0001_m.up.sql", sql)]).0.violations.into_iter().map(|v| v.rule).collect()
    }

    #[test]
    fn p161_policies_narrow_what_programs_see_of_a_table_that_is_there() {
        let on = "ALTER TABLE t ENABLE ROW LEVEL SECURITY;";
        let risk = |sql: &str| {
            let found = sample(&[("0001_m.up.sql", sql)]).0.violations.into_iter();
            let told: Vec<_> = found.filter(|v| v.rule == super::ROW_LEVEL_SECURITY).collect();
            assert!(told.len() < 2, "{told:?}");
            told.first().map(|v| v.risk)
        };
        for (sql, expected) in [
            ("CREATE POLICY p ON t USING (owner = current_user);", Some(Risk::Medium)),
            ("CREATE POLICY p ON t TO app USING (true);", Some(Risk::Medium)),
            ("CREATE POLICY p ON t FOR SELECT USING (true);", Some(Risk::Medium)),
            ("CREATE POLICY p ON t AS RESTRICTIVE USING (true);", Some(Risk::Medium)),
            ("CREATE POLICY p ON t USING (true) WITH CHECK (a > 0);", Some(Risk::Medium)),
            ("CREATE POLICY p ON t FOR ALL TO PUBLIC USING (true) WITH CHECK (true);", None),
            ("CREATE POLICY p ON t USING (a = current_setting('app.a')::bigint);", Some(Risk::High)),
            ("CREATE POLICY p ON t USING (a = current_setting('app.a', true)::bigint);", Some(Risk::Medium)),
            ("ALTER TABLE t ADD COLUMN a bigint; CREATE POLICY p ON t USING (a = 1);", Some(Risk::High)),
            ("ALTER TABLE t ADD COLUMN a bigint DEFAULT 1; CREATE POLICY p ON t USING (a = 1);", Some(Risk::Medium)),
            ("ALTER TABLE u ADD COLUMN a bigint; CREATE POLICY p ON t USING (a = 1);", Some(Risk::Medium)),
            ("CREATE TABLE t (a bigint); CREATE POLICY p ON t USING (a = current_setting('app.a')::bigint);", None),
        ] {
            assert_eq!(risk(&format!("{sql} {on}")), expected, "{sql}");
        }
    }

    #[test]
    fn p161_row_level_security_with_its_policy_is_safe() {
        let (on, policy) = ("ALTER TABLE t ENABLE ROW LEVEL SECURITY;", "CREATE POLICY p ON t USING (true);");
        for (sql, bare) in [
            (format!("{policy} {on}"), false),
            (format!("{on} {policy}"), false),
            (on.to_owned(), true),
            (format!("CREATE POLICY p ON u USING (true); {on}"), true),
            (format!("{policy} ALTER TABLE t DISABLE ROW LEVEL SECURITY;"), true),
            (format!("-- godwit: no-transaction\n{on} {policy}"), true),
        ] {
            assert_eq!(told(&sql).iter().any(|r| r == "ban-alter-row-level-security"), bare, "{sql}");
        }
    }

    #[test]
    fn p161_row_level_security_is_told_once_for_each_table() {
        let (on, forced) = ("ALTER TABLE t ENABLE ROW LEVEL SECURITY;", "ALTER TABLE t FORCE ROW LEVEL SECURITY;");
        let (off, free) = ("ALTER TABLE t DISABLE ROW LEVEL SECURITY;", "ALTER TABLE t NO FORCE ROW LEVEL SECURITY;");
        for (sql, messages) in [
            (
                format!("{on}\n{forced}"),
                vec![(1, "nobody sees a row of `t` from here on or writes one, its owner neither")],
            ),
            (format!("{forced}\n{on}"), vec![(1, "its owner neither")]),
            (
                "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;".to_owned(),
                vec![(1, "owner neither")],
            ),
            (on.to_owned(), vec![(1, "nobody but its owner")]),
            (forced.to_owned(), vec![(1, "hold for its owner too")]),
            (format!("{free}\n{off}"), vec![(1, "every role with rights")]),
            (free.to_owned(), vec![(1, "the owner of `t` sees all")]),
            (format!("{on}\n{off}"), vec![(1, "nobody but"), (2, "every role")]),
            (format!("{on}\n{}", on.replace(" t ", " u ")), vec![(1, "of `t`"), (2, "of `u`")]),
            (format!("DO $$ BEGIN\n{on}\n{forced}\nEND $$;"), vec![(2, "owner neither")]),
            (format!("CREATE POLICY p ON t USING (true);\n{on}\n{forced}"), vec![]),
        ] {
            let all = sample(&[("0001_m.up.sql", &sql)]).0.violations;
            let told: Vec<_> = all.iter().filter(|v| v.rule == "ban-alter-row-level-security").collect();
            assert_eq!(told.len(), messages.len(), "{sql}: {told:?}");
            for (found, (line, part)) in told.iter().zip(messages) {
                assert!(found.line == line && found.message.contains(part), "{sql}: {found:?}");
            }
            assert!(all.iter().all(|v| v.rule != "ban-disable-trigger"), "{sql}");
        }
        let both = "ALTER TABLE t DISABLE TRIGGER g, ENABLE ROW LEVEL SECURITY;";
        assert!(told(both).iter().any(|r| r == "ban-disable-trigger"));
    }
}
