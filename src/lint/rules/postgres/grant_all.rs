//! `GRANT ALL`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "grant-all",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "GRANT ALL gives more than is needed",
    },
    check: Check::Statement(check),
    help: "name the rights: `GRANT SELECT, INSERT, UPDATE ON …`",
    ok: &["grant select, insert on t to app;"],
    bad: &["grant all on t to app;", "grant all privileges on schema s to app;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Grant(grant) = &statement.node else { return };
    if matches!(grant.privileges(), Some(ast::Privileges::AllPrivileges(_))) {
        report.add(grant.syntax(), "`ALL` includes `TRUNCATE`, `TRIGGER` and whatever later versions add");
    }
}
