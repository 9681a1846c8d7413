-- Reviews of many subjects; every second one is about what a policy permits.
local policies = tonumber(os.getenv("POLICIES"))
local headers = { ["content-type"] = "application/json" }
local threads = {}

function setup(thread)
    thread:set("seed", #threads + 1)
    table.insert(threads, thread)
end

function init()
    math.randomseed(seed)
    wrong, sent, expected = 0, 0, {}
end

function request()
    local team = math.random(0, policies - 1)
    local namespace = math.random(0, 1) == 0 and "elsewhere" or ("ns-" .. team % 100)
    local body = string.format(
        '{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{' ..
        '"user":"user-%d","groups":["team-%d","system:authenticated"],' ..
        '"resourceAttributes":{"verb":"list","group":"apps","version":"v1",' ..
        '"resource":"deployments","namespace":"%s"}}}', team, team, namespace)
    return wrk.format("POST", "/authorize", headers, body)
end

function response(status, _, body)
    -- An answer is of one kind or the other; a permit names the grant.
    local allowed = body:find('"allowed":true', 1, true) ~= nil
    local by = body:find("allowed by `grant-", 1, true) ~= nil
    if status ~= 200 or allowed ~= by then wrong = wrong + 1 end
    sent = sent + 1
end

function done()
    local all, bad = 0, 0
    for _, thread in ipairs(threads) do
        all = all + thread:get("sent")
        bad = bad + thread:get("wrong")
    end
    io.write(string.format("answers: %d, wrong: %d\n", all, bad))
end
