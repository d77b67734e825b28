local changed = 0
for _, key in ipairs(KEYS) do
  changed = changed + redis.call('PERSIST', key)
end
return changed
