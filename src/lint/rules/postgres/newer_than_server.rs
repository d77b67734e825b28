//! Syntax that came with a later major version of PostgreSQL than the servers have.

use super::prelude::*;
use crate::lint::script::Server;

pub(in crate::lint) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "newer-than-server",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "The servers' PostgreSQL does not know the syntax yet",
    },
    check: Check::Script(check),
    help: "write it in words that the servers know, or raise `postgres_version` in policies/lint.yml once all of them are upgraded",
    ok: &[
        "alter table t add constraint c check (a is not null) not valid; alter table t alter column a set not null;",
        "create table t (a int not null, b int generated always as (a * 2) stored, unique nulls not distinct (a));",
        "create table t (a int constraint a_is_there not null, storage int, compression text, period int);",
        "create view v as select a as virtual, json_object('{a,1}'::text[]) from t where a is not null;",
        "merge into t using u on t.a = u.a when not matched then insert values (u.a);",
        "insert into t values (100000, 1.5e3, 0) returning a;",
        "alter table p detach partition q concurrently; create view w with (security_invoker = true) as select 1;",
        "alter table t alter column a set storage external; alter table t set access method heap;",
        "set idle_session_timeout = '5min'; select transaction_timeout from settings;",
        "alter table t alter constraint c deferrable; grant select on t to r;",
    ],
    bad: &[
        "alter table t add constraint c not null a not valid;",
        "create table t (a int, constraint c not null a);",
        "create table t (a int, b int generated always as (a * 2) virtual);",
        "create table t (a int, b int generated always as (a * 2));",
        "alter table t add column b int generated always as (a * 2) virtual;",
        "create table t (a int4range, primary key (a without overlaps));",
        "alter table t add foreign key (a, period b) references u (a, period b);",
        "alter table t add constraint c check (a > 0) not enforced;",
        "alter table t alter constraint c no inherit;",
        "update t set a = 1 returning with (old as o) o.a;",
        "merge into t using u on t.a = u.a when matched then delete returning t.a;",
        "merge into t using u on t.a = u.a when not matched by source then delete;",
        "merge into t using u on t.a = u.a when not matched by target then insert values (u.a);",
        "create view v as select * from json_table('[]', '$[*]' columns (a int path '$'));",
        "select json_value(a, '$.b'), json_query(a, '$'), json_exists(a, '$.c') from t;",
        "alter table t alter column b set expression as (a * 3);",
        "alter table t set access method default;",
        "set local transaction_timeout = '5s';",
        "grant maintain on t to r;",
        "create table t (a text storage external);",
        "select json_arrayagg(a) from t;",
        "select json_objectagg(a: b) from t;",
        "select json_object('a': 1);",
        "alter table t add check (a is json object);",
        "insert into t values (1_000_000);",
        "insert into t values (0x1F);",
    ],
};

/// The last version that has anything of what is looked for.
const LATEST: u32 = 19;

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    let Server { major, is_assumed } = script.server;
    if major >= LATEST || !script.words.newer {
        return;
    }
    for statement in &script.statements {
        let mut told = major;
        for node in statement.node.syntax().descendants() {
            // One finding for what nests: `MERGE … RETURNING` on a server without `MERGE`.
            let Some((since, what)) = since(&node).filter(|(since, _)| *since > told) else { continue };
            told = since;
            if !is_assumed {
                report.add(&node, format!("{what} came with PostgreSQL {since}; the servers have {major}"));
                continue;
            }
            let finding = report.add(
                &node,
                format!("{what} came with PostgreSQL {since}; nobody said which version the servers have, {major} is assumed"),
            );
            (finding.severity, finding.risk) = (Some(Severity::Warning), Some(Risk::Low));
            finding.help =
                Some(format!("write `postgres_version: {since}` into policies/lint.yml if all servers have that"));
        }
    }
}

/// The major version that brought what a node is, and how that is called (the release notes of each version).
fn since(node: &SyntaxNode) -> Option<(u32, &'static str)> {
    let has = |kind: SyntaxKind| node.children_with_tokens().any(|child| child.kind() == kind);
    let is_in = |kind: SyntaxKind| node.parent().is_some_and(|parent| parent.kind() == kind);
    Some(match node.kind() {
        SyntaxKind::MERGE_PARTITIONS | SyntaxKind::SPLIT_PARTITION => (19, "merging and splitting partitions"),
        SyntaxKind::IGNORE_NULLS | SyntaxKind::RESPECT_NULLS => (19, "`IGNORE NULLS` and `RESPECT NULLS`"),
        SyntaxKind::NOT_NULL_CONSTRAINT if has(SyntaxKind::COLUMN_NAME_REF) => {
            (18, "`NOT NULL` as a table's constraint")
        }
        SyntaxKind::GENERATED_STORED if !has(SyntaxKind::STORED) => (18, "a generated column that is not `STORED`"),
        SyntaxKind::GENERATED_STORED => (12, "a generated column"),
        SyntaxKind::WITHOUT_OVERLAPS => (18, "`WITHOUT OVERLAPS`"),
        SyntaxKind::PERIOD_COLUMN => (18, "`PERIOD` in a foreign key"),
        SyntaxKind::NOT_ENFORCED | SyntaxKind::ENFORCED => (18, "`ENFORCED`"),
        SyntaxKind::ALTER_CONSTRAINT if says(node, "inherit") => (18, "`INHERIT` of `ALTER CONSTRAINT`"),
        SyntaxKind::RETURNING_OPTION_LIST => (18, "`RETURNING WITH (OLD …, NEW …)`"),
        SyntaxKind::RETURNING_CLAUSE if is_in(SyntaxKind::MERGE) => (17, "`MERGE … RETURNING`"),
        SyntaxKind::MERGE_WHEN_NOT_MATCHED_SOURCE | SyntaxKind::BY_TARGET => (17, "`WHEN NOT MATCHED BY …`"),
        SyntaxKind::JSON_TABLE => (17, "`JSON_TABLE`"),
        SyntaxKind::JSON_VALUE_FN | SyntaxKind::JSON_QUERY_FN | SyntaxKind::JSON_EXISTS_FN => {
            (17, "`JSON_VALUE`, `JSON_QUERY`, `JSON_EXISTS`")
        }
        SyntaxKind::SET_EXPRESSION => (17, "`ALTER COLUMN … SET EXPRESSION`"),
        SyntaxKind::SET_ACCESS_METHOD if has(SyntaxKind::DEFAULT_KW) => (17, "`SET ACCESS METHOD DEFAULT`"),
        SyntaxKind::SET_ACCESS_METHOD => (15, "`SET ACCESS METHOD`"),
        SyntaxKind::CONFIG_PARAMETER_REF => match name_of(node).as_str() {
            "transaction_timeout" => (17, "the setting `transaction_timeout`"),
            "idle_session_timeout" => (14, "the setting `idle_session_timeout`"),
            _ => return None,
        },
        SyntaxKind::REVOKE_COMMAND_LIST if says(node, "maintain") => (17, "the privilege `MAINTAIN`"),
        SyntaxKind::STORAGE if is_in(SyntaxKind::COLUMN) => (16, "`STORAGE` of a new column"),
        SyntaxKind::JSON_ARRAY_AGG_FN | SyntaxKind::JSON_OBJECT_AGG_FN => (16, "`JSON_ARRAYAGG`, `JSON_OBJECTAGG`"),
        SyntaxKind::JSON_KEY_VALUE => (16, "`JSON_OBJECT` with keys and values"),
        SyntaxKind::IS_JSON
        | SyntaxKind::IS_JSON_ARRAY
        | SyntaxKind::IS_JSON_OBJECT
        | SyntaxKind::IS_JSON_SCALAR
        | SyntaxKind::IS_JSON_VALUE
        | SyntaxKind::IS_NOT_JSON
        | SyntaxKind::IS_NOT_JSON_ARRAY
        | SyntaxKind::IS_NOT_JSON_OBJECT
        | SyntaxKind::IS_NOT_JSON_SCALAR
        | SyntaxKind::IS_NOT_JSON_VALUE => (16, "`IS JSON`"),
        SyntaxKind::LITERAL if is_newer_number(node) => (16, "a number with `_` in it, or in another base than ten"),
        SyntaxKind::MERGE => (15, "`MERGE`"),
        SyntaxKind::NULLS_NOT_DISTINCT => (15, "`NULLS NOT DISTINCT`"),
        SyntaxKind::SET_NULL_COLUMNS if has(SyntaxKind::COLUMN_REF_LIST) => {
            (15, "`ON DELETE SET NULL` of some columns")
        }
        SyntaxKind::ATTRIBUTE_NAME if name_of(node) == "security_invoker" => {
            (15, "the view's option `security_invoker`")
        }
        SyntaxKind::DETACH_CONCURRENTLY | SyntaxKind::DETACH_FINALIZE => (14, "`DETACH PARTITION … CONCURRENTLY`"),
        SyntaxKind::ATOMIC_BODY => (14, "a function's body in SQL itself (`BEGIN ATOMIC`)"),
        SyntaxKind::SEARCH_CLAUSE | SyntaxKind::CYCLE_CLAUSE => (14, "`SEARCH` and `CYCLE`"),
        SyntaxKind::OR_REPLACE if is_in(SyntaxKind::CREATE_TRIGGER) => (14, "`CREATE OR REPLACE TRIGGER`"),
        SyntaxKind::COMPRESSION_METHOD | SyntaxKind::SET_COMPRESSION => (14, "`COMPRESSION` of a column"),
        SyntaxKind::WITH_TIES => (13, "`WITH TIES`"),
        SyntaxKind::DROP_EXPRESSION => (13, "`DROP EXPRESSION`"),
        SyntaxKind::MATERIALIZED | SyntaxKind::NOT_MATERIALIZED => (12, "`MATERIALIZED` of a `WITH` query"),
        _ => return None,
    })
}

/// Whether a word stands in a node, as a token of its own.
fn says(node: &SyntaxNode, word: &str) -> bool {
    node.descendants_with_tokens().filter_map(|e| e.into_token()).any(|t| t.text().eq_ignore_ascii_case(word))
}

/// `1_000`, `0x1F`, `0o17`, `0b101`.
fn is_newer_number(literal: &SyntaxNode) -> bool {
    let tokens = literal.children_with_tokens().filter_map(|e| e.into_token());
    let mut numbers = tokens.filter(|t| matches!(t.kind(), SyntaxKind::INT_NUMBER | SyntaxKind::NUMERIC_NUMBER));
    numbers.any(|t| {
        let text = t.text();
        text.contains('_') || matches!(text.as_bytes(), [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..])
    })
}

#[cfg(test)]
mod tests {
    use crate::config::LintConfig;
    use crate::lint::sample_with;

    fn told(version: Option<&str>, sql: &str) -> Vec<String> {
        let config = LintConfig { postgres_version: version.map(str::to_owned), ..LintConfig::default() };
        let report = sample_with(&config, &[("0001_m.up.sql", sql), ("0001_m.down.sql", sql)]).0;
        let of_rule = report.violations.iter().filter(|v| v.rule == "newer-than-server");
        of_rule
            .map(|v| {
                let way = if v.file.contains("down") { "down" } else { "up" };
                format!("{way} {:?} {:?}", v.severity, v.risk)
            })
            .collect()
    }

    #[test]
    fn syntax_of_a_later_version_is_an_error_on_servers_that_are_known_to_lack_it() {
        let (merge, json) =
            ("merge into t using u on t.a = u.a when matched then delete;", "select json_value(a, '$') from t;");
        assert_eq!(told(Some("14.9"), merge), ["down Error High", "up Error High"]);
        assert_eq!(told(Some("15"), merge), [""; 0]);
        assert_eq!(told(Some("16.2"), json), ["down Error High", "up Error High"]);
        assert_eq!(told(Some("17"), json), [""; 0]);
        assert_eq!(
            told(None, json),
            ["down Warning Low", "up Warning Low"],
            "nobody said that the servers are that old"
        );
    }

    #[test]
    fn bodies_are_looked_into() {
        let block = "do $$ begin insert into t values (1_000); end $$;";
        assert_eq!(told(Some("15"), block), ["up Error High"]);
        assert_eq!(told(Some("16"), block), [""; 0]);
    }

    #[test]
    fn what_nests_is_told_once() {
        let sql = "merge into t using u on t.a = u.a when not matched by source then delete;";
        assert_eq!(told(Some("14"), sql).len(), 4, "`MERGE` is of 15, `BY SOURCE` of 17: one more each way");
        assert_eq!(told(Some("15"), sql).len(), 2);
    }
}
