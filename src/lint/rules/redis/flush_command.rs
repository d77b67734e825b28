//! `FLUSHALL`, `FLUSHDB`, `SWAPDB`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "flush-command",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "Empties or swaps whole databases",
    },
    check: Check::Call(check),
    ok: &[Example::Lua("return redis.call('UNLINK', KEYS[1])")],
    bad: &[
        Example::Lua(r#"return redis.pcall("FLUSHDB")"#),
        Example::Lua("return server.call('FLUSHALL')"),
        Example::Lua("return redis.call('SWAPDB', 0, 1)"),
    ],
};

fn check(_: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    if matches!(call.command.as_str(), "FLUSHALL" | "FLUSHDB" | "SWAPDB") {
        told.add(
            format!("`{}` empties or swaps whole databases", call.command),
            "delete the keys that are meant, by their names: `delete_keys`",
        );
    }
}
