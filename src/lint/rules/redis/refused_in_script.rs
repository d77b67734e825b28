//! Commands that Redis lets no script call.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "refused-in-script",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "A command that no script may call",
    },
    check: Check::Call(check),
    ok: &[Example::Lua("return redis.call('PUBLISH', KEYS[1], ARGV[1])")],
    bad: &[Example::Lua("return redis.call('EVAL', 'return 1', 0)"), Example::Lua("redis.call('multi') return 1")],
};

const REFUSED: [&str; 24] = [
    "AUTH",
    "DISCARD",
    "EVAL",
    "EVALSHA",
    "EVALSHA_RO",
    "EVAL_RO",
    "EXEC",
    "FCALL",
    "FCALL_RO",
    "FUNCTION",
    "HELLO",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "RESET",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WATCH",
];

fn check(_: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    if REFUSED.contains(&call.command.as_str()) {
        told.add(
            format!("Redis does not let a script call `{}`", call.command),
            "a script is one transaction by itself; what another script does belongs into this one",
        );
    }
}
