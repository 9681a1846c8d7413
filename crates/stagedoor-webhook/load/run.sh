#!/bin/sh
# Puts a load on `stagedoor serve kubernetes` over loopback TLS with keep-alive, and prints what
# came of it: requests per second and latencies as `wrk` sees them, the server's own time per
# request by its histogram, failed requests, reloads, and the memory of the server.
#
#     load/run.sh STAGEDOOR POLICIES SECONDS CONNECTIONS [changes]
#
# STAGEDOOR is the command, built with --release. With `changes` the policies and the server's
# certificate are replaced every five seconds while the load goes on. Needs wrk, openssl, curl.
set -eu
stagedoor=$1 policies=$2 seconds=$3 connections=$4 changes=${5:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/policies"

policies() { # GENERATION: grants shaped like bindings; each generation differs in one policy
    awk -v count="$policies" -v generation="$1" 'BEGIN {
        for (n = 0; n < count; n++)
            printf "@id(\"grant-%d\") permit(principal in k8s::Group::\"team-%d\", " \
                "action in k8s::Action::\"readOnly\", resource is k8s::Resource) when { " \
                "resource.apiGroup == \"apps\" && resource.resource == \"deployments\" && " \
                "resource has namespace && resource.namespace == \"ns-%d\" };\n", n, n, n % 100
        printf "@id(\"generation-%s\") forbid(principal, action, resource is k8s::Resource) " \
            "when { resource.resource == \"secrets\" };\n", generation
    }' > "$work/.new" && mv "$work/.new" "$work/policies/grants.cedar"
}

certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$work/key.new" -out "$work/crt.new" 2>/dev/null
    mv "$work/key.new" "$work/tls.key" && mv "$work/crt.new" "$work/tls.crt"
}

rss() { awk '/^VmRSS:/ { printf "%d", $2 / 1024 }' "/proc/$server/status"; }

policies 0
certificate
"$stagedoor" serve kubernetes --policies "$work/policies" --tls-cert "$work/tls.crt" \
    --tls-key "$work/tls.key" --listen 127.0.0.1:0 --log-format json 2> "$work/log" &
server=$!
address=
while [ -z "$address" ]; do
    kill -0 "$server"
    address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$work/log" | head -n 1)
done
begun=$(date +%s%N)
until curl -skf "https://$address/readyz" > /dev/null; do kill -0 "$server"; done
echo "policies: $policies, loaded in $((($(date +%s%N) - begun) / 1000000)) ms; connections: $connections"

POLICIES=$policies wrk -t 2 -c "$connections" -d 5s -s "$here/review.lua" "https://$address" > /dev/null
echo "memory of the server after 5 s of load: $(rss) MiB"
POLICIES=$policies wrk -t 2 -c "$connections" -d "${seconds}s" --latency -s "$here/review.lua" \
    "https://$address" > "$work/wrk" &
load=$!
generation=0
while [ -n "$changes" ] && kill -0 "$load" 2>/dev/null; do
    sleep 5
    generation=$((generation + 1))
    policies "$generation"
    certificate
done
wait "$load"
grep -E '^ +(50|75|90|99)%|Requests/sec|requests in|errors|Non-2xx|answers' "$work/wrk"
echo "memory of the server at the end: $(rss) MiB"
curl -sk "https://$address/metrics" > "$work/metrics"
grep -E 'decision_duration_seconds_(bucket|count).*authorize|reloads_total|reload_failed|refusals_total|evaluation_errors' "$work/metrics"
kill -TERM "$server"
wait "$server"
server=
