-- What all loads share: ending after a number of requests, and one line of JSON with the figures.
local ffi = require("ffi")
ffi.cdef [[
typedef struct { long seconds; long nanoseconds; } bench_time;
int clock_gettime(int clock, bench_time *time);
int getpid(void);
int kill(int process, int signal);
]]
local MONOTONIC, SIGINT = 1, 2

local report = { stamp = "%012d", limit = 0, sent = 0, first = 0 }

-- Stamps of different runs differ: what one run sent is never a repetition for the next.
function report.begin(args)
  report.limit = tonumber(args[1])
  report.first = tonumber(args[2]) * 1000000
end

function report.next_stamp()
  report.sent = report.sent + 1
  if report.sent == report.limit then
    wrk.thread:stop()
    ffi.C.kill(ffi.C.getpid(), SIGINT) -- wrk's main thread sleeps until its time is over; this wakes it
  end
  return string.format(report.stamp, report.first + report.sent)
end

function report.head(length_format)
  return "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port
    .. "\r\nAuthorization: Bearer bench-key-that-is-no-key\r\nContent-Type: application/json\r\nAccept: application/json"
    .. "\r\nUser-Agent: bench/1\r\nContent-Length: " .. length_format .. "\r\n\r\n"
end

function done(summary, latency, requests)
  local now = ffi.new("bench_time")
  ffi.C.clock_gettime(MONOTONIC, now)
  local errors = summary.errors
  io.write(string.format(
    '\nBENCH {"requests":%d,"duration_us":%d,"ended_ns":%d%09d,"p50_us":%d,"p99_us":%d,"max_us":%d,"bytes":%d,'
      .. '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, tonumber(now.seconds), tonumber(now.nanoseconds),
    latency:percentile(50), latency:percentile(99), latency.max, summary.bytes,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end

return report
