//! The scripts that change a target. Each compares the epoch first, so that who was taken over changes nothing.
//!
//! Every answer is a list of texts whose first says what it is: `OK`, `ALREADY`, `FENCED`, `HELD`, `LATE`, `ERROR`.

use redis::Script;

use crate::migration::operations::lua::{guard, is_plain, last_call, one_type};

/// A script and the hash by which a server that has it is asked to run it.
#[derive(Debug, Clone)]
pub(super) struct Lua {
    /// Its text.
    pub code: String,
    /// Its SHA-1.
    pub hash: String,
}

impl Lua {
    /// A script.
    pub fn new(code: impl Into<String>) -> Self {
        let code = code.into();
        let hash = Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }
}

/// Takes the lock, or says who has it. The epoch rises with it, so that whoever had the lock before writes no more.
/// KEYS: lock, fence. ARGV: owner, lease in ms, identity for a database without one, an owner known to be dead.
pub(super) const LOCK: &str = "\
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] and held ~= ARGV[4] then return {'HELD', held} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSETNX', KEYS[2], 'target', ARGV[3])
redis.call('HINCRBY', KEYS[2], 'epoch', 1)
return {'OK', redis.call('HGET', KEYS[2], 'target')}";

/// Makes the lock last longer, if it is still ours. KEYS: lock. ARGV: owner, lease in ms.
pub(super) const RENEW: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'HELD'} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'OK'}";

/// Gives the lock back, if it is still ours. KEYS: lock. ARGV: owner.
pub(super) const UNLOCK: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return {'OK'}";

/// Raises the epoch. KEYS: lock, fence. ARGV: owner, the epoch it must exceed.
pub(super) const RAISE: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'FENCED', ''} end
local epoch = tonumber(redis.call('HGET', KEYS[2], 'epoch') or '0')
local least = tonumber(ARGV[2])
if least > epoch then epoch = least end
epoch = string.format('%d', epoch + 1)
redis.call('HSET', KEYS[2], 'epoch', epoch)
return {'OK', epoch}";

/// Sets fields of a hash. KEYS: fence, hash. ARGV: epoch, field, value, ….
pub(super) const PUT: &str = "\
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return {'FENCED', epoch or ''} end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return {'OK'}";

/// Notes slots in which zones are opened. KEYS: fence, bit string. ARGV: epoch, slot, ….
pub(super) const NOTE_SLOTS: &str = "\
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return {'FENCED', epoch or ''} end
for i = 2, #ARGV do redis.call('SETBIT', KEYS[2], ARGV[i], 1) end
return {'OK'}";

/// Opens a zone for an epoch, while the lock of who asks is good by this server's own clock: a runner that was stopped
/// on its way here comes too late. KEYS: the zone. ARGV: epoch, the last moment in ms.
pub(super) const OPEN: &str = "\
local now = redis.call('TIME')
if tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) > tonumber(ARGV[2]) then return {'LATE'} end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return {'FENCED', epoch} end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
return {'OK'}";

/// Closes a zone for every lower epoch; its marks stay. KEYS: the zone. ARGV: epoch.
pub(super) const CLOSE: &str = "\
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) < tonumber(ARGV[1]) then redis.call('HDEL', KEYS[1], 'epoch') end
return {'OK'}";

/// Takes keys of Godwit's own away. KEYS: fence, keys. ARGV: epoch.
pub(super) const SWEEP: &str = "\
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return {'FENCED', epoch or ''} end
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return {'OK'}";

/// Whether a text is Lua at all, and where not. ARGV: the text. Changes nothing.
pub(super) const COMPILE: &str = "\
local works, wrong = loadstring(ARGV[1], '@user_script')
if works then return {'OK'} end
return {'ERROR', wrong}";

/// What the refusal of a call says whose keys are of another type than the script is for.
pub(super) const BEFORE_IT_WROTE: &str = "; nothing was written to the keys of this call";

/// What follows the function `godwit_step(KEYS, ARGV, NAMES)`, on a line of its own.
///
/// KEYS: fence, hash of the done mark, state, then `n` keys, then buckets and further keys.
/// ARGV: 1 epoch, 2 mode (`list`: all keys at once; `batch`: only keys that are there and not marked; `undo`: as `batch`,
/// and the marks are taken away), 3 `n`, 4 number of arguments, 5 and 6 field and value of the done mark, then the
/// arguments, then for each key: bucket (its place in KEYS) and field that say it is done, bucket and field to mark, the
/// name it gets.
const FRAME: &str = "
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return {'FENCED', epoch or ''} end
local mode, n, a = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[6] ~= '' and redis.call('HGET', KEYS[2], ARGV[5]) == ARGV[6] then
  return {'ALREADY', '0', redis.call('HGET', KEYS[3], 'changed') or ''}
end
local args, keys, names, buckets, fields = {}, {}, {}, {}, {}
for i = 1, a do args[i] = ARGV[6 + i] end
local gone = {}
for i = 1, n do
  local key, at = KEYS[3 + i], 6 + a + 5 * (i - 1)
  local skip, mark = ARGV[at + 1], ARGV[at + 3]
  local wanted = mode == 'list' or redis.call('EXISTS', key) == 1
  if wanted and skip ~= '' and redis.call('HEXISTS', KEYS[tonumber(skip)], ARGV[at + 2]) == 1 then wanted = false end
  if wanted then
    local m = #keys + 1
    keys[m], names[m], buckets[m], fields[m] = key, ARGV[at + 5], mark, ARGV[at + 4]
  elseif mode == 'undo' then
    gone[#gone + 1] = i
  end
end
local changed, count, result, touched = 0, #keys, nil, nil
for i = 1, godwit_type and count or 0 do
  local kind = redis.call('TYPE', keys[i]).ok
  if kind ~= godwit_type and kind ~= 'none' then
    return {'ERROR', 'WRONGTYPE `' .. keys[i] .. '` is a ' .. kind .. ', and each command of the script is for a ' .. godwit_type .. '; nothing was written to the keys of this call', ''}
  end
end
if count > 0 or mode == 'list' then
  local works, place
  works, result, touched = xpcall(
    function() return godwit_step(keys, args, names) end,
    function(wrong)
      -- A command's error does not say where it was called; the caller of the command is the first that has a line.
      -- What guards a script stands on its first line, between the two.
      local guarded = godwit_guarded
      for level = 3, 7 do
        local _, at = pcall(error, '', level)
        local line = tonumber(string.match(tostring(at), 'user_script:(%d+)'))
        if line and guarded and line == 1 then
          guarded = false
        elseif line then
          if line <= godwit_lines then place = line end
          break
        end
      end
      return wrong
    end
  )
  -- Behind a guard a call takes the place of its function; what the server says begins with a code.
  if not works and not place and godwit_guarded then
    local said = type(result) == 'table' and result.err or result
    if string.match(tostring(said), '^-?%u+ ') then place = godwit_last end
  end
  local wrong = nil
  if not works then wrong = result elseif type(result) == 'table' and result.err then wrong = result end
  if type(wrong) == 'table' then
    return {'ERROR', tostring(wrong.err), tostring(wrong.line or place or '')}
  elseif wrong ~= nil then
    return {'ERROR', tostring(wrong), tostring(place or '')}
  end
  if type(result) == 'number' then changed = math.floor(result) end
  for i = 1, count do
    if buckets[i] ~= '' and (touched == nil or type(touched) ~= 'table' or touched[i]) then
      if mode == 'undo' then
        redis.call('HDEL', KEYS[tonumber(buckets[i])], fields[i])
      else
        redis.call('HSET', KEYS[tonumber(buckets[i])], fields[i], '')
      end
    end
  end
end
for _, i in ipairs(gone) do
  local at = 6 + a + 5 * (i - 1)
  redis.call('HDEL', KEYS[tonumber(ARGV[at + 3])], ARGV[at + 4])
end
changed = string.format('%d', changed)
if mode == 'batch' and count > 0 then
  redis.call('HINCRBY', KEYS[3], 'changed', changed)
  redis.call('HINCRBY', KEYS[3], 'seen', count)
end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[5], ARGV[6])
  if KEYS[3] == KEYS[2] then redis.call('HSET', KEYS[3], 'changed', changed) end
end
return {'OK', tostring(count), changed}";

/// A migration's own script as a step. It stands on the first line, so that the lines of its errors are its own.
/// It must have been compiled alone before: then it cannot end the function that it becomes. Where all its commands are for
/// one type, the types of its keys are looked at before it writes; where a command's name is made up while it runs, it is
/// looked at then.
pub(super) fn of_script(text: &str) -> Lua {
    let lines = text.lines().count();
    let guarded = !is_plain(text);
    let guard = if guarded { guard(text) } else { String::new() };
    let wanted = one_type(text).map_or("nil".to_owned(), |kind| format!("'{kind}'"));
    let last = last_call(text).map_or("nil".to_owned(), |line| line.to_string());
    Lua::new(format!(
        "local function godwit_step(KEYS, ARGV) {guard}{text}\nend\nlocal godwit_lines, godwit_type = {lines}, {wanted} local godwit_guarded, godwit_last = {guarded}, {last}{FRAME}"
    ))
}

fn built_in(body: &str) -> Lua {
    Lua::new(format!(
        "local function godwit_step(KEYS, ARGV, NAMES)\n{body}\nend\nlocal godwit_lines, godwit_type = 0, nil local godwit_guarded, godwit_last = false, nil{FRAME}"
    ))
}

/// Sets lifetimes. ARGV: seconds, `1` for keys without one only.
pub(super) fn set_ttl() -> Lua {
    built_in(
        "local changed, touched = 0, {}
for i, key in ipairs(KEYS) do
  if ARGV[2] ~= '1' or redis.call('PTTL', key) == -1 then
    if redis.call('EXPIRE', key, ARGV[1]) == 1 then changed, touched[i] = changed + 1, true end
  end
end
return changed, touched",
    )
}

/// Takes lifetimes away.
pub(super) fn persist() -> Lua {
    built_in(
        "local changed = 0
for _, key in ipairs(KEYS) do changed = changed + redis.call('PERSIST', key) end
return changed",
    )
}

/// Deletes keys.
pub(super) fn unlink() -> Lua {
    built_in(
        "local changed = 0
for _, key in ipairs(KEYS) do changed = changed + redis.call('UNLINK', key) end
return changed",
    )
}

/// Gives keys the names beside them: all or none. Lifetime, type and encoding stay.
pub(super) fn rename() -> Lua {
    built_in(
        "local touched, changed = {}, 0
for i, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 and redis.call('EXISTS', NAMES[i]) == 1 then
    return redis.error_reply('BUSYKEY `' .. key .. '` cannot be renamed: `' .. NAMES[i] .. '` exists')
  end
end
for i, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('RENAMENX', key, NAMES[i])
    changed, touched[i] = changed + 1, true
  end
end
return changed, touched",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_keeps_its_lines() {
        let lua = of_script("local a = 1 -- one\nreturn a -- two");
        assert!(
            lua.code.starts_with("local function godwit_step(KEYS, ARGV) local a = 1 -- one\nreturn a -- two\nend\n")
        );
        assert_eq!(lua.hash.len(), 40);
        assert!(FRAME.contains(BEFORE_IT_WROTE));
    }
}
