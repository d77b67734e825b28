-- Carts live for ever again, those that had an end before the migration too.
local changed = 0
for _, key in ipairs(KEYS) do
  changed = changed + redis.call('PERSIST', key)
end
return changed
