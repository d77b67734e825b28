local changed = 0
for _, key in ipairs(KEYS) do
  if redis.call('TTL', key) == -1 then
    redis.call('EXPIRE', key, tonumber(ARGV[1]))
    changed = changed + 1
  end
end
return changed
