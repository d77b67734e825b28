//! `DO` blocks, and functions that are called, whose statements cannot be read.

use std::cell::LazyCell;

use super::prelude::*;
use crate::lint::{bodies, calls};

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "opaque-block",
        category: Category::Structure,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "A block or a called function runs SQL that nobody can read beforehand",
    },
    check: Check::Script(check),
    help: "write plain statements where that is possible, or a text that `EXECUTE` takes as it stands; else say in a comment which tables the block touches and how many rows",
    ok: &[
        "select 1;",
        "do $$ begin perform 1; end $$;",
        "do $$ begin execute 'drop table t'; end $$;",
        "do $$ declare r record; begin for r in select 1 as n loop execute format('drop table p_%s', r.n); end loop; end $$;",
        "do $$ begin execute 'alter table ' || quote_ident('t') || ' add column a int'; end $$;",
        "create function f() returns int language sql as $$ select 1 $$;",
        "create function f() returns int language sql as $$ select 1 $$; select f();",
        "create function f() returns void language plpython3u as $$ plpy.execute('drop table t') $$;",
        "create procedure p() language sql begin atomic select 1; end; call p();",
    ],
    bad: &[
        "do $$ declare s text; begin select 'drop table t' into s; execute s; end $$;",
        "do $$ begin execute (select body from scripts where id = 1); end $$;",
        "do language plpython3u $$ plpy.execute('drop table t') $$;",
        "create function f() returns void language plpython3u as $$ plpy.execute('drop table t') $$; select f();",
        "create procedure p() language plpgsql as $$ declare s text; begin select 'x' into s; execute s; end $$; call p();",
    ],
};

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    let called = LazyCell::new(|| calls::called(script));
    for statement in &script.statements {
        if let ast::Stmt::Do(block) = &statement.node {
            if let Some((range, why)) = bodies::unread(block) {
                report.add_range(range, format!("no rule can look into this part of the block: {why}"));
            }
        } else if let Some(name) = calls::defined(&statement.node)
            && called.iter().any(|call| call.name == name)
            && let Some((range, why)) = bodies::unread_routine(&statement.node)
        {
            report
                .add_range(range, format!("no rule can look into this part of `{name}`, which is called here: {why}"));
        }
    }
}
