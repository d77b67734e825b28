//! `GRANT … TO PUBLIC`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "grant-to-public",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "Rights for PUBLIC are rights for every role",
    },
    check: Check::Statement(check),
    help: "grant to the roles that need it",
    ok: &["grant select on t to app;", "revoke all on t from public;"],
    bad: &["grant select on t to public;", "grant all on t to app, public;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Grant(grant) = &statement.node else { return };
    let to_public = grant.role_ref_list().is_some_and(|l| l.role_refs().any(|r| name_of(r.syntax()) == "public"));
    if to_public {
        report.add(grant.syntax(), "every role of the server gets these rights, also those that are created later");
    }
}
