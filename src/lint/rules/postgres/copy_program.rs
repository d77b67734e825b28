//! `COPY … PROGRAM`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "copy-program",
        category: Category::Security,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "COPY … PROGRAM runs a command on the server",
    },
    check: Check::Statement(check),
    help: "load data from the client, outside the migration",
    ok: &["insert into t values (1);", "copy t to stdout;"],
    bad: &["copy t from program 'cat /etc/passwd';", "copy (select 1) to program 'cat >/dev/null';"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Copy(copy) = &statement.node else { return };
    let program = match copy.copy_direction() {
        Some(ast::CopyDirection::CopyFrom(from)) => match from.copy_source() {
            Some(ast::CopySource::CopyProgram(p)) => Some(p),
            Some(ast::CopySource::CopyStdin(_) | ast::CopySource::CopyStdout(_)) | None => None,
        },
        Some(ast::CopyDirection::CopyTo(to)) => match to.copy_target() {
            Some(ast::CopyTarget::CopyProgram(p)) => Some(p),
            Some(ast::CopyTarget::CopyStdout(_)) | None => None,
        },
        None => None,
    };
    if let Some(program) = program.filter(|p| p.program_token().is_some()) {
        report.add(program.syntax(), "a shell command runs on the database server as its operating system user");
    }
}
