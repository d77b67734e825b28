//! `KEYS`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "keys-command",
        category: Category::Lock,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "KEYS looks at every key while everything waits",
    },
    check: Check::Call(check),
    ok: &[
        Example::Lua(
            "local s = 'KEYS FLUSHALL' -- redis.call('KEYS', '*')
return s",
        ),
        Example::Lua("return redis.call('GET', KEYS[1])"),
    ],
    bad: &[Example::Lua("return redis.call('keys', 'a*')"), Example::Lua("local c = redis.call return c('KEYS', '*')")],
};

fn check(_: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    if call.command == "KEYS" {
        told.add(
            "`KEYS` looks at every key of the database while everything else waits",
            "give the pattern as `keys: {\"match\": …}`: the script is then called for each batch that SCAN finds",
        );
    }
}
