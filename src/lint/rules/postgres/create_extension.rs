//! `CREATE EXTENSION`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "create-extension",
        category: Category::Security,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "CREATE EXTENSION needs rights and files on the server",
    },
    check: Check::Statement(check),
    help: "make sure it is installed and allowed on every environment; name its schema with `SCHEMA`",
    ok: &["create schema s;"],
    bad: &["create extension pgcrypto;", "create extension if not exists pg_trgm;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::CreateExtension(create) = &statement.node else { return };
    report.add(
        create.syntax(),
        format!(
            "`{}` runs code of the extension with its owner's rights, and must be there on every server",
            named(create.extension())
        ),
    );
}
