-- One body with one stamp in it, a new number each time.
local report = dofile(os.getenv("BENCH_LUA") .. "/report.lua")
local before, after

function init(args)
  report.begin(args)
  local file = assert(io.open(args[3], "rb"))
  local body = file:read("*a")
  file:close()
  local from, to = body:find(string.rep("@", 12), 1, true)
  before = string.format(report.head("%d"), #body) .. body:sub(1, from - 1)
  after = body:sub(to + 1)
end

function request()
  return before .. report.next_stamp() .. after
end
