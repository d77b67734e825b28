//! What is known of Redis's commands: which of them write, which tell what is there, and where their keys stand.

use std::ops::Range;

/// Whether a command that migrations use changes something.
pub(super) fn writes(command: &str) -> bool {
    [
        "SET", "HSET", "HDEL", "HINCR", "DEL", "UNLINK", "EXPIRE", "PEXPIRE", "PERSIST", "INCR", "DECR", "LPUSH",
        "RPUSH", "LPOP", "RPOP", "LREM", "LTRIM", "SADD", "SREM", "SMOVE", "ZADD", "ZREM", "ZINCR", "APPEND", "RENAME",
        "COPY", "XADD", "MSET", "GETSET",
    ]
    .iter()
    .any(|start| command.starts_with(start))
}

/// Whether a command tells what stands there, so that a script may go by it.
pub(super) fn looks(command: &str) -> bool {
    let reads =
        ["EXISTS", "TYPE", "GET", "MGET", "HGET", "HMGET", "HEXISTS", "SISMEMBER", "SMISMEMBER", "ZSCORE", "LPOS"];
    // These say whether they were the first.
    reads.contains(&command) || matches!(command, "SETNX" | "HSETNX" | "SADD" | "ZADD")
}

/// Whether a command that is done twice comes to something else than once.
pub(super) fn adds_up(command: &str) -> bool {
    let starts = ["INCR", "DECR", "HINCRBY", "LPUSH", "RPUSH"];
    starts.iter().any(|start| command.starts_with(start))
        || matches!(command, "APPEND" | "ZINCRBY" | "LINSERT" | "XADD")
}

/// The arguments of a command that are keys.
pub(super) fn keys_of<'r>(command: &str, arguments: &'r [Range<usize>]) -> Vec<&'r Range<usize>> {
    let take = |n: usize| arguments.iter().take(n).collect();
    match command {
        "PING" | "TIME" | "SCAN" | "KEYS" | "DBSIZE" | "RANDOMKEY" | "INFO" | "PUBLISH" | "SPUBLISH" | "SELECT"
        | "ECHO" | "EVAL" | "EVALSHA" | "FCALL" | "FLUSHALL" | "FLUSHDB" | "SWAPDB" | "CONFIG" | "DEBUG"
        | "SHUTDOWN" | "SCRIPT" | "MIGRATE" | "ACL" | "REPLICAOF" | "SLAVEOF" | "CLUSTER" | "FAILOVER" | "MODULE"
        | "SAVE" | "BGSAVE" | "BGREWRITEAOF" | "CLIENT" | "LATENCY" | "MONITOR" | "COMMAND" | "WAIT" | "BITOP"
        | "XREAD" | "XREADGROUP" | "OBJECT" | "MEMORY" | "XGROUP" | "XINFO" | "LMPOP" | "ZMPOP" | "SINTERCARD"
        | "ZINTER" | "ZUNION" | "ZDIFF" => Vec::new(),
        "DEL" | "UNLINK" | "EXISTS" | "TOUCH" | "MGET" | "SINTER" | "SUNION" | "SDIFF" | "PFCOUNT" | "PFMERGE"
        | "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" | "WATCH" => arguments.iter().collect(),
        "MSET" | "MSETNX" => arguments.iter().step_by(2).collect(),
        "RENAME" | "RENAMENX" | "COPY" | "SMOVE" | "RPOPLPUSH" | "LMOVE" | "GEOSEARCHSTORE" | "ZRANGESTORE" => take(2),
        _ => take(1),
    }
}
