//! Commands that administer the server.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "admin-command",
        category: Category::Security,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "A command that administers the server",
    },
    check: Check::Call(check),
    ok: &[Example::Lua("return redis.call('OBJECT', 'ENCODING', KEYS[1])")],
    bad: &[
        Example::Lua("return redis.call('CONFIG', 'SET', 'a', 'b')"),
        Example::Lua("return redis.call('acl', 'WHOAMI')"),
    ],
};

const ADMINISTERS: [&str; 17] = [
    "ACL",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT",
    "CLUSTER",
    "CONFIG",
    "DEBUG",
    "FAILOVER",
    "LATENCY",
    "MIGRATE",
    "MODULE",
    "MONITOR",
    "REPLICAOF",
    "SAVE",
    "SCRIPT",
    "SHUTDOWN",
    "SLAVEOF",
];

fn check(_: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    if ADMINISTERS.contains(&call.command.as_str()) {
        told.add(
            format!("`{}` administers the server, which a migration must not do", call.command),
            "have whoever runs the server do it",
        );
    }
}
