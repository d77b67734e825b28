//! Migrations on real Redis: one server, and a cluster of three masters.

mod conformance;
mod moves;
mod refusals;
mod runners;
mod walks;

use crate::support::redis::{BOTH, RedisProject};

/// The JSON half of a migration.
pub fn pair(version: &str, name: &str, rest: &str) -> String {
    format!(
        r#"{{"version": "{version}", "name": "{name}", "description": "for a test", "database_type": "redis",
"migration_type": "data", {rest}}}"#
    )
}

const CART: &str = "local changed = 0
for _, key in ipairs(KEYS) do
  if redis.call('TTL', key) == -1 then
    redis.call('EXPIRE', key, tonumber(ARGV[1]))
    changed = changed + 1
  end
end
return changed
";

#[test]
fn the_worked_example_goes_forward_and_back() {
    for cluster in BOTH {
        let json = pair("1.0.0", "cart_ttl", r#""keys": {"match": "PREFIXcart:*", "count": 500}, "args": ["86400"]"#);
        let project = RedisProject::new(
            cluster,
            &[
                ("001_cart_ttl.json", &json),
                ("001_cart_ttl.lua", CART),
                ("001_cart_ttl_rollback.lua", "for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end"),
            ],
        );
        project.pour((0..1200).map(|n| vec!["SET".into(), project.key(&format!("cart:{n}")), "x".into()]));
        project.ask::<()>(&["SET", &project.key("cart:0"), "x", "EX", "50"]);
        project.ask::<()>(&["SET", &project.key("other"), "x"]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(said["steps"][0]["rows"], 1199, "{said}");
        assert_eq!(said["steps"][0]["recovery"], "idempotent");
        assert!(project.ask::<i64>(&["TTL", &project.key("cart:77")]) > 86_000);
        assert!(project.ask::<i64>(&["TTL", &project.key("cart:0")]) <= 50, "a key with a lifetime keeps it");
        assert_eq!(project.ask::<i64>(&["TTL", &project.key("other")]), -1);
        assert_eq!(project.history(), ["001_cart_ttl applied"]);
        assert_eq!(project.leftovers(), Vec::<String>::new());
        assert_eq!(project.run(&["apply", "--yes", "--format", "json"]).expect(0).json()["outcome"], "nothing");
        project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
        assert_eq!(project.ask::<i64>(&["TTL", &project.key("cart:77")]), -1);
        assert_eq!(project.history(), ["001_cart_ttl rolled_back"]);
        assert_eq!(project.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn renaming_and_lifetimes_are_taken_back_from_what_was_recorded() {
    for cluster in BOTH {
        let json = pair(
            "1.0.0",
            "sessions",
            r#""operations": [
  {"type": "rename_keys", "keys": {"match": "PREFIX{s}:*"}, "from": "PREFIX{s}:", "to": "PREFIX{s}:v2:"},
  {"type": "set_ttl", "keys": {"match": "PREFIX{s}:v2:*"}, "seconds": 600},
  {"type": "set_ttl", "keys": ["PREFIXa{l}", "PREFIXb{l}"], "seconds": 700},
  {"type": "rename_keys", "keys": ["PREFIXa{l}"], "from": "PREFIXa", "to": "PREFIXc"}
]"#,
        );
        let project = RedisProject::new(cluster, &[("001_sessions.json", &json)]);
        project.pour((0..700).map(|n| vec!["SET".into(), project.key(&format!("{{s}}:{n}")), n.to_string()]));
        for (key, ttl) in [("{s}:5", "5000"), ("a{l}", "0"), ("b{l}", "9000")] {
            project.ask::<()>(&["SET", &project.key(key), "5"]);
            if ttl != "0" {
                project.ask::<()>(&["EXPIRE", &project.key(key), ttl]);
            }
        }
        let before = project.keys();
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.keys().iter().filter(|k| k.contains(":v2:")).count(), 700);
        assert!(!project.keys().iter().any(|k| k.contains("v2:v2")), "no key is renamed twice");
        assert_eq!(project.ask::<String>(&["GET", &project.key("{s}:v2:123")]), "123");
        assert!(project.ask::<i64>(&["TTL", &project.key("{s}:v2:5")]) > 4000, "R-19: its own lifetime stays");
        assert!(project.ask::<i64>(&["TTL", &project.key("c{l}")]) > 600);
        assert!(project.ask::<i64>(&["TTL", &project.key("b{l}")]) > 8000);
        // What the application did meanwhile is its own.
        project.ask::<()>(&["DEL", &project.key("{s}:v2:9")]);
        project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
        let gone = project.key("{s}:9");
        assert_eq!(project.keys(), before.into_iter().filter(|k| k != &gone).collect::<Vec<_>>());
        assert_eq!(project.ask::<i64>(&["TTL", &project.key("{s}:123")]), -1);
        assert_eq!(project.ask::<i64>(&["TTL", &project.key("a{l}")]), -1);
        assert!(project.ask::<i64>(&["TTL", &project.key("{s}:5")]) > 4000);
        assert_eq!(project.leftovers(), Vec::<String>::new());
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.keys().iter().filter(|k| k.contains(":v2:")).count(), 699);
    }
}

#[test]
fn s4_68_keys_that_are_there_are_not_deleted_by_a_rollback_unasked() {
    for cluster in BOTH {
        let script = pair("1.0.0", "mark", r#""keys": ["PREFIXmark"]"#);
        let list = pair(
            "1.1.0",
            "totals",
            r#""operations": [{"type": "set_ttl", "keys": ["PREFIXnone"], "seconds": 9}],
"rollback": [{"type": "delete_keys", "keys": {"match": "PREFIXtotal:*"}}]"#,
        );
        let files = [
            ("001_mark.json", &*script),
            ("001_mark.lua", "redis.call('SET', KEYS[1], 'on') return 1"),
            ("001_mark_rollback.lua", "return redis.call('UNLINK', KEYS[1])"),
            ("002_totals.json", &list),
        ];
        let project = RedisProject::new(cluster, &files);
        project.run(&["apply", "--yes"]).expect(0);
        project.pour((0..3).map(|n| vec!["SET".into(), project.key(&format!("total:{n}")), "x".into()]));
        let back = ["rollback", "--steps", "1", "--yes"];
        let said = project.run(&back).expect(3).stdout;
        assert!(said.contains("deletes keys that are there") && said.contains("--accept-data-loss"), "{said}");
        assert_eq!(project.keys().iter().filter(|k| k.contains("total:")).count(), 3);
        project.run(&[&back[..], &["--accept-data-loss"]].concat()).expect(0);
        assert!(!project.keys().iter().any(|k| k.contains("total:")));
        let said = project.run(&back).expect(3).stdout;
        assert!(said.contains(&format!("such as `{}`", project.key("mark"))), "{said}");
        // What is not there loses nothing.
        project.ask::<()>(&["DEL", &project.key("mark")]);
        project.run(&back).expect(0);
        assert_eq!(project.history(), ["001_mark rolled_back", "002_totals rolled_back"]);
    }
}

#[test]
fn a_failure_takes_back_what_was_renamed_by_itself() {
    for cluster in BOTH {
        let json = pair(
            "1.0.0",
            "two",
            r#""operations": [
  {"type": "rename_keys", "keys": {"match": "PREFIX{s}:a:*"}, "from": "PREFIX{s}:a:", "to": "PREFIX{s}:b:"},
  {"type": "rename_keys", "keys": ["PREFIX{s}:x", "PREFIX{s}:y"], "from": "PREFIX{s}:", "to": "PREFIX{s}:new:"}
]"#,
        );
        let project = RedisProject::new(cluster, &[("001_two.json", &json)]);
        for key in ["{s}:a:1", "{s}:a:2", "{s}:x", "{s}:y", "{s}:new:y"] {
            project.ask::<()>(&["SET", &project.key(key), "1"]);
        }
        let before = project.keys();
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        let error = &said["steps"][0]["error"];
        assert!(error["message"].as_str().unwrap().contains("new:y"), "{said}");
        assert_eq!((error["undone"].as_bool(), error["line"].as_u64()), (Some(true), Some(4)), "{said}");
        assert_eq!(project.keys(), before, "all or none, and the first operation was taken back");
        project.ask::<()>(&["DEL", &project.key("{s}:new:y")]);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.keys().iter().filter(|k| k.contains(":b:") || k.contains(":new:")).count(), 4);
    }
}

#[test]
fn deleted_keys_are_counted() {
    for cluster in BOTH {
        let json = pair(
            "1.0.0",
            "gone",
            r#""operations": [{"type": "delete_keys", "keys": {"match": "PREFIXold:*", "type": "string"}}],
"rollback": [{"type": "set_ttl", "keys": ["PREFIXnone"], "seconds": 1}]"#,
        );
        let project = RedisProject::new(cluster, &[("001_gone.json", &json)]);
        project.pour((0..300).map(|n| vec!["SET".into(), project.key(&format!("old:{n}")), "x".into()]));
        project.ask::<()>(&["HSET", &project.key("old:hash"), "a", "1"]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(said["steps"][0]["rows"], 300, "{said}");
        assert_eq!(project.keys(), [project.key("old:hash")]);
    }
}
