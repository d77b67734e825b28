use super::*;

fn sealed(value: &str) -> String {
    written(format!("age-encryption.org/v1\n{value}").as_bytes())
}

const POSTGRES: Form = Form::Sql(Engine::Postgresql);
const SQLITE: Form = Form::Sql(Engine::Sqlite);
const MONGODB: Form = Form::Operations(Engine::Mongodb);
const REDIS: Form = Form::Operations(Engine::Redis);
const ELASTICSEARCH: Form = Form::Operations(Engine::Elasticsearch);

#[test]
fn s4_84_a_value_takes_the_place_of_its_literal_and_can_never_end_it() {
    let one = sealed("x");
    let value = "it's \"a\"\n\\ü😀$$";
    for (form, text, expected) in [
        (
            POSTGRES,
            format!("-- a\ninsert into t values (1, '{one}');"),
            r"insert into t values (1, /*godwit:opened*/E'it\u0027s\u0020\u0022a\u0022\u000a\u005c\u00fc\U0001f600\u0024\u0024');",
        ),
        (
            SQLITE,
            format!("-- a\nupdate t set n='{one}';"),
            "update t set n=CAST(X'69742773202261220a5cc3bcf09f98802424' AS TEXT);",
        ),
        (
            MONGODB,
            format!("[\n{{\"value\": \"{one}\"}}]"),
            r#"{"value": "it\u0027s\u0020\u0022a\u0022\u000a\u005c\u00fc\ud83d\ude00\u0024\u0024"}]"#,
        ),
        (
            Form::Commands,
            format!("# a\nSET k {one}"),
            r#"SET k "it\x27s\x20\x22a\x22\x0a\x5c\xc3\xbc\xf0\x9f\x98\x80\x24\x24""#,
        ),
    ] {
        let found = all(form, &text).unwrap();
        assert_eq!((found.len(), found[0].line), (1, 2), "{text}");
        assert!(found[0].file.starts_with(AGE));
        let filled = filled(&text, &found, &[value]).unwrap();
        assert_eq!(filled.lines().nth(1), Some(expected));
        assert_eq!(filled.lines().count(), text.lines().count());
        if form == MONGODB {
            let json: serde_json::Value = serde_json::from_str(&filled).unwrap();
            assert_eq!(json[0]["value"], value);
        }
    }
    let text = format!("select '{one}', 'b', '{}'", sealed("y"));
    let found = all(POSTGRES, &text).unwrap();
    assert_eq!(filled(&text, &found, &["a", "c"]).unwrap().replace(OPENED, ""), "select E'a', 'b', E'c'");
    assert!(filled(&text, &found, &["a\0", "c"]).is_err());
}

#[test]
fn s4_84_values_stand_where_something_is_written_and_nowhere_else() {
    let one = sealed("x");
    for (form, text) in [
        (POSTGRES, "alter role a password 'ENC';"),
        (POSTGRES, "create user mapping for a server s options (password 'ENC');"),
        (POSTGRES, "update t set a = crypt('ENC', gen_salt('bf')) where id = 1;"),
        (POSTGRES, "insert into t (a) values ('x' || 'ENC'); -- 'ENC'"),
        (POSTGRES, "create subscription s connection 'ENC' publication p;"),
        (POSTGRES, "do $$ begin null; end $$; insert into t values ('ENC');"),
        (SQLITE, "replace into t values ('ENC');"),
        (MONGODB, r#"{"operations":[{"type":"add_field","collection":"c","field":"f","value":{"a":["ENC"]}}]}"#),
        (MONGODB, r#"[{"type":"update_documents","update":{"$push":{"a":{"$each":["ENC"]}}}}]"#),
        (MONGODB, r#"[{"type":"run_command","command":{"createUser":"u","pwd":"ENC"}}]"#),
        (REDIS, r#"[{"type":"script","lua":"x","keys":["k"],"args":["ENC"]}]"#),
        (ELASTICSEARCH, r#"[{"script":{"source":"x","params":{"a":"ENC"}}}]"#),
        (Form::Documents, r#"{"c":[{"_id":1,"a":"ENC"}]}"#),
        (Form::Commands, "HSET k f ENC"),
    ] {
        let text = text.replace("ENC", &one);
        assert_eq!(all(form, &text).map(|found| found.len()), Ok(1), "{text}");
    }
    let a_part = "a part of a longer text";
    let run = "stays readable on the server, or is run";
    let chosen = "where it says what is done";
    for (form, text, says) in [
        (POSTGRES, "select E'ENC'", a_part),
        (POSTGRES, "select '{\"token\": \"ENC\"}'", a_part),
        (POSTGRES, "select '''ENC'''", a_part),
        (POSTGRES, "select 'x ENC'", a_part),
        (POSTGRES, "select \"ENC\"", a_part),
        // What stands beside it is the same literal, in which a backslash would count.
        (POSTGRES, "select 'ENC'\n'\\', '; drop table a; --';", a_part),
        (POSTGRES, "insert into t values ('abc'\n'ENC')", a_part),
        (POSTGRES, "select E'\\'ENC', '; drop table a; --';", a_part),
        (POSTGRES, "select $q$ 'ENC' $q$", a_part),
        (POSTGRES, "do $$ begin insert into t values ('ENC'); end $$", a_part),
        (POSTGRES, "do 'ENC'", run),
        (POSTGRES, "create function f() returns void language sql as 'ENC'", run),
        (POSTGRES, "create table t (a text default 'ENC')", run),
        (POSTGRES, "create index i on t (a) where a <> 'ENC'", run),
        (POSTGRES, "copy t from program 'ENC'", run),
        (POSTGRES, "delete from t where a like 'ENC'", "a pattern or a name"),
        (POSTGRES, "delete from t where a ~* 'ENC'", "a pattern or a name"),
        (POSTGRES, "select dblink_exec('ENC')", "`dblink_exec`"),
        (POSTGRES, "select 'ENC'::regclass", "`regclass`"),
        (POSTGRES, "set standard_conforming_strings = off; select 'ENC'", "a setting of its own"),
        (SQLITE, "pragma key = 'ENC'", run),
        (SQLITE, "select [a], 'ENC'", "another kind of quotes"),
        (SQLITE, "select [a'b], 'ENC'", a_part),
        (SQLITE, "select E'\\', 'ENC'", a_part),
        (SQLITE, "select x'00', 'ENC'", "another kind of quotes"),
        (MONGODB, r#"[{"type":"drop_collection","collection":"ENC"}]"#, chosen),
        (MONGODB, r#"[{"type":"update_documents","filter":{"a":"ENC"}}]"#, chosen),
        (MONGODB, r#"[{"type":"update_documents","update":[{"$set":{"a":"ENC"}}]}]"#, chosen),
        (MONGODB, r#"[{"type":"add_field","value":{"$date":"ENC"}}]"#, chosen),
        (MONGODB, r#"[{"value":{"ENC": 1}}]"#, "where a name is expected"),
        (MONGODB, r#"[{"value":"x ENC"}]"#, a_part),
        (REDIS, r#"[{"type":"script","lua":"redis.call('ENC', KEYS[1])","keys":["k"]}]"#, chosen),
        (REDIS, r#"[{"type":"delete_keys","keys":["ENC"]}]"#, chosen),
        (REDIS, r#"[{"args":["it's 'ENC'"]}]"#, a_part),
        (ELASTICSEARCH, r#"[{"script":{"source":"ENC"}}]"#, chosen),
        (ELASTICSEARCH, r#"[{"query":{"term":{"a":"ENC"}}}]"#, chosen),
        (Form::Documents, r#"{"index":{"_index":"ENC"}}"#, "of what the data is"),
        (Form::Commands, "SET ENC v", "a command or a key"),
        (Form::Commands, "SET k 'a ENC b'", a_part),
        (Form::Commands, "SET k xENC", a_part),
    ] {
        let text = format!("\n{}", text.replace("ENC", &one));
        let error = all(form, &text).unwrap_err();
        assert!(error.message.contains(says) && error.line >= 2, "{text}: {error:?}");
    }
    for cut in [&one[..one.len() - 9], "ENC[age:abcd]"] {
        let error = all(POSTGRES, &format!("select '{cut}'")).unwrap_err();
        assert!(error.message.contains("cut off or changed") || error.message.contains(a_part), "{cut}: {error:?}");
    }
    // What is said about one in a comment is no value.
    assert_eq!(all(POSTGRES, &format!("-- {one}\n/* '{one}' */ select 1")), Ok(Vec::new()));
}

#[test]
fn s4_84_an_error_tells_nothing_of_a_value_in_any_form_and_however_short_it_is_cut() {
    let values = |value: &str| vec![Hidden::of(value)];
    let told = "Failing row contains (1, correct horse bat...). Key (a)=(correct horse battery staple) exists.";
    let said = blotted(told, &values("correct horse battery staple"));
    assert_eq!(said, "Failing row contains (1, ****...). Key (a)=(****) exists.");
    assert_eq!(blotted("Key (pin)=(4711) exists.", &values("4711")), "Key (pin)=(****) exists.");
    assert_eq!(blotted("nothing", &values("a")), "nothing");
    let value = "pA ss!w0-rd+7'q'\\z";
    for form in [
        "pA ss!w0-rd+7'q'\\z",
        "PA SS!W0-RD+7",
        r"E'pA\u0020ss\u0021w0\u002drd\u002b7\u0027q",
        "pA ss!w0-rd+7''q''",
        r"\x704120737321",
        "CAST(X'7041207373217730' AS TEXT)",
        "cEEgc3Mhdz",
        r#"Token "pA" is invalid"#,
        r"pA\x20ss\x21w0",
    ] {
        let said = blotted(form, &values(value));
        for piece in ["pa", "ss", "w0", "rd", "704120", "ceegc3"] {
            assert!(!said.to_lowercase().contains(piece), "{form}: {said}");
        }
    }
}
