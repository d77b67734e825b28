//! `GRANT ALL`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "grant-all",
        category: Category::Security,
        severity: Some(Severity::Error),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "GRANT ALL gives more than is needed",
    },
    check: Check::Statement(check),
    help: "name the rights: `GRANT SELECT, INSERT, UPDATE ON …`",
    ok: &["grant select, insert on t to app;"],
    bad: &[
        "grant all on t to app;",
        "grant all privileges on schema s to app;",
        "alter default privileges grant all on tables to app;",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let privileges = match &statement.node {
        ast::Stmt::Grant(grant) => grant.privileges(),
        _ => granted_by_default(statement).and_then(|grant| grant.privileges()),
    };
    if matches!(privileges, Some(ast::Privileges::AllPrivileges(_))) {
        let message = "`ALL` includes `TRUNCATE`, `TRIGGER` and whatever later versions add";
        report.add(&statement_node(statement), message);
    }
}
