//! `SCAN`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "scan-in-script",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "SCAN inside a script stops everything else",
    },
    check: Check::Call(check),
    ok: &[Example::Lua("return redis.call('HSCAN', KEYS[1], ARGV[1])")],
    bad: &[Example::Lua("local r = redis.call('SCAN', '0') return 1")],
};

fn check(_: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    if call.command == "SCAN" {
        told.add(
            "a script that walks the keys stops everything else until it is through",
            "give the pattern as `keys: {\"match\": …}`: the script is then called for each batch that SCAN finds",
        );
    }
}
