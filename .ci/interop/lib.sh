# Shared by the scripts in this folder: results, child processes, packages, keys, the emulator.
# Source it, then call `begin`. Uses Debian's package manager to install what is missing.
set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin

interop=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$interop/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
packages=$target/interop
project=my-project location=us-central1 registry=my-registry

# -- Results ----------------------------------------------------------------------------------------

# Creates a folder, $folder; at the end it is removed, and every process that `start` has left is ended.
begin() {
    folder=$(mktemp -d)
    chmod 755 "$folder" # mosquitto, started by root, reads it as another user
    declare -gA running=()
    trap finish EXIT
}

finish() {
    local name
    for name in "${!running[@]}"; do stop "$name"; done
    rm -rf "$folder"
}

# check WHAT COMMAND…: prints one line with the time it took; if it fails, prints all logs and exits.
check() {
    local what=$1 begun=${EPOCHREALTIME/./}
    shift
    "$@" || fail "$what"
    local took=$(((${EPOCHREALTIME/./} - begun) / 100000))
    printf '%-16s %-78s ok %3d.%d s\n' "$(basename "$0")" "$what" $((took / 10)) $((took % 10))
}

fail() {
    printf '%-16s %-78s FAILED\n' "$(basename "$0")" "$1"
    local log
    for log in "$folder"/*.log; do
        printf -- '---- %s\n' "$(basename "$log")"
        cat "$log"
    done
    exit 1
}

# -- Processes --------------------------------------------------------------------------------------

# start NAME SECONDS COMMAND…: runs it in the background, for at most SECONDS, with its output in $folder/NAME.log.
start() {
    local name=$1 seconds=$2
    shift 2
    : >"$folder/$name.log"
    timeout --kill-after=2 "$seconds" "$@" <&0 >"$folder/$name.log" 2>&1 &
    running[$name]=$!
}

stop() {
    kill "${running[$1]}" 2>/dev/null || true
    wait "${running[$1]}" 2>/dev/null || true
    unset "running[$1]"
}

# ends NAME: waits for it; returns its exit code.
ends() {
    local pid=${running[$1]}
    unset "running[$1]"
    wait "$pid"
}

# within SECONDS COMMAND…: retries until it succeeds.
within() {
    local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        ((${EPOCHREALTIME/./} < deadline)) || return 1
        sleep 0.05
    done
}

# says NAME REGEX [SECONDS]: whether a line of NAME's output matches, now or within SECONDS (15).
says() { within "${3:-15}" grep -Eq -- "$2" "$folder/$1.log"; }

# counts NAME REGEX NUMBER: whether exactly NUMBER lines of NAME's output match.
counts() { [ "$(grep -Ec -- "$2" "$folder/$1.log")" = "$3" ]; }

listens() { (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# -- Packages ---------------------------------------------------------------------------------------

# need PROGRAM PACKAGE: installs Debian's package unless the program exists.
need() { command -v "$1" >/dev/null || install_debian "$2"; }

install_debian() {
    timeout 300 apt-get update -qq
    timeout 300 apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

# up_to_date FILE WORDS…: whether these packages were installed last.
up_to_date() { [ "$(cat "$1" 2>/dev/null)" = "${*:2}" ]; }

# Installs the JavaScript clients and broker where `require` finds them.
need_node() {
    local wanted=(mqtt@5 jsonwebtoken@9 aedes@0.51) home=$packages/node
    need node nodejs
    need npm npm
    export NODE_PATH=$home/node_modules
    up_to_date "$home/installed" "${wanted[@]}" && return
    mkdir -p "$home"
    echo '{ "private": true }' >"$home/package.json"
    timeout 300 npm install --prefix "$home" --no-audit --no-fund --loglevel=error "${wanted[@]}" >/dev/null
    echo "${wanted[*]}" >"$home/installed"
}

# Installs the libraries of the Python client, for $python.
need_python() {
    local wanted=('paho-mqtt<2' 'PyJWT' 'cryptography') home=$packages/python
    need python3 python3
    python=$home/bin/python
    up_to_date "$home/installed" "${wanted[@]}" && return
    python3 -c 'import ensurepip' 2>/dev/null || install_debian python3-venv
    python3 -m venv --clear "$home"
    timeout 300 "$python" -m pip install --quiet --disable-pip-version-check "${wanted[@]}"
    echo "${wanted[*]}" >"$home/installed"
}

# -- Keys and certificates --------------------------------------------------------------------------

# make_key NAME RS256|ES256: creates $folder/NAME.pem and, for the registry, $folder/NAME_public.pem.
make_key() {
    local kind=(-algorithm EC -pkeyopt ec_paramgen_curve:prime256v1)
    [ "$2" = ES256 ] || kind=(-algorithm RSA -pkeyopt rsa_keygen_bits:2048)
    openssl genpkey "${kind[@]}" -out "$folder/$1.pem" 2>/dev/null
    openssl pkey -in "$folder/$1.pem" -pubout -out "$folder/$1_public.pem"
}

# make_certificates FOLDER: creates a CA, ca.pem, and a server certificate for localhost, server.pem and server.key.
make_certificates() {
    local ec=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    openssl req -x509 "${ec[@]}" -days 2 -subj /CN=ca -keyout "$1/ca.key" -out "$1/ca.pem" 2>/dev/null
    openssl req "${ec[@]}" -subj /CN=localhost -keyout "$1/server.key" -out "$1/server.csr" 2>/dev/null
    openssl x509 -req -in "$1/server.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial -days 2 \
        -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n') \
        -out "$1/server.pem" 2>/dev/null
    chmod 644 "$1/server.key"
}

# -- The emulator -----------------------------------------------------------------------------------

build_bridge() {
    (cd "$root" && timeout 1200 cargo build --release --locked --quiet -p iotcore-gateway-testkit --bin iotcore-bridge)
}

# start_bridge DEVICES GATEWAYS: starts the emulator with these two lists in the registry (JSON), over TLS on
# localhost:$port.
start_bridge() {
    cat >"$folder/registry.json" <<JSON
{ "project": "$project", "location": "$location", "registry": "$registry", "devices": $1, "gateways": $2 }
JSON
    build_bridge
    make_certificates "$folder"
    mkfifo "$folder/operator"
    exec {operator_input}<>"$folder/operator"
    start bridge 120 "$target/release/iotcore-bridge" --registry "$folder/registry.json" --port 0 \
        --tls-cert "$folder/server.pem" --tls-key "$folder/server.key" --json <&"$operator_input"
    says bridge '"event":"listening"' || fail 'the emulator starts'
    port=$(sed -En 's/.*"address":"[^"]*:([0-9]+)".*/\1/p;q' "$folder/bridge.log")
}

# operator COMMAND…: runs an operator command of the emulator, which must succeed.
operator() {
    local answers
    answers=$(grep -c '"event":"answer"' "$folder/bridge.log") || true
    echo "$*" >&"$operator_input"
    within 10 counts bridge '"event":"answer"' $((answers + 1)) || return 1
    ! grep '"event":"answer"' "$folder/bridge.log" | tail -n 1 | grep -q '"answer":"failed"'
}

# bridge_saw CLIENT EVENT [REGEX]: whether the emulator's log has this event of the client; REGEX matches what follows
# its name.
bridge_saw() { says bridge "\"client\":\"$1\",\"event\":\"$2\"${3:+,$3}"; }
