
-- What comes of it, a line each: `name value`.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("replies %d\n", summary.requests - errors.status))
  io.write(string.format("refused %d\n", errors.status))
  io.write(string.format("broken %d\n", errors.connect + errors.read + errors.write + errors.timeout))
  io.write(string.format("seconds %.6f\n", summary.duration / 1e6))
  io.write(string.format("p50 %.3f\n", latency:percentile(50) / 1000))
  io.write(string.format("p99 %.3f\n", latency:percentile(99) / 1000))
end
