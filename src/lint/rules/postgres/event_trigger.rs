//! `CREATE EVENT TRIGGER`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "event-trigger",
        category: Category::Security,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "An event trigger runs in every later migration",
    },
    check: Check::Statement(check),
    help: "keep it with what sets up the server, and let its function fail for nobody: an error in it refuses the statement",
    ok: &[
        "drop event trigger e;",
        "create function f() returns event_trigger language plpgsql as $$ begin end $$;",
        "create trigger g before update on t for each row execute function f();",
    ],
    bad: &[
        "create event trigger e on ddl_command_start execute function f();",
        "create event trigger e on sql_drop when tag in ('DROP TABLE') execute function f();",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::CreateEventTrigger(create) = &statement.node else { return };
    let name = named(create.event_trigger());
    let message = format!(
        "from here on `{name}` runs in the statements of every migration and of every role in this database, and where its \
         function fails they fail; it takes a superuser, or what a hosted database has in its place"
    );
    report.add(create.syntax(), message);
}
