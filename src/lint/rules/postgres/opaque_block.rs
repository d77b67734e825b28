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
        "do $$ declare n int; begin select count(*) into n from t; if n > 0 then raise notice 'rows %', n; end if; end $$;",
        "create function f() returns int language plpgsql as $$ declare n int; begin insert into t default values returning id into n; return n; end $$;",
    ],
    bad: &[
        "do $$ declare s text; begin select 'drop table t' into s; execute s; end $$;",
        "do $$ begin execute (select body from scripts where id = 1); end $$;",
        "do language plpython3u $$ plpy.execute('drop table t') $$;",
        "create function f() returns void language plpython3u as $$ plpy.execute('drop table t') $$; select f();",
        "create procedure p() language plpgsql as $$ declare s text; begin select 'x' into s; execute s; end $$; call p();",
        "do $$ begin update t set; end $$;",
        "create function f() returns void language plpgsql as $$ begin alter table t drop colum a b; end $$;",
    ],
};

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    let called = LazyCell::new(|| calls::called(script));
    for statement in &script.statements {
        if let ast::Stmt::Do(_) = &statement.node {
            if let Some((range, why)) = bodies::unread(script.text, statement) {
                report.add_range(range, format!("no rule can look into this part of the block: {why}"));
            }
            continue;
        }
        let Some(name) = calls::defined(&statement.node) else { continue };
        if called.iter().any(|call| call.name == name) {
            if let Some((range, why)) = bodies::unread(script.text, statement) {
                let message = format!("no rule can look into this part of `{name}`, which is called here: {why}");
                report.add_range(range, message);
            }
        } else if let Some((range, why)) = bodies::broken_routine(script.text, statement) {
            // Nothing of it runs now; PostgreSQL itself refuses to create most of what is written wrongly.
            report.add_range(range, format!("no rule can look into this part of `{name}`: {why}")).risk =
                Some(Risk::Low);
        }
    }
}
