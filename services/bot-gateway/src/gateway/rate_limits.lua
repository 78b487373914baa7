-- Exact sliding windows, all or nothing. KEYS: one sorted set per limit. ARGV: now in ms, the member, then for each
-- limit how many and in how many ms. Gives {0, 0}, or the number of the first limit that is full and the ms to wait.
-- A member that was taken before is not counted again.
local now, member = tonumber(ARGV[1]), ARGV[2]
for i, key in ipairs(KEYS) do
    local most, window = tonumber(ARGV[1 + 2 * i]), tonumber(ARGV[2 + 2 * i])
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
    if not redis.call('ZSCORE', key, member) and redis.call('ZCARD', key) >= most then
        local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
        return {i, math.max(1, tonumber(oldest[2]) + window - now)}
    end
end
for i, key in ipairs(KEYS) do
    redis.call('ZADD', key, 'NX', now, member)
    redis.call('PEXPIRE', key, ARGV[2 + 2 * i])
end
return {0, 0}
