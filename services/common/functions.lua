#!lua name=messplus

-- Appends a router's events to the log and advances step and debt of their classes, all at once.
-- A router numbers its batches from 1 and has one under way; a batch that it sends again because the
-- first reply was lost is not executed again.
-- KEYS: events, number of the router's last batch, then one class key per distinct class, then one
--       key per entry: `failures` of its request for what tells of a failure, `decided` for all others.
-- ARGV: seconds that these keys live, number of class keys, number of this batch, the step that the
--       first class must stand at ('' for any); then for every entry four values: kind, 1-based class
--       number, change of the debt, serialised event. Kinds: "decision", "decision_once" (skipped where
--       the request id was decided before), "redecision", "outcome".
-- Returns for every entry {position, step, debt}; nil where the expected step was not met.
local BATCH_SECONDS = 604800

-- What a batch that was executed before had returned, as far as it is still known.
local function executed(keys, args, state)
  local reply, entry, classes = {}, 0, #state
  for i = 5, #args, 4 do
    entry = entry + 1
    local class = state[tonumber(args[i + 1])]
    local position, step = nil, class.step
    if string.sub(args[i], 1, 8) == 'decision' then position = redis.call('GET', keys[2 + classes + entry]) end
    if position then
      local found = redis.call('XRANGE', keys[1], position, position)
      if found[1] then step = tonumber(found[1][2][6]) end
    end
    reply[entry] = {position or '', step, string.format('%.17g', class.debt)}
  end
  return reply
end

local function append(keys, args, i, class, own)
  local kind, event = args[i], args[i + 3]
  if kind == 'decision_once' then
    local position = redis.call('GET', own)
    if position then return position end
    kind = 'decision'
  end
  class.debt = class.debt + tonumber(args[i + 2])
  if kind ~= 'decision' then
    local position = redis.call('XADD', keys[1], '*', 'type', kind, 'data', event)
    if string.find(own, '}:failures:', 1, true) then
      redis.call('RPUSH', own, position)
      redis.call('EXPIRE', own, args[1])
    end
    return position
  end
  class.step = class.step + 1
  local position = redis.call('XADD', keys[1], '*', 'type', kind, 'data', event, 'step', class.step)
  redis.call('SET', own, position, 'EX', args[1])
  return position
end

local function commit(keys, args)
  local classes, batch, state = tonumber(args[2]), tonumber(args[3]), {}
  for c = 1, classes do
    local seen = redis.call('HMGET', keys[2 + c], 'step', 'debt')
    state[c] = {step = tonumber(seen[1] or '0'), debt = tonumber(seen[2] or '0')}
  end
  if batch <= tonumber(redis.call('GET', keys[2]) or '0') then return executed(keys, args, state) end
  if args[4] ~= '' and tonumber(args[4]) ~= state[1].step then return nil end
  local reply, entry = {}, 0
  for i = 5, #args, 4 do
    entry = entry + 1
    local class = state[tonumber(args[i + 1])]
    local position = append(keys, args, i, class, keys[2 + classes + entry])
    reply[entry] = {position, class.step, string.format('%.17g', class.debt)}
  end
  for c = 1, classes do
    redis.call('HSET', keys[2 + c], 'step', state[c].step, 'debt', string.format('%.17g', state[c].debt))
  end
  redis.call('SET', keys[2], batch, 'EX', BATCH_SECONDS)
  return reply
end

-- Takes or renews the learner's lease. KEYS: lease, learner. ARGV: owner, milliseconds to live.
-- Returns the fencing token of the owner, or nil while somebody else holds the lease.
local function acquire(keys, args)
  local owner = redis.call('GET', keys[1])
  if owner and owner ~= args[1] then return nil end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  if owner then return tonumber(redis.call('HGET', keys[2], 'fence')) end
  return redis.call('HINCRBY', keys[2], 'fence', 1)
end

-- Gives the lease back, so that another learner need not wait for its end. KEYS: lease. ARGV: owner.
local function release(keys, args)
  if redis.call('GET', keys[1]) == args[1] then return redis.call('DEL', keys[1]) end
  return 0
end

-- Writes learned state together with the log position that it covers, if the fence is still the newest.
-- KEYS: learner, joins, dead. ARGV: fence, number of learner fields F, number of joins set J, number of
-- joins deleted K, number of dead entries N; then F pairs, J pairs, K ids, N triples (position, reason, data).
local function checkpoint(keys, args)
  if redis.call('HGET', keys[1], 'fence') ~= args[1] then
    return redis.error_reply('FENCED a newer learner holds the lease')
  end
  local fields, set, del, dead = tonumber(args[2]), tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local i = 6
  for _ = 1, fields do redis.call('HSET', keys[1], args[i], args[i + 1]); i = i + 2 end
  for _ = 1, set do redis.call('HSET', keys[2], args[i], args[i + 1]); i = i + 2 end
  for _ = 1, del do redis.call('HDEL', keys[2], args[i]); i = i + 1 end
  for _ = 1, dead do
    redis.call('XADD', keys[3], 'MAXLEN', '~', 10000, '*', 'position', args[i], 'reason', args[i + 1], 'data', args[i + 2])
    i = i + 3
  end
  return 'OK'
end

-- Appends events of one type to the log. KEYS: events. ARGV: type, then serialised events.
-- Returns their positions. An error leaves the events before it in the log: appending again must be harmless.
local function append_all(keys, args)
  local positions = {}
  for i = 2, #args do
    positions[i - 1] = redis.call('XADD', keys[1], '*', 'type', args[1], 'data', args[i])
  end
  return positions
end

redis.register_function('messplus_append', append_all)
redis.register_function('messplus_commit', commit)
-- Also where memory is short: only a learner that holds the lease and moves on trims the log.
redis.register_function{function_name = 'messplus_acquire', callback = acquire, flags = {'allow-oom'}}
redis.register_function{function_name = 'messplus_release', callback = release, flags = {'allow-oom'}}
redis.register_function{function_name = 'messplus_checkpoint', callback = checkpoint, flags = {'allow-oom'}}
