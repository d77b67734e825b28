//! `DO` blocks whose statements cannot be read.

use super::prelude::*;
use crate::lint::bodies;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "opaque-block",
        category: Category::Structure,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "A DO block runs SQL that nobody can read beforehand",
    },
    check: Check::Statement(check),
    help: "write plain statements where that is possible, or a text that `EXECUTE` takes as it stands; else say in a comment which tables the block touches and how many rows",
    ok: &[
        "select 1;",
        "do $$ begin perform 1; end $$;",
        "do $$ begin execute 'drop table t'; end $$;",
        "do $$ declare r record; begin for r in select 1 as n loop execute format('drop table p_%s', r.n); end loop; end $$;",
        "do $$ begin execute 'alter table ' || quote_ident('t') || ' add column a int'; end $$;",
        "create function f() returns int language sql as $$ select 1 $$;",
    ],
    bad: &[
        "do $$ declare s text; begin select 'drop table t' into s; execute s; end $$;",
        "do $$ begin execute (select body from scripts where id = 1); end $$;",
        "do language plpython3u $$ plpy.execute('drop table t') $$;",
    ],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Do(block) = &statement.node else { return };
    if let Some((range, why)) = bodies::unread(block) {
        report.add_range(range, format!("no rule can look into this part of the block: {why}"));
    }
}
