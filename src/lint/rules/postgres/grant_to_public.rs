//! `GRANT … TO PUBLIC`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "grant-to-public",
        category: Category::Security,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "Rights for PUBLIC are rights for every role",
    },
    check: Check::Statement(check),
    help: "grant to the roles that need it",
    ok: &[
        "grant select on t to app;",
        "revoke all on t from public;",
        "alter default privileges grant select on tables to app;",
        "alter default privileges revoke execute on functions from public;",
    ],
    bad: &[
        "grant select on t to public;",
        "grant all on t to app, public;",
        "alter default privileges in schema s grant select on tables to public;",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let to_public =
        |roles: Option<ast::RoleRefList>| roles.is_some_and(|l| l.role_refs().any(|r| name_of(r.syntax()) == "public"));
    if let ast::Stmt::Grant(grant) = &statement.node
        && to_public(grant.role_ref_list())
    {
        report.add(grant.syntax(), "every role of the server gets these rights, also those that are created later");
    }
    if let Some(grant) = granted_by_default(statement)
        && to_public(grant.role_ref_list())
    {
        let message = "every role of the server gets these rights on whatever is created from then on";
        report.add(&statement_node(statement), message);
    }
}
