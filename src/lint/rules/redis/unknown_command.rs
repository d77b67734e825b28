//! Commands that the server does not know, or that lack arguments or have too many: the script ends at the call.

use std::ops::Range;

use super::prelude::*;
use crate::config::yaml::nearest;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "unknown-command",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Redis,
        title: "A command that Redis does not know, or not with so many arguments",
    },
    check: Check::Call(check),
    ok: &[
        Example::Lua("redis.call('hset', KEYS[1], 'a', 1, unpack(ARGV)) return redis.call('SET', KEYS[1], 1, 'EX', 5)"),
        Example::Lua("return redis.call('JSON.SET', KEYS[1], '$', '{}')"),
        Example::Lua("return redis.pcall('HSTE', KEYS[1], 'a', 1)"),
        Example::Lua("return redis.call('OBJECT', 'ENCODING', KEYS[1])"),
        Example::Lua("return redis.call('GET', unpack(KEYS))"),
        Example::Lua("local sub = 'IDLETIME' return redis.call('OBJECT', sub, KEYS[1])"),
    ],
    bad: &[
        Example::Lua("redis.call('HSTE', KEYS[1], 'a', 1) return 1"),
        Example::Lua("local call = redis.call call('expires', KEYS[1], 5) return 1"),
        Example::Lua("return redis.call('HGET', KEYS[1])"),
        Example::Lua("return redis.call('GET', KEYS[1], 'a')"),
        Example::Lua("return redis.call('GET', KEYS[1], 'a', unpack(ARGV))"),
        Example::Lua("redis.call('HSET', KEYS[1], 'a', 1, 'b') return 1"),
        Example::Lua("redis.call('MSET', KEYS[1], 'a', KEYS[2]) return 1"),
        Example::Lua("return redis.call('OBJECT', 'ENCODNG', KEYS[1])"),
        Example::Lua("return redis.call('XGROUP', 'CREATE', KEYS[1], 'g')"),
    ],
};

/// The commands of Redis 7.0 as its own `COMMAND` lists them, those that came up to 8 by `src/commands/*.json` of its
/// repository, and Valkey's: how many words each of them has, itself among them; below zero: so many at least. Where
/// versions differ, the wider one.
const COMMANDS: [(i8, &str); 14] = [
    (
        1,
        "ASKING BGREWRITEAOF DBSIZE DISCARD EXEC LASTSAVE MONITOR MULTI PFSELFTEST RANDOMKEY READONLY READWRITE \
         RESET ROLE SAVE SYNC TIME UNWATCH",
    ),
    (
        2,
        "ARCOUNT ARLEN ARNEXT BACKUP DECR DIGEST DUMP ECHO EXPIRETIME GET GETDEL HGETALL HKEYS HLEN HVALS INCR \
         KEYS LLEN PERSIST PEXPIRETIME PTTL SCARD SELECT SMEMBERS STRLEN TTL TYPE VCARD VDIM VINFO XLEN ZCARD",
    ),
    (
        3,
        "APPEND ARGET ARSEEK DECRBY DELIFEQ GETBIT GETSET HEXISTS HGET HSTRLEN INCRBY INCRBYFLOAT LINDEX MOVE \
         PFDEBUG PUBLISH RENAME RENAMENX REPLICAOF RPOPLPUSH SETNX SISMEMBER SLAVEOF SPUBLISH SWAPDB VGETATTR \
         VISMEMBER VREM WAIT ZSCORE",
    ),
    (
        4,
        "ARGETRANGE BRPOPLPUSH GETRANGE HINCRBY HINCRBYFLOAT HSETNX LRANGE LREM LSET LTRIM PSETEX SETBIT SETEX \
         SETRANGE SMOVE SUBSTR VSETATTR WAITAOF ZCOUNT ZINCRBY ZLEXCOUNT ZREMRANGEBYLEX ZREMRANGEBYRANK \
         ZREMRANGEBYSCORE",
    ),
    (5, "LINSERT LMOVE XIDMPRECORD"),
    (6, "BLMOVE"),
    (
        -1,
        "BGSAVE COMMAND FAILOVER FLUSHALL FLUSHDB HELLO INFO LOLWUT PING PUNSUBSCRIBE QUIT REPLCONF SHUTDOWN \
         SUNSUBSCRIBE UNSUBSCRIBE",
    ),
    (
        -2,
        "ACL ARINFO AUTH BITCOUNT BITFIELD BITFIELD_RO BLESS CLIENT CLUSTER COMMANDLOG CONFIG DEBUG DEL DELEX \
         EXISTS FUNCTION GEOHASH GEOPOS GETEX HIMPORT HOTKEYS HRANDFIELD INCREX LATENCY LPOP MEMORY MGET MODULE \
         OBJECT PFADD PFCOUNT PFMERGE PSUBSCRIBE PUBSUB RPOP SCAN SCRIPT SDIFF SINTER SLOWLOG SORT SORT_RO SPOP \
         SRANDMEMBER SSUBSCRIBE SUBSCRIBE SUNION TOUCH UNLINK VRANDMEMBER WATCH XCFGSET XGROUP XINFO ZPOPMAX \
         ZPOPMIN ZRANDMEMBER",
    ),
    (
        -3,
        "ARDEL ARINSERT ARLASTITEMS ARMGET BITPOS BLPOP BRPOP BZPOPMAX BZPOPMIN COPY EVAL EVALSHA EVALSHA_RO \
         EVAL_RO EXPIRE EXPIREAT FCALL FCALL_RO HDEL HMGET HSCAN LCS LPOS LPUSH LPUSHX MSET MSETNX PEXPIRE \
         PEXPIREAT PSYNC RPUSH RPUSHX SADD SDIFFCARD SDIFFSTORE SET SINTERCARD SINTERSTORE SMISMEMBER SREM SSCAN \
         SUNIONCARD SUNIONSTORE VEMB VLINKS XDEL XPENDING XSETID ZDIFF ZINTER ZINTERCARD ZMSCORE ZRANK ZREM \
         ZREVRANK ZSCAN ZUNION",
    ),
    (
        -4,
        "ARDELRANGE ARMSET ARRING ARSCAN ARSET BITOP GEODIST HMSET HSET LMPOP MSETEX RESTORE RESTORE-ASKING \
         VRANGE VSIM XACK XRANGE XREAD XREVRANGE XTRIM ZADD ZDIFFSTORE ZINTERSTORE ZMPOP ZRANGE ZRANGEBYLEX \
         ZRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZUNIONSTORE",
    ),
    (
        -5,
        "AROP BLMPOP BZMPOP GEOADD GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO HEXPIRETIME HGETDEL HGETEX HPERSIST \
         HPEXPIRETIME HPTTL HTTL LMOVEM TRIMSLOTS VADD XADD XDELEX ZRANGESTORE",
    ),
    (
        -6,
        "ARGREP BLMOVEM GEORADIUS GEORADIUS_RO HEXPIRE HEXPIREAT HPEXPIRE HPEXPIREAT HSETEX MIGRATE XACKDEL \
         XAUTOCLAIM XCLAIM",
    ),
    (-7, "GEOSEARCH XNACK XREADGROUP"),
    (-8, "GEOSEARCHSTORE"),
];

/// The same of commands that stand in two words, as far as scripts have a use for them.
const CONTAINERS: [(&str, &[(i8, &str)]); 4] = [
    ("OBJECT", &[(2, "HELP"), (3, "ENCODING FREQ IDLETIME REFCOUNT")]),
    ("XGROUP", &[(2, "HELP"), (4, "DESTROY"), (5, "CREATECONSUMER DELCONSUMER"), (-5, "CREATE SETID")]),
    ("XINFO", &[(2, "HELP"), (3, "GROUPS"), (4, "CONSUMERS"), (-3, "STREAM")]),
    ("MEMORY", &[(2, "DOCTOR HELP MALLOC-STATS PURGE STATS"), (-3, "USAGE")]),
];

/// How many words a command of a table has.
fn words_of(table: &[(i8, &'static str)], command: &str) -> Option<i8> {
    table.iter().find(|(_, names)| names.split(' ').any(|name| name == command)).map(|(words, _)| *words)
}

fn check(lua: &Lua<'_>, call: &Call, told: &mut Told<'_>) {
    // A script that takes the error may be asking whether the server has it; a name with a dot is a module's.
    if call.is_guarded || call.command.contains('.') {
        return;
    }
    let Some(words) = words_of(&COMMANDS, &call.command) else { return unknown(&call.command, &COMMANDS, told) };
    let inner = CONTAINERS.iter().find(|(name, _)| *name == call.command);
    let Some((_, table)) = inner else { return counted(lua, &call.command, words, &call.arguments, told) };
    // A name alone is a variable.
    let Some(second) = call.arguments.first().and_then(|one| literal(lua, one)) else { return };
    let name = format!("{} {}", call.command, second.to_ascii_uppercase());
    match words_of(table, &second.to_ascii_uppercase()) {
        Some(words) => counted(lua, &name, words, &call.arguments, told),
        None => unknown(&second.to_ascii_uppercase(), table, told),
    }
}

fn literal<'l>(lua: &'l Lua<'_>, argument: &Range<usize>) -> Option<&'l str> {
    let [word] = lua.words.get(argument.clone())? else { return None };
    word.literal.as_deref()
}

fn unknown(command: &str, table: &[(i8, &'static str)], told: &mut Told<'_>) {
    let names: Vec<&'static str> = table.iter().flat_map(|(_, names)| names.split(' ')).collect();
    let message = format!("Redis knows no `{command}`: the script ends here, and what it wrote before stays");
    match nearest(command, &names) {
        Some(near) => {
            told.add(message, &format!("did you mean `{near}`?"));
        }
        None => {
            let help = "write a command of Redis; where a newer server or a module brings it, waive this with its name";
            told.add(message, help).severity = Some(Severity::Warning);
        }
    }
}

/// Tells a call whose arguments are too few or too many for any version.
fn counted(lua: &Lua<'_>, command: &str, words: i8, arguments: &[Range<usize>], told: &mut Told<'_>) {
    // The last one may stand for any number of them, or for none.
    let is_open = arguments.last().is_some_and(|last| lua.may_be_several(last));
    let least = 1 + arguments.len() - usize::from(is_open);
    let wanted = usize::from(words.unsigned_abs());
    let pairs_from = match command {
        "HSET" | "HMSET" => Some(1),
        "MSET" | "MSETNX" => Some(0),
        _ => None,
    };
    let lacks_half =
        pairs_from.is_some_and(|from| !is_open && arguments.len() > from && (arguments.len() - from) % 2 == 1);
    let spelled = |n: usize| if n == 1 { "1 argument".to_owned() } else { format!("{n} arguments") };
    let own = command.split(' ').count();
    let takes = spelled(wanted - own);
    let given = least.saturating_sub(own);
    let message = if words > 0 && (least > wanted || (least < wanted && !is_open)) {
        format!("`{command}` takes {takes}, and here are {given}: Redis refuses the call, and the script ends here")
    } else if words < 0 && least < wanted && !is_open {
        format!(
            "`{command}` takes {takes} at least, and here are {given}: Redis refuses the call, and the script ends here"
        )
    } else if lacks_half {
        format!(
            "`{command}` takes pairs, and the last name here has no value: Redis refuses the call, and the script ends here"
        )
    } else {
        return;
    };
    told.add(message, "give it what it takes, each value as an argument of its own");
}
