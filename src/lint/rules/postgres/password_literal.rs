//! `PASSWORD '…'`.

use super::prelude::*;
use crate::redact;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "password-literal",
        category: Category::Security,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "A password stands in the migration",
    },
    check: Check::Statement(check),
    help: "set it outside the repository, or seal it with `godwit seal`; change this one, since the history keeps it",
    ok: &["create role app login;", "alter role app password null;"],
    bad: &[
        "create role app login password 'x';",
        "alter user app with encrypted password 'x';",
        "create user app password 'x';",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    for option in role_options(&statement.node) {
        let literal = match &option {
            ast::RoleOption::RoleOptionPassword(p) => p.syntax().text().to_string(),
            ast::RoleOption::RoleOptionEncryptedPassword(p) => p.syntax().text().to_string(),
            _ => continue,
        };
        let is_sealed = literal.split('\'').any(redact::is_sealed);
        if literal.contains(['\'', '$']) && !is_sealed {
            report.add(
                option.syntax(),
                "the password is readable by everyone who can read the repository or the server's log",
            );
        }
    }
}
