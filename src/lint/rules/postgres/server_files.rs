//! Files of the server, read or written by `COPY` and by functions.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "server-files",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "A file of the database server is read or written",
    },
    check: Check::Statement(check),
    help: "write the rows as INSERT, or load them from the client, outside the migration",
    ok: &[
        "copy t to stdout;",
        "copy t from program 'cat /tmp/x';",
        "insert into t values ('pg_read_file');",
        "select shop.lo_import('/tmp/x');",
        "select lo_from_bytea(0, 'x');",
        "create function f() returns text language sql as $$ select pg_read_file('/tmp/x') $$;",
    ],
    bad: &[
        "copy t from '/tmp/x';",
        "copy (select id from t) to '/tmp/x';",
        "insert into t select pg_read_file('/tmp/x');",
        "select pg_catalog.pg_ls_dir('.');",
        "update t set picture = lo_import('/tmp/x') where id = 1;",
        "select lo_export(1, '/tmp/x');",
    ],
};

/// Functions of PostgreSQL that open a path of the server.
const OPENING: [&str; 6] =
    ["pg_read_file", "pg_read_binary_file", "pg_ls_dir", "pg_stat_file", "lo_import", "lo_export"];

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if let ast::Stmt::Copy(copy) = &statement.node {
        if let Some(file) = file_of(copy) {
            report.add(file.syntax(), told(&format!("COPY opens {}", file.syntax().text())));
        }
        return;
    }
    // A definition opens nothing yet; what its body does is told where it runs.
    if matches!(statement.node, ast::Stmt::CreateFunction(_) | ast::Stmt::CreateProcedure(_) | ast::Stmt::Do(_)) {
        return;
    }
    for call in statement.node.syntax().descendants().filter_map(ast::CallExpr::cast) {
        if let Some(name) = builtin(&call).filter(|name| OPENING.contains(&name.as_str())) {
            report.add(call.syntax(), told(&format!("`{name}` opens a file")));
        }
    }
}

fn told(what: &str) -> String {
    format!(
        "{what} on the database server: that takes a superuser or a role like `pg_read_server_files`, and what lies there is \
         another on each server; hosted databases refuse it"
    )
}

/// The path that a `COPY` names.
fn file_of(copy: &ast::Copy) -> Option<ast::Literal> {
    let program = match copy.copy_direction()? {
        ast::CopyDirection::CopyFrom(from) => match from.copy_source()? {
            ast::CopySource::CopyProgram(program) => program,
            ast::CopySource::CopyStdin(_) | ast::CopySource::CopyStdout(_) => return None,
        },
        ast::CopyDirection::CopyTo(to) => match to.copy_target()? {
            ast::CopyTarget::CopyProgram(program) => program,
            ast::CopyTarget::CopyStdout(_) => return None,
        },
    };
    program.literal().filter(|_| program.program_token().is_none())
}
