-- Agents: each request repeats its conversation's history, byte for byte as it was sent before, and adds a turn.
--
-- The generator must not be what is measured. A new Lua string of 190 KB for each request costs more in page faults
-- than nginx spends on relaying it, so each conversation is ONE Lua string for the whole run, changed in place: LuaJIT
-- keeps a string's length in the four bytes before its first character (checked below), and wrk copies what we return.
local report = dofile(os.getenv("BENCH_LUA") .. "/report.lua")
local ffi = require("ffi")
ffi.cdef [[
void *memcpy(void *to, const void *from, size_t size);
]]
local conversations, tail, head_size
local current = 0

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end

local function bytes_of(text)
  return ffi.cast("char *", ffi.cast("intptr_t", ffi.cast("const char *", text)))
end

local function length_of(bytes, expected)
  local length = ffi.cast("uint32_t *", bytes) - 1
  assert(length[0] == expected, "this LuaJIT keeps the length of a string elsewhere: the agents' load cannot be made")
  return length
end

-- As coding agents do, each conversation names its session.
local function head_of(number)
  local name = string.format("\r\nx-session-id: bench-agent-%03d\r\nContent-Length", number)
  local head = report.head("%8d"):gsub("\r\nContent%-Length", name)
  return head
end

function init(args)
  report.begin(args)
  local made = dofile(args[3] .. "/manifest.lua")
  tail = made.tail
  head_size = #string.format(head_of(1), 1)
  conversations = made.conversations
  for number, conversation in ipairs(conversations) do
    conversation.head = head_of(number)
    conversation.source = read(args[3] .. "/" .. conversation.file)
    conversation.original = ffi.cast("const char *", conversation.source)
    conversation.request = string.rep(" ", head_size - 8) .. string.format("%8d", number) .. conversation.source .. tail
    conversation.start = bytes_of(conversation.request)
    conversation.length = length_of(conversation.start, #conversation.request)
    -- They stand at different points of their lives, as agents do.
    conversation.turn = math.floor((number - 1) * #conversation.turns / #conversations)
  end
end

function request()
  current = current % #conversations + 1
  local conversation = conversations[current]
  local turn = conversation.turn % #conversation.turns + 1
  conversation.turn = turn
  local from = turn == 1 and 0 or conversation.turns[turn - 1].till
  local till = conversation.turns[turn].till
  local body = conversation.start + head_size
  -- The tail of the previous request lies where this turn begins.
  ffi.C.memcpy(body + from, conversation.original + from, till - from)
  local stamp = report.next_stamp()
  for _, at in ipairs(conversation.turns[turn].stamps) do
    ffi.C.memcpy(body + at, stamp, #stamp)
  end
  ffi.C.memcpy(body + till, tail, #tail)
  ffi.C.memcpy(conversation.start, string.format(conversation.head, till + #tail), head_size)
  conversation.length[0] = head_size + till + #tail
  return conversation.request
end
