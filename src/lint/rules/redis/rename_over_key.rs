//! `RENAME`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "rename-over-key",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Redis,
        title: "RENAME drops the key of the new name",
    },
    check: Check::Call(check),
    ok: &[Example::Lua("redis.call('RENAMENX', KEYS[1], KEYS[2]) return 1")],
    bad: &[Example::Lua("redis.call('RENAME', KEYS[1], KEYS[2]) return 1")],
};

fn check(_: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    if call.command == "RENAME" {
        told.add(
            "`RENAME` drops the key that has the new name, if there is one",
            "`RENAMENX` leaves it alone and says so",
        );
    }
}
