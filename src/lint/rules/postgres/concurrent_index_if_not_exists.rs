//! `CREATE INDEX CONCURRENTLY IF NOT EXISTS`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "concurrent-index-if-not-exists",
        category: Category::Fails,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "CONCURRENTLY IF NOT EXISTS keeps an invalid index",
    },
    check: Check::Statement(check),
    help: "leave `IF NOT EXISTS` out; after a failed build `DROP INDEX CONCURRENTLY IF EXISTS` and build again",
    ok: &["create index concurrently i on t (a);", "create index if not exists i on t (a);"],
    bad: &["create index concurrently if not exists i on t (a);"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::CreateIndex(create) = &statement.node else { return };
    let Some(guard) = create.if_not_exists().filter(|_| create.concurrently_token().is_some()) else { return };
    let finding = report.add(
        create.syntax(),
        "an invalid index left by a failed build counts as existing: the statement succeeds and no query uses the index",
    );
    let range = guard.syntax().text_range();
    // The blank behind it goes too.
    let end = guard.syntax().next_sibling_or_token().map_or(range.end(), |n| match n.kind() {
        SyntaxKind::WHITESPACE => n.text_range().end(),
        _ => range.end(),
    });
    finding.fix = Some(Rewrite {
        title: "Leave IF NOT EXISTS out".to_owned(),
        edits: vec![(usize::from(range.start())..usize::from(end), String::new())],
    });
}
