//! `SUPERUSER`, `BYPASSRLS`, and roles that stand for them.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "superuser-rights",
        category: Category::Security,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "A role gets rights over the whole server",
    },
    check: Check::Statement(check),
    help: "superuser rights are given by who runs the server, never by a migration",
    ok: &["create role app login;", "alter role app nosuperuser nocreaterole;", "grant readers to app;"],
    bad: &[
        "create role app superuser;",
        "alter user app with bypassrls;",
        "grant pg_write_server_files to app;",
        "create role app createrole;",
        "grant pg_read_all_data to app;",
        "grant postgres to app;",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    const DATA: [&str; 2] = ["pg_read_all_data", "pg_write_all_data"];
    const ROLES: [&str; 5] = [
        "pg_execute_server_program",
        "pg_read_server_files",
        "pg_write_server_files",
        "rds_superuser",
        "cloudsqlsuperuser",
    ];
    if let ast::Stmt::Grant(grant) = &statement.node {
        let given = grant.privileges().map(|p| name_of(p.syntax())).unwrap_or_default();
        if grant.on_privilege_objects_clause().is_none() && given.split(',').any(|r| ROLES.contains(&r)) {
            report.add(grant.syntax(), format!("`{given}` reaches the server's files and programs"));
        }
        if grant.on_privilege_objects_clause().is_none() && given.split(',').any(|r| r == "postgres") {
            report.add(
                grant.syntax(),
                "`postgres` is by custom the superuser: who is in it is above every rule of the server",
            );
        }
        let data = given.split(',').find(|role| DATA.contains(role));
        if let Some(role) = data.filter(|_| grant.on_privilege_objects_clause().is_none()) {
            let does = if role == "pg_read_all_data" { "reads" } else { "changes" };
            report.add(
                grant.syntax(),
                format!("`{role}` {does} every table, those of the future too, whatever is granted on it"),
            );
        }
        return;
    }
    for option in role_options(&statement.node) {
        let text = name_of(option.syntax());
        if matches!(text.as_str(), "superuser" | "bypassrls" | "replication") {
            report.add(
                option.syntax(),
                format!("`{}` puts the role above every rule of the database", text.to_uppercase()),
            );
        } else if text == "createrole" {
            let message = "`CREATEROLE` makes roles and gives rights to them: before PostgreSQL 16 those of nearly every other role";
            report.add(option.syntax(), message);
        }
    }
}
