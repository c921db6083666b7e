-- wrk: POST /track/click with 300 bytes of JSON, from a pool of 10,000 requests that differ in link, user agent
-- and visitor's address.
local LINKS = 10000
local pool, at = {}, 0
local systems = {
  "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64",
  "iPhone; CPU iPhone OS 18_5 like Mac OS X", "Linux; Android 15; Pixel 9"
}

function init(args)
  math.randomseed(42)
  for k = 1, LINKS do
    local system = systems[(k % #systems) + 1]
    local agent = string.format("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.%d Safari/537.36",
      system, 100 + k % 40, 1000 + k, math.random(0, 255))
    local ip = string.format("%d.%d.%d.%d", 11 + k % 80, math.random(0, 255), math.random(0, 255), math.random(1, 254))
    local head = string.format('{"domain":"go.bench.test","key":"l%05d","referrer":"https://ref%02d.example/page",', k - 1, k % 50)
      .. string.format('"url":"https://shop%03d.example/p/%06d?utm_source=s%02d&x=', k % 500, k, k % 20)
    local body = head .. string.rep("x", 300 - #head - 2) .. '"}'
    pool[k] = wrk.format("POST", "/track/click", {
      ["Content-Type"] = "application/json", ["User-Agent"] = agent, ["X-Forwarded-For"] = ip
    }, body)
  end
end

function request()
  at = at % LINKS + 1
  return pool[at]
end
