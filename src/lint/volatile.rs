//! Which values PostgreSQL computes once for a statement, and which for every row anew.

use squawk_syntax::SyntaxKind;
use squawk_syntax::ast::{self, AstNode};

use super::script::{Script, builtin, name_of};

/// Functions of PostgreSQL, all of whose forms are `IMMUTABLE` or `STABLE`. Kept true by a test that asks the server. The few
/// that are volatile, and those of extensions, are not here.
pub const STEADY: &[&str] = &[
    "abs",
    "age",
    "array_append",
    "array_cat",
    "array_fill",
    "array_length",
    "array_prepend",
    "array_remove",
    "array_replace",
    "array_to_json",
    "array_to_string",
    "ascii",
    "bit_length",
    "btrim",
    "cardinality",
    "cbrt",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "cos",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "date_bin",
    "date_part",
    "date_trunc",
    "daterange",
    "decode",
    "degrees",
    "div",
    "encode",
    "exp",
    "floor",
    "format",
    "gcd",
    "get_bit",
    "get_byte",
    "hashtext",
    "host",
    "inet_client_addr",
    "initcap",
    "int4multirange",
    "int4range",
    "int8range",
    "isfinite",
    "json_array_length",
    "json_build_array",
    "json_build_object",
    "json_object",
    "json_typeof",
    "jsonb_array_length",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_pretty",
    "jsonb_set",
    "jsonb_strip_nulls",
    "jsonb_typeof",
    "justify_days",
    "justify_hours",
    "justify_interval",
    "lcm",
    "left",
    "length",
    "ln",
    "log",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "make_interval",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "masklen",
    "md5",
    "mod",
    "network",
    "now",
    "num_nonnulls",
    "num_nulls",
    "numrange",
    "octet_length",
    "overlay",
    "pg_backend_pid",
    "pg_my_temp_schema",
    "pg_typeof",
    "pi",
    "plainto_tsquery",
    "position",
    "power",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
    "radians",
    "regexp_match",
    "regexp_replace",
    "regexp_split_to_array",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "row_to_json",
    "rpad",
    "rtrim",
    "scale",
    "session_user",
    "setweight",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sign",
    "sin",
    "split_part",
    "sqrt",
    "starts_with",
    "statement_timestamp",
    "string_to_array",
    "strip",
    "strpos",
    "substr",
    "substring",
    "tan",
    "text",
    "timezone",
    "to_ascii",
    "to_char",
    "to_date",
    "to_hex",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_regclass",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "transaction_timestamp",
    "translate",
    "trim_array",
    "trim_scale",
    "trunc",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "txid_current",
    "upper",
    "version",
    "websearch_to_tsquery",
    "width_bucket",
    "xml",
];
/// Words of the language that are written as functions are, and are none.
const WORDS: [&str; 5] = ["coalesce", "greatest", "least", "nullif", "row"];

/// Whether a value may be another for each row: whether a function is called in it of which nobody knows that it is not
/// volatile. Operators are not, nor are the words for the time and the user.
pub(super) fn may_be(script: &Script<'_>, value: &ast::Expr) -> bool {
    let calls = value.syntax().descendants().filter_map(ast::CallExpr::cast);
    // `extract(… from …)` and the like are no calls of a name.
    calls.filter(|call| call.expr().is_some()).any(|call| {
        builtin(&call).is_none_or(|name| {
            !STEADY.contains(&name.as_str()) && !WORDS.contains(&name.as_str()) && !is_declared_steady(script, &name)
        })
    })
}

/// Whether the script defines functions of that name, and each as `IMMUTABLE` or `STABLE`.
fn is_declared_steady(script: &Script<'_>, name: &str) -> bool {
    let mut defined = script.statements.iter().filter_map(|statement| match &statement.node {
        ast::Stmt::CreateFunction(create) if create.name().is_some_and(|n| name_of(n.syntax()) == name) => Some(create),
        _ => None,
    });
    let is_steady = |create: &ast::CreateFunction| {
        create
            .option_list()
            .into_iter()
            .flat_map(|list| list.syntax().descendants())
            .any(|option| matches!(option.kind(), SyntaxKind::IMMUTABLE | SyntaxKind::STABLE))
    };
    let mut all = defined.by_ref().map(is_steady).peekable();
    all.peek().is_some() && all.all(|steady| steady)
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    fn is_told(before: &str, default: &str) -> bool {
        let sql = format!("{before} ALTER TABLE t ADD COLUMN c text DEFAULT {default};");
        sample(&[("0001_m.up.sql", &sql)]).0.violations.iter().any(|v| v.rule == "adding-field-with-default")
    }

    #[test]
    fn p102_a_default_that_is_computed_once_rewrites_nothing() {
        for default in [
            "CURRENT_DATE",
            "LOCALTIMESTAMP",
            "SESSION_USER",
            "current_user",
            "current_schema",
            "current_schema()",
            "timezone('utc', now())",
            "timezone('utc'::text, now())",
            "(now() AT TIME ZONE 'utc')",
            "(timezone('utc', now()) + interval '1 day')",
            "date_trunc('month', now())",
            "pg_catalog.date_trunc('month', pg_catalog.now())",
            "to_char(now(), 'YYYY')",
            "extract(year from now())",
            "((1 + 2) * 3)",
            "-1",
            "concat('a', 'b')",
            "round(1.5, 1)",
            "tstzrange(now(), NULL)",
            "make_interval(days => 3)",
            "md5('x')",
            "to_jsonb(1)",
            "to_timestamp(0)",
            "lower('A') || upper('b')",
            "current_setting('app.tenant', true)::int",
            "coalesce(current_setting('app.tenant', true), 'none')",
            "CASE WHEN true THEN 'a' ELSE 'b' END",
        ] {
            assert!(!is_told("", default), "{default}");
        }
        for default in [
            "gen_random_uuid()",
            "gen_random_uuid()::text",
            "clock_timestamp()",
            "timeofday()",
            "random()",
            "round(random() * 10)",
            "nextval('s')",
            "currval('s')",
            "uuid_generate_v4()",
            "public.uuid_generate_v4()",
            "md5(random()::text)",
            "date_trunc('month', clock_timestamp())",
            "extract(epoch from clock_timestamp())",
            "coalesce(current_setting('a', true), gen_random_uuid()::text)",
            "my_own()",
        ] {
            assert!(is_told("", default), "{default}");
        }
    }

    #[test]
    fn p102_a_function_of_the_file_is_what_the_file_says_it_is() {
        let of =
            |options: &str| format!("CREATE FUNCTION f() RETURNS text LANGUAGE sql {options} AS $$ SELECT 'x' $$;");
        assert!(!is_told(&of("IMMUTABLE"), "f()") && !is_told(&of("STABLE STRICT"), "f()"));
        assert!(is_told(&of(""), "f()") && is_told(&of("VOLATILE"), "f()") && is_told(&of("STABLE"), "g()"));
        let other = "CREATE FUNCTION f(a int) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;";
        assert!(is_told(&format!("{} {other}", of("STABLE")), "f()"));
    }
}
