//! A script that is no Lua 5.1.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "lua-syntax",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "The Lua script does not compile",
    },
    check: Check::Refused(check),
    ok: &[Example::Lua(
        "-- größer
return 1",
    )],
    bad: &[
        Example::Lua(
            "local = 1
return 1",
        ),
        Example::Lua("return 'open"),
        Example::Lua("if ARGV[1] then return 1"),
    ],
};

fn check(why: &str, told: &mut Told<'_>) {
    told.add(format!("the script does not compile: {why}"), "Redis runs Lua 5.1");
}
