-- The ledger of ledger.py in Redis: one script call is one atomic step, so that any number of
-- front instances share it. KEYS: state (hash), orders (hash of JSON), due (ids by expiry).
-- ARGV: the operation and its arguments. Answers are JSON.

local SWEEP_MAX = 500 -- orders that one call expires; the next call goes on

local state, orders, due = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local function count(name)
  return tonumber(redis.call('HGET', state, name) or '0')
end

local function outcome(code, order, replay)
  return cjson.encode({code = code, order = order or cjson.null, replay = replay or false})
end

local function find(id)
  local text = redis.call('HGET', orders, id)
  return text and cjson.decode(text)
end

local function save(order)
  redis.call('HSET', orders, order.id, cjson.encode(order))
end

local function give_back(order, how)
  order.state = how
  save(order)
  redis.call('ZREM', due, order.id)
  redis.call('HINCRBY', state, 'reserved', -order.quantity)
  redis.call('HINCRBY', state, 'available', order.quantity)
end

local function expire()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now_ms, 'LIMIT', 0, SWEEP_MAX)) do
    local order = find(id)
    if order then give_back(order, 'expired') else redis.call('ZREM', due, id) end
  end
end

local function item()
  return {
    open = redis.call('HGET', state, 'open') == '1',
    epoch = redis.call('HGET', state, 'epoch') or '',
    total = count('total'),
    available = count('available'),
    reserved = count('reserved'),
    sold = count('sold'),
  }
end

local operations = {}

function operations.open(stock, epoch, salt)
  if redis.call('HGET', state, 'open') == '1' then return outcome('already_open') end
  redis.call('DEL', state, orders, due)
  redis.call('HSET', state, 'open', 1, 'epoch', epoch, 'salt', salt,
    'total', stock, 'available', stock, 'reserved', 0, 'sold', 0)
  return outcome('opened')
end

function operations.close()
  redis.call('HSET', state, 'open', 0)
  return outcome('closed')
end

function operations.reserve(key, quantity, window_ms)
  quantity = tonumber(quantity)
  local id = redis.sha1hex((redis.call('HGET', state, 'salt') or '') .. '|' .. key)
  local order = find(id)
  if order and order.quantity ~= quantity then return outcome('key_reused', order) end
  if order then return outcome(order.state, order, true) end
  if redis.call('HGET', state, 'open') ~= '1' then return outcome('closed') end
  if quantity > count('available') then return outcome('sold_out') end
  order = {id = id, key = key, quantity = quantity, state = 'reserved',
    expires_ms = now_ms + tonumber(window_ms)}
  save(order)
  redis.call('ZADD', due, order.expires_ms, id)
  redis.call('HINCRBY', state, 'available', -quantity)
  redis.call('HINCRBY', state, 'reserved', quantity)
  return outcome('reserved', order)
end

function operations.pay(id)
  local order = find(id)
  if not order then return outcome('unknown') end
  if order.state ~= 'reserved' then return outcome(order.state, order, order.state == 'paid') end
  if order.expires_ms <= now_ms then
    give_back(order, 'expired')
    return outcome('expired', order)
  end
  order.state = 'paid'
  save(order)
  redis.call('ZREM', due, id)
  redis.call('HINCRBY', state, 'reserved', -order.quantity)
  redis.call('HINCRBY', state, 'sold', order.quantity)
  return outcome('paid', order)
end

function operations.cancel(id)
  local order = find(id)
  if not order then return outcome('unknown') end
  if order.state ~= 'reserved' then
    return outcome(order.state, order, order.state == 'cancelled')
  end
  give_back(order, 'cancelled')
  return outcome('cancelled', order)
end

function operations.item()
  return cjson.encode(item())
end

function operations.books()
  local all = {}
  for _, text in ipairs(redis.call('HVALS', orders)) do
    local order = cjson.decode(text)
    all[#all + 1] = {order.key, order.quantity, order.state}
  end
  return cjson.encode({item = item(), orders = all}) -- an empty table becomes {}
end

expire()
return operations[ARGV[1]](unpack(ARGV, 2))
