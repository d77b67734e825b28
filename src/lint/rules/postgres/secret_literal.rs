//! Passwords and keys among the literals of a statement. In scripts of other engines `lint::operations` finds them.

use super::prelude::*;
use crate::lint::secrets;

pub(in crate::lint) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "secret-literal",
        category: Category::Security,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Files,
        title: "A secret stands in the file",
    },
    check: Check::Statement(check),
    help: "change it where it is used, since what is committed is known; one that the migration needs is written sealed (`godwit seal`)",
    ok: &[
        "create user mapping for app server other options (user 'app', password '');",
        "create subscription s connection 'host=other dbname=shop user=app' publication p;",
        "select dblink_connect('other', 'dbname=shop');",
        "update accounts set password = '$2b$12$abcdefghijklmnopqrstuv', token = null, secret = '';",
        "update accounts set password = 'CHANGEME' where password = 'hunter2';",
        "update accounts set password = md5(name), note = 'password=required';",
        "insert into accounts (password, name) values ('5f4dcc3b5aa765d61d8327deb882cf99', 'hunter2');",
        "insert into links (url) values ('https://example.com/a@b'), ('postgres://app@host/db');",
        "comment on column accounts.password is 'never the password itself';",
        "create table accounts (id bigint primary key, password text not null default '');",
    ],
    bad: &[
        "create user mapping for app server other options (user 'app', password 'hunter2');",
        "alter user mapping for app server other options (set password 'hunter2');",
        "create server other foreign data wrapper w options (host 'h', password 'hunter2');",
        "alter server other options (add password 'hunter2');",
        "create subscription s connection 'host=h password=hunter2' publication p;",
        "alter subscription s connection 'password=hunter2';",
        "select dblink_connect('c', 'password=hunter2');",
        "select * from dblink('host=h password=hunter2', 'select 1') as t (a int);",
        "insert into links (url) values ('postgres://root:pw@host/db');",
        "insert into keys (id) values ('AKIAIOSFODNN7EXAMPLE');",
        "insert into keys (id) values ('ghp_0123456789abcdefghijklmnopqrstuvwxyz');",
        "insert into keys (id) values ('sk_live_0123456789abcdefghij');",
        "update accounts set password = 'hunter2' where id = 1;",
        "insert into accounts (id, password) values (1, 'hunter2');",
        "create function f() returns void language plpgsql as $$ begin perform g('postgres://root:pw@host/db'); end $$;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let text = &script.text[statement.range.clone()];
    // Where no literal can begin there is nothing to walk over.
    if !text.contains('\'') && !text.contains('$') {
        return;
    }
    for secret in secrets::in_sql(statement.node.syntax()) {
        let finding = report.add_range(secret.range, secret.why);
        // A column of that name may hold something else.
        if secret.by_name {
            finding.severity = Some(Severity::Warning);
        }
    }
}
