-- The functions behind the ports. Redis runs a script alone, so each call is one step in one serial order.
--
-- ARGV is the name of a function and its arguments. A list is its length and its items; an optional value is empty, or
-- '+' and the value. Each function reads and checks first and writes last, since a script that fails half-way is not
-- undone.
--
-- The keys, all behind the prefix in KEYS[1]:
--   entry       hash: key -> version (16 bytes), time of expiry (a big-endian double), value
--   index       sorted set of all keys, by bytes
--   expiry      sorted set of the keys that expire, by time
--   message     hash: position in the queue -> the message (MessagePack)
--   heads:LANE  sorted set of the messages that can be leased, by due time, or by the end of their lease: those without
--               group, and the first of each group
--   behind:LANE sorted set of the messages behind the first of their group, by due time
--   leased:LANE sorted set of the leased messages, by the end of their lease
--   group:GROUP sorted set of the messages of a group, by position
--   dedup       hash: lane and dedup -> the waiting message
--   sequence    the last position
--   format      the number of this format

local prefix, at = KEYS[1], 1

local function take()
    at = at + 1
    return ARGV[at]
end

local function take_list()
    local items = {}
    for i = 1, tonumber(take()) do
        items[i] = take()
    end
    return items
end

local function optional(text)
    return text ~= '' and string.sub(text, 2)
end

local function as_optional(value)
    return value and '+' .. value or ''
end

-- Return the time: the server's, or that of a test.
local function take_now()
    local test_now = optional(take())
    if test_now then
        return tonumber(test_now)
    end
    local time = redis.call('TIME')
    return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function exact(number)
    return string.format('%.17g', number)
end

-- Name a lane and a label. The length keeps pairs apart.
local function pair(lane, label)
    return string.format('%d:', #lane) .. lane .. label
end

-- Entries -----------------------------------------------------------------------------------------------------------

-- Return the version and the value of a packed entry, or nil if it has expired or is not there.
local function live(packed, now)
    if packed and struct.unpack('>d', packed, 17) > now then
        return string.sub(packed, 1, 16), string.sub(packed, 25)
    end
end

local function read(key, now)
    return live(redis.call('HGET', prefix .. 'entry', key), now)
end

local function put(key, version, value, expires)
    redis.call('HSET', prefix .. 'entry', key, version .. struct.pack('>d', expires or math.huge) .. value)
    redis.call('ZADD', prefix .. 'index', 0, key)
    if expires then
        redis.call('ZADD', prefix .. 'expiry', expires, key)
    else
        redis.call('ZREM', prefix .. 'expiry', key)
    end
end

local function delete(key)
    redis.call('HDEL', prefix .. 'entry', key)
    redis.call('ZREM', prefix .. 'index', key)
    redis.call('ZREM', prefix .. 'expiry', key)
end

-- Return the sum of two decimals, or nil if the first is none or the sum exceeds 64 bits.
local function add(value, delta)
    local sign, digits = string.match(value, '^(%-?)(%d+)$')
    if not digits or #digits > 19 then
        return nil
    end
    digits = string.match(digits, '^0*(%d+)$')
    value = digits == '0' and digits or sign .. digits
    if #value < 15 and #delta < 15 then
        return string.format('%.0f', tonumber(value) + tonumber(delta)) -- exact in a double
    end
    local scratch = prefix .. 'scratch'
    redis.call('SET', scratch, value)
    local answer = redis.pcall('INCRBY', scratch, delta)
    local sum = redis.call('GET', scratch)
    redis.call('DEL', scratch)
    if type(answer) == 'table' and answer.err then
        return nil
    end
    return sum
end

-- Messages ----------------------------------------------------------------------------------------------------------

local function load(position)
    local packed = redis.call('HGET', prefix .. 'message', position)
    return packed and cmsgpack.unpack(packed)
end

local function save(position, message)
    redis.call('HSET', prefix .. 'message', position, cmsgpack.pack(message))
end

local function place(position, message)
    redis.call('ZADD', prefix .. (message.head and 'heads:' or 'behind:') .. message.lane, message.due, position)
end

-- Make the first message of a group its head.
local function promote(lane, group)
    local first = redis.call('ZRANGE', prefix .. 'group:' .. pair(lane, group), 0, 0)[1]
    local message = first and load(first)
    if message and not message.head then
        message.head = true
        save(first, message)
        redis.call('ZREM', prefix .. 'behind:' .. lane, first)
        place(first, message)
    end
end

local function remove(position, message)
    redis.call('HDEL', prefix .. 'message', position)
    redis.call('ZREM', prefix .. (message.head and 'heads:' or 'behind:') .. message.lane, position)
    if message.leased then
        redis.call('ZREM', prefix .. 'leased:' .. message.lane, position)
    elseif message.dedup then
        redis.call('HDEL', prefix .. 'dedup', pair(message.lane, message.dedup))
    end
    if message.group then
        redis.call('ZREM', prefix .. 'group:' .. pair(message.lane, message.group), position)
        promote(message.lane, message.group)
    end
end

local function wake()
    redis.call('PUBLISH', prefix .. 'wake', '')
end

local function take_messages()
    local messages = {}
    for i = 1, tonumber(take()) do
        messages[i] = {
            id = take(), lane = take(), group = optional(take()), dedup = optional(take()),
            delay_s = tonumber(take()), body = take(), attempt = 0, leased = false, token = false,
        }
    end
    return messages
end

local function add_messages(messages, now)
    for _, message in ipairs(messages) do
        message.due = now + message.delay_s
        local label = message.dedup and pair(message.lane, message.dedup)
        local waiting = label and redis.call('HGET', prefix .. 'dedup', label)
        if waiting then
            local other = load(waiting)
            if message.due < other.due then
                other.due = message.due
                save(waiting, other)
                place(waiting, other)
            end
        else
            local number = redis.call('INCR', prefix .. 'sequence')
            local position = string.format('%016.0f', number)
            message.head = true
            if message.group then
                local group = prefix .. 'group:' .. pair(message.lane, message.group)
                message.head = redis.call('ZCARD', group) == 0
                redis.call('ZADD', group, number, position)
            end
            if label then
                redis.call('HSET', prefix .. 'dedup', label, position)
            end
            save(position, message)
            place(position, message)
        end
    end
    if #messages > 0 then
        wake()
    end
end

-- Return the position and the message of a lease, or nil if the lease is lost.
local function leased_by(token)
    local high, low = struct.unpack('>HI4', token)
    local position = string.format('%016.0f', high * 4294967296 + low)
    local message = load(position)
    if message and message.token == token then
        return position, message
    end
end

local function take_settlements()
    local settlements = {}
    for i = 1, tonumber(take()) do
        settlements[i] = {token = take(), delay_s = optional(take())}
    end
    return settlements
end

-- End leases, and return the tokens of those that were lost. Without a delay, the message is done.
local function end_leases(settlements, now)
    local lost = {}
    for _, settlement in ipairs(settlements) do
        local position, message = leased_by(settlement.token)
        if not position then
            lost[#lost + 1] = settlement.token
        elseif not settlement.delay_s then
            remove(position, message)
        else
            local due = now + tonumber(settlement.delay_s)
            local label = message.dedup and pair(message.lane, message.dedup)
            local waiting = label and redis.call('HGET', prefix .. 'dedup', label)
            if waiting then
                local newcomer = load(waiting)
                due = math.min(due, newcomer.due)
                remove(waiting, newcomer)
            end
            if label then
                redis.call('HSET', prefix .. 'dedup', label, position)
            end
            redis.call('ZREM', prefix .. 'leased:' .. message.lane, position)
            message.due, message.leased, message.token = due, false, false
            save(position, message)
            place(position, message)
        end
    end
    if #settlements > 0 then
        wake()
    end
    return lost
end

-- The functions -----------------------------------------------------------------------------------------------------

local functions = {}

function functions.get()
    local now, keys, entries = take_now(), take_list(), {}
    for i, packed in ipairs(redis.call('HMGET', prefix .. 'entry', unpack(keys))) do
        local version, value = live(packed, now)
        entries[i] = version and version .. value or false
    end
    return entries
end

function functions.scan()
    local now, low, high, limit, backwards = take_now(), '(' .. take(), '(' .. take(), tonumber(take()), take() == '1'
    local entries = {}
    while #entries < 2 * limit do
        local wanted = limit - #entries / 2
        local keys
        if backwards then
            keys = redis.call('ZREVRANGEBYLEX', prefix .. 'index', high, low, 'LIMIT', 0, wanted)
        else
            keys = redis.call('ZRANGEBYLEX', prefix .. 'index', low, high, 'LIMIT', 0, wanted)
        end
        if #keys == 0 then
            break
        end
        for i, packed in ipairs(redis.call('HMGET', prefix .. 'entry', unpack(keys))) do
            local version, value = live(packed, now)
            if version then
                entries[#entries + 1] = keys[i]
                entries[#entries + 1] = version .. value
            end
        end
        if backwards then
            high = '(' .. keys[#keys]
        else
            low = '(' .. keys[#keys]
        end
    end
    return entries
end

-- Return 0 if a check failed or a lease was lost, 1 if committed, and the number and the value of a counter that
-- cannot be added to.
function functions.commit()
    local now, token, reclaim_max = take_now(), take(), tonumber(take())
    local is_current = true
    for _ = 1, tonumber(take()) do
        local key, wanted = take(), optional(take())
        local version = read(key, now)
        is_current = is_current and (version or false) == wanted
    end
    if not is_current then
        return {0}
    end
    local puts, deletes, sums = {}, nil, {}
    for i = 1, tonumber(take()) do
        puts[i] = {key = take(), value = take(), ttl_s = optional(take())}
    end
    deletes = take_list()
    for i = 1, tonumber(take()) do
        local key, delta = take(), take()
        local _, value = read(key, now)
        local sum = add(value or '0', delta)
        if not sum then
            return {2, i, value or '0'}
        end
        sums[i] = {key = key, sum = sum}
    end
    local messages, settlements = take_messages(), take_settlements()
    for _, settlement in ipairs(settlements) do
        if not leased_by(settlement.token) then
            return {0}
        end
    end
    for _, one in ipairs(puts) do
        put(one.key, token, one.value, one.ttl_s and now + tonumber(one.ttl_s))
    end
    for _, key in ipairs(deletes) do
        delete(key)
    end
    for _, one in ipairs(sums) do
        put(one.key, token, one.sum)
    end
    end_leases(settlements, now)
    add_messages(messages, now)
    local expired = redis.call('ZRANGEBYSCORE', prefix .. 'expiry', '-inf', exact(now), 'LIMIT', 0, reclaim_max)
    for _, key in ipairs(expired) do
        delete(key)
    end
    return {1}
end

function functions.enqueue()
    local now = take_now()
    add_messages(take_messages(), now)
end

-- A token is six bytes of the position, then the ten random bytes of this call.
function functions.lease()
    local now, limit, lease_s, random_part, lanes = take_now(), tonumber(take()), tonumber(take()), take(), take_list()
    local leases = {}
    for number, lane in ipairs(lanes) do
        local positions = redis.call(
            'ZRANGEBYSCORE', prefix .. 'heads:' .. lane, '-inf', exact(now), 'LIMIT', 0, limit - #leases)
        for _, position in ipairs(positions) do
            local message, seq = load(position), tonumber(position)
            if not message.leased and message.dedup then
                redis.call('HDEL', prefix .. 'dedup', pair(lane, message.dedup))
            end
            message.token = struct.pack('>HI4', math.floor(seq / 4294967296), seq % 4294967296) .. random_part
            message.leased, message.attempt, message.due = true, message.attempt + 1, now + lease_s
            save(position, message)
            place(position, message)
            redis.call('ZADD', prefix .. 'leased:' .. lane, message.due, position)
            leases[#leases + 1] = {
                number, message.id, as_optional(message.group), as_optional(message.dedup), exact(message.delay_s),
                message.body, message.token, message.attempt,
            }
        end
        if #leases >= limit then
            break
        end
    end
    return leases
end

function functions.extend()
    local now, lease_s, lost = take_now(), tonumber(take()), {}
    for _, token in ipairs(take_list()) do
        local position, message = leased_by(token)
        if position then
            message.due = now + lease_s
            save(position, message)
            place(position, message)
            redis.call('ZADD', prefix .. 'leased:' .. message.lane, message.due, position)
        else
            lost[#lost + 1] = token
        end
    end
    return lost
end

function functions.settle()
    local now = take_now()
    return end_leases(take_settlements(), now)
end

-- Return the numbers of ready, delayed and leased messages, and the seconds since the first of them became due.
function functions.depth()
    local now, ready, leased, total, oldest = take_now(), 0, 0, 0, nil
    for _, lane in ipairs(take_list()) do
        for _, name in ipairs({'heads:', 'behind:'}) do
            local key = prefix .. name .. lane
            ready = ready + redis.call('ZCOUNT', key, '-inf', exact(now))
            total = total + redis.call('ZCARD', key)
            local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
            if first and tonumber(first) <= now then
                oldest = math.min(oldest or now, tonumber(first))
            end
        end
        leased = leased + redis.call('ZCOUNT', prefix .. 'leased:' .. lane, '(' .. exact(now), '+inf')
    end
    return {ready, total - ready - leased, leased, oldest and exact(now - oldest)}
end

-- Return the seconds until a message of the lanes can be leased; nothing if there is none.
function functions.next_due()
    local now, due = take_now(), nil
    for _, lane in ipairs(take_list()) do
        local first = redis.call('ZRANGE', prefix .. 'heads:' .. lane, 0, 0, 'WITHSCORES')[2]
        if first then
            due = math.min(due or math.huge, tonumber(first))
        end
    end
    return due and exact(due - now)
end

return functions[ARGV[1]]()
