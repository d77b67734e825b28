-- wrk posts the same signed body with a fresh delivery id each time, so that every request is a new delivery.
local file = io.open(os.getenv("BODY"), "rb")
local body = file:read("*a")
file:close()
local count = 0
local prefix = os.getenv("RUN")
local headers = {
  ["Content-Type"] = "application/json", ["User-Agent"] = "GitHub-Hookshot/bench",
  ["X-GitHub-Event"] = "pull_request", ["X-Hub-Signature-256"] = "sha256=" .. os.getenv("SIGNATURE"),
}
function request()
  count = count + 1
  headers["X-GitHub-Delivery"] = string.format("%s-0000-4000-8000-%012x", prefix, count)
  return wrk.format("POST", nil, headers, body)
end
