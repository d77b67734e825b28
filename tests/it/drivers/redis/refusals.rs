//! What is refused, and in which words.

use super::pair;
use crate::support::redis::{BOTH, RedisProject};

/// A walk that finds the test's keys in one batch, however many others the server holds.
const IN_ONE_BATCH: &str = r#"{"match": "PREFIX*{s}", "count": 1000000}"#;

#[test]
fn r19_types_are_checked_first_and_nothing_is_written() {
    let lua = "for _, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok ~= 'hash' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is no hash')
  end
end
for _, key in ipairs(KEYS) do redis.call('HSET', key, 'x', 1) end
return #KEYS";
    for cluster in BOTH {
        for keys in [r#"["PREFIXa{s}", "PREFIXb{s}", "PREFIXc{s}"]"#, IN_ONE_BATCH] {
            let json = pair("1.0.0", "typed", &format!(r#""keys": {keys}"#));
            let project = RedisProject::new(cluster, &[("001_typed.json", &json), ("001_typed.lua", lua)]);
            for key in ["a{s}", "c{s}"] {
                project.ask::<()>(&["HSET", &project.key(key), "v", "1"]);
            }
            project.ask::<()>(&["SET", &project.key("b{s}"), "text"]);
            let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
            let error = &said["steps"][0]["error"];
            assert!(error["message"].as_str().unwrap().contains("b{s} is no hash"), "{said}");
            assert_eq!(error["code"], "WRONGTYPE");
            assert!(project.counts_of("x", &["a{s}", "c{s}"]).is_empty(), "{said}");
            assert_eq!(project.history(), ["001_typed failed"]);
            project.ask::<()>(&["DEL", &project.key("b{s}")]);
            project.ask::<()>(&["HSET", &project.key("b{s}"), "v", "1"]);
            project.run(&["apply", "--yes"]).expect(0);
            assert_eq!(project.counts("x"), [(Some(1), 3)].into());
        }
    }
}

#[test]
fn r19_a_script_for_one_type_writes_nothing_where_a_key_is_of_another() {
    let lua = "for _, key in ipairs(KEYS) do redis.call('HINCRBY', key, 'x', 1) end\nreturn #KEYS";
    for cluster in BOTH {
        for keys in [r#"["PREFIXa{s}", "PREFIXb{s}", "PREFIXc{s}"]"#, IN_ONE_BATCH] {
            let json = pair("1.0.0", "counted", &format!(r#""keys": {keys}"#));
            let project = RedisProject::new(cluster, &[("001_counted.json", &json), ("001_counted.lua", lua)]);
            for key in ["a{s}", "b{s}"] {
                project.ask::<()>(&["HSET", &project.key(key), "v", "1"]);
            }
            project.ask::<()>(&["RPUSH", &project.key("c{s}"), "1"]);
            let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
            let error = &said["steps"][0]["error"];
            assert_eq!(error["code"], "WRONGTYPE", "{said}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("c{s}` is a list") && message.contains("nothing was written"), "{said}");
            assert!(error["hint"].as_str().unwrap().contains("`type`"), "{said}");
            assert!(project.counts_of("x", &["a{s}", "b{s}"]).is_empty(), "{said}");
            project.ask::<()>(&["DEL", &project.key("c{s}")]);
            project.ask::<()>(&["HSET", &project.key("c{s}"), "v", "1"]);
            project.run(&["apply", "--yes"]).expect(0);
            assert_eq!(project.counts("x"), [(Some(1), 3)].into());
        }
    }
}

#[test]
fn a_lua_error_has_its_line_and_says_that_what_was_written_stays() {
    for cluster in BOTH {
        let json = pair("1.0.0", "wrong", r#""keys": ["PREFIXa{s}", "PREFIXb{s}"]"#);
        let lua = "redis.call('SET', KEYS[1], 'written')\n\nredis.call('INCR', KEYS[2])";
        let project = RedisProject::new(cluster, &[("001_wrong.json", &json), ("001_wrong.lua", lua)]);
        project.ask::<()>(&["RPUSH", &project.key("b{s}"), "1"]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        let error = &said["steps"][0]["error"];
        assert_eq!((error["line"].as_u64(), error["code"].as_str()), (Some(3), Some("WRONGTYPE")), "{said}");
        assert!(error["file"].as_str().unwrap().ends_with("001_wrong.lua"), "{said}");
        assert!(error["message"].as_str().unwrap().contains("user_script:3"), "{said}");
        assert_eq!(error["undone"], false, "{said}");
        assert!(error["hint"].as_str().unwrap().contains("stays"), "{said}");
        assert_eq!(project.ask::<String>(&["GET", &project.key("a{s}")]), "written");
        assert_eq!(project.history(), ["001_wrong failed"]);
    }
}

/// Where a command's name is made up while the script runs, a guard stands between the script and the server.
#[test]
fn r25_a_refused_command_has_its_line_behind_a_guard() {
    for cluster in BOTH {
        let json = pair("1.0.0", "made_up", r#""keys": ["PREFIXa{s}"]"#);
        for (lua, line) in [
            ("local name = 'INCR'\n\nredis.call(name, KEYS[1])\nreturn 1", Some(3)),
            ("local c = redis.call\nlocal n = c('INCR', KEYS[1])\nreturn n", Some(2)),
            ("local name = 'INCR' local n = redis.call(name, KEYS[1]) return n", Some(1)),
            // The call takes the place of the script.
            ("local name = 'INCR'\n\nreturn redis.call(name, KEYS[1])", Some(3)),
            ("local c = redis.call\n\nreturn c('INCR', KEYS[1])", None),
        ] {
            let project = RedisProject::new(cluster, &[("001_made_up.json", &json), ("001_made_up.lua", lua)]);
            project.ask::<()>(&["SET", &project.key("a{s}"), "no number"]);
            let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
            let error = &said["steps"][0]["error"];
            // Without a line of its own it is the operation's.
            assert_eq!(
                (error["line"].as_u64(), error["code"].as_str()),
                (line.or(Some(1)), Some("ERR")),
                "{lua}: {said}"
            );
            assert!(error["file"].as_str().unwrap().ends_with("001_made_up.lua"), "{said}");
            let words = line.map_or("ERR value".to_owned(), |line| format!("user_script:{line}: ERR value"));
            assert!(error["message"].as_str().unwrap().starts_with(&words), "{lua}: {said}");
        }
    }
}

#[test]
fn r19_keys_of_several_slots_are_refused_before_anything_is_sent() {
    let json = pair("1.0.0", "two", r#""keys": ["PREFIXa", "PREFIXb"]"#);
    let lua = "for _, k in ipairs(KEYS) do redis.call('SET', k, 'x') end";
    let project = RedisProject::new(true, &[("001_two.json", &json), ("001_two.lua", lua)]);
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    let refusal = &said["blocked_by"][0];
    let message = refusal["message"].as_str().unwrap();
    assert!(
        message.contains("CROSSSLOT") && message.contains(&project.key("a")) && message.contains(&project.key("b")),
        "{said}"
    );
    assert!(refusal["what_to_do"].as_str().unwrap().contains("hash tag"));
    assert_eq!(project.keys(), Vec::<String>::new());
    let alone = RedisProject::new(false, &[("001_two.json", &json), ("001_two.lua", lua)]);
    alone.run(&["apply", "--yes"]).expect(0);
    assert_eq!(alone.keys().len(), 2);
}

#[test]
fn what_cannot_be_a_migration_is_refused_before_anything_runs() {
    for (lua, line, part) in [
        ("local a = 1\nreturn redis.call('KEYS', '*')", 2, "`KEYS` must not be called"),
        ("redis.call('flushdb')", 1, "`FLUSHDB` must not be called"),
        (r"return redis.call('\102lushall')", 1, "`FLUSHALL` must not be called"),
        ("return _G['redis'].call('flushall')", 1, "`FLUSHALL` must not be called"),
        ("return loadstring('redis.call(\"flush\" .. \"all\")')()", 1, "`loadstring` hides what the script does"),
        ("local a = 1\nlocal = 2", 2, "user_script"),
        ("redis.call('SET', KEYS[1], 1) end redis.call('SET', KEYS[1], 2) do", 1, "user_script"),
        ("#!lua name=x\nreturn 1", 1, "plain script"),
    ] {
        let json = pair("1.0.0", "bad", r#""keys": ["PREFIXa"]"#);
        let project = RedisProject::new(false, &[("001_bad.json", &json), ("001_bad.lua", lua)]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1);
        let blocked = &said.json()["blocked_by"][0];
        let message = blocked["message"].as_str().unwrap_or_default();
        assert!(message.contains(part) && message.contains(&format!("001_bad.lua:{line}")), "{said:?}");
        assert_eq!(project.keys(), Vec::<String>::new(), "{lua}");
    }
    let json =
        pair("1.0.0", "own", r#""operations": [{"type": "set_ttl", "keys": ["godwit:{x}:history"], "seconds": 1}]"#);
    let project = RedisProject::new(false, &[("001_own.json", &json)]);
    assert!(project.run(&["apply", "--yes"]).expect(1).stdout.contains("Godwit's own keys"));
}

#[test]
fn r19_a_command_whose_name_is_made_up_is_looked_at_when_it_is_called() {
    let json = pair("1.0.0", "made_up", r#""keys": ["PREFIXa"]"#);
    for cluster in BOTH {
        for hidden in [
            "local c = 'flush' .. 'db'\nreturn redis.call(c)",
            "local r = redis\nreturn r['call']('flush' .. 'db')",
            "local r = _G\nreturn r['redis']['pcall']('Flush' .. 'db')",
            "local r = _G\nreturn r.server.call('flush' .. 'db')",
        ] {
            let lua = format!("redis.call('HSET', KEYS[1], 'x', 1)\n{hidden}");
            let project = RedisProject::new(cluster, &[("001_made_up.json", &json), ("001_made_up.lua", &lua)]);
            project.ask::<()>(&["HSET", &project.key("other"), "v", "1"]);
            let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
            let message = said["steps"][0]["error"]["message"].as_str().unwrap_or_default();
            assert!(message.contains("`FLUSHDB` must not be called by a migration"), "{hidden}: {said}");
            assert_eq!(project.ask::<i64>(&["EXISTS", &project.key("other")]), 1, "{hidden}");
            assert_eq!(project.history(), ["001_made_up failed"], "{hidden}");
        }
        // What is called for its answer alone is gone from the stack when the command is refused; all else has its line.
        for hidden in [
            "local c = 'flush' .. 'db'\nlocal done = redis.call(c)\nreturn done",
            "local r = redis\nlocal done = r['call']('flush' .. 'db')\nreturn 1",
            "local r = _G\nlocal wrong = r['redis']['pcall']('Flush' .. 'db')\nreturn wrong",
        ] {
            let lua = format!("redis.call('HSET', KEYS[1], 'x', 1)\n{hidden}");
            let project = RedisProject::new(cluster, &[("001_made_up.json", &json), ("001_made_up.lua", &lua)]);
            let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
            let error = &said["steps"][0]["error"];
            assert!(error["message"].as_str().unwrap_or_default().contains("`FLUSHDB` must not be called"), "{said}");
            assert_eq!(error["line"], 3, "{hidden}: {said}");
        }
        let lua = "for _, c in ipairs({'HINCRBY'}) do redis.call(c, KEYS[1], 'x', 1) end return 1";
        let project = RedisProject::new(cluster, &[("001_made_up.json", &json), ("001_made_up.lua", lua)]);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.counts("x"), [(Some(1), 1)].into());
    }
}

#[test]
fn a_pattern_never_finds_godwits_own_keys() {
    let json = pair("1.0.0", "all", r#""keys": {"match": "*PREFIX*"}, "args": ["PREFIX"]"#);
    let lua = "for _, key in ipairs(KEYS) do redis.call('SET', key, 'seen') end return #KEYS";
    let project = RedisProject::new(false, &[]);
    let name = project.namespace.clone();
    project.write("001_all.json", &json.replace("*PREFIX*", &format!("*{name}*")));
    project.write("001_all.lua", lua);
    project.ask::<()>(&["SET", &project.key("a"), "x"]);
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(said["steps"][0]["rows"], 1, "{said}");
    assert_eq!(project.history(), ["001_all applied"]);
}

#[test]
fn a_rename_is_refused_at_its_start_when_a_name_is_taken() {
    for cluster in BOTH {
        let json = pair(
            "1.0.0",
            "taken",
            r#""operations": [{"type": "rename_keys", "keys": {"match": "PREFIX{s}:a:*"}, "from": "PREFIX{s}:a:", "to": "PREFIX{s}:b:"}]"#,
        );
        let project = RedisProject::new(cluster, &[("001_taken.json", &json)]);
        project.pour((0..2000).map(|n| vec!["SET".into(), project.key(&format!("{{s}}:a:{n}")), "x".into()]));
        project.ask::<()>(&["SET", &project.key("{s}:b:1777"), "mine"]);
        let before = project.keys();
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        assert!(said["steps"][0]["error"]["message"].as_str().unwrap().contains("b:1777` exists"), "{said}");
        assert_eq!(project.keys(), before);
    }
}

#[test]
fn what_is_wrong_with_the_way_to_the_server_is_said_without_the_password() {
    let json = pair("1.0.0", "a", r#""keys": ["PREFIXa"]"#);
    let project = RedisProject::new(false, &[("001_a.json", &json), ("001_a.lua", "return 1")]);
    let host = project.url.trim_start_matches("redis://").split(['/', '?']).next().unwrap().to_owned();
    let cluster = crate::support::servers::shared("GODWIT_TEST_REDIS_CLUSTER_URL");
    let node = cluster.trim_start_matches("redis-cluster://").split(',').next().unwrap().to_owned();
    for (url, part) in [
        ("redis://127.0.0.1:1/0".to_owned(), "127.0.0.1:1"),
        (format!("redis://ann:hunter22@{host}/0"), "login was refused"),
        (format!("rediss://{host}/0"), "without TLS"),
        (format!("redis://{node}/0"), "redis-cluster://"),
        ("redis-cluster://127.0.0.1:1".to_owned(), "127.0.0.1:1"),
        (format!("redis://{host}/99"), "out of range"),
    ] {
        let mut command = crate::support::godwit(project.dir.path());
        command.args(["apply", "--yes", "--url", &url, "--path"]).arg(project.dir.path().join("redis"));
        let said: crate::support::Said = command.output().unwrap().into();
        assert_eq!(said.code, Some(5), "{url}: {said:?}");
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains(part) && !all.contains("hunter22"), "{url}: {all}");
    }
}

#[test]
fn s0_79_a_command_that_the_user_may_not_call_is_named_before_anything_is_changed() {
    let json = pair("1.0.0", "hashed", r#""keys": ["PREFIXa"]"#);
    let lua = "return redis.call('HSET', KEYS[1], 'x', 1)";
    for (forbidden, told) in [("-expire -rename", None), ("-hset", Some("HSET")), ("-hdel -hset", Some("HDEL, HSET"))] {
        let project = RedisProject::new(false, &[("001_hashed.json", &json), ("001_hashed.lua", lua)]);
        let user = project.key("user").replace(':', "");
        let mut rule = vec!["ACL", "SETUSER", &user, "on", ">pass", "~*", "&*", "+@all"];
        rule.extend(forbidden.split(' '));
        project.ask::<()>(&rule);
        let mut command = crate::support::godwit(project.dir.path());
        let url = project.url.replace("redis://", &format!("redis://{user}:pass@"));
        command.args(["apply", "--url", &url, "--path"]).arg(project.dir.path().join("redis")).arg("--yes");
        let said: crate::support::Said = command.output().unwrap().into();
        project.ask::<()>(&["ACL", "DELUSER", &user]);
        match told {
            None => {
                said.expect(0);
            }
            Some(names) => {
                assert_ne!(said.code, Some(0), "{said:?}");
                assert!(said.stdout.contains(&format!("may not call {names} ")), "{said:?}");
                assert!(said.stdout.contains("+hset") && !said.stdout.contains("pass@"), "{said:?}");
                assert_eq!(project.keys(), Vec::<String>::new(), "nothing was changed");
                assert!(project.history().is_empty());
            }
        }
    }
}

#[test]
fn an_error_names_its_operation_and_a_script_within_one_has_the_operations_line() {
    for cluster in BOTH {
        let json = pair(
            "1.0.0",
            "inline",
            r#""operations": [
  {"type": "set_ttl", "keys": ["PREFIXa{s}"], "seconds": 600},
  {"type": "set_ttl", "keys": ["PREFIXb{s}"], "seconds": 600},

  {"type": "script", "lua": "local n = 1\nredis.call('INCR', KEYS[1])\nreturn n", "keys": ["PREFIXa{s}"]}
], "rollback": []"#,
        );
        let project = RedisProject::new(cluster, &[("001_inline.json", &json)]);
        project.ask::<()>(&["SET", &project.key("a{s}"), "no number"]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        let error = &said["steps"][0]["error"];
        assert_eq!((error["line"].as_u64(), error["operation"].as_u64()), (Some(6), Some(3)), "{said}");
        assert!(error["file"].as_str().unwrap().ends_with("001_inline.json"), "{said}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("operation 3 of 3 (`script`): "), "{said}");
        assert!(message.contains("user_script:2"), "{said}");
        let forbidden = json.replace("INCR', KEYS[1]", "FLUSHALL'");
        let project = RedisProject::new(cluster, &[("001_inline.json", &forbidden)]);
        let said = project.run(&["apply", "--yes"]).expect(1);
        assert!(said.stdout.contains("001_inline.json:6") && said.stdout.contains("user_script:2: "), "{said:?}");
    }
}
