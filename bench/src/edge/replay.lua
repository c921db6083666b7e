-- wrk: whole requests from a file, one after the other and again from the beginning. Each stands behind its length in
-- bytes, in eight digits. The file's name is the first argument.
local pool, at = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read(8)
    if not length then break end
    pool[#pool + 1] = file:read(tonumber(length))
  end
  file:close()
end

function request()
  at = at % #pool + 1
  return pool[at]
end
