#!/bin/bash
# Tests the system buildpacks as staging calls them, in temporary folders and without a network.
# Run by hand or by the test suite: prints a line a test, exits 1 if one failed.
#
# What needs a tool that the machine may lack (node, npm) fails here too: CI installs them.
set -uo pipefail
packs=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
passed=0 failed=0
server=""

cleanup() {
  [ -z "$server" ] || kill "$server" 2> /dev/null
  rm -rf "$work"
}
trap cleanup EXIT

# No test may reach a package index: they answer at a port where nobody listens.
export PIP_INDEX_URL=http://127.0.0.1:9/ PIP_RETRIES=0 npm_config_registry=http://127.0.0.1:9/
export npm_config_fetch_retries=0

# app NAME: a new, empty app; `$app`, `$cache` and `$log` are its folders.
app() {
  app=$work/$1/app cache=$work/$1/cache log=$work/$1/log
  mkdir -p "$app" "$cache"
}

stage() { "$packs/$1/bin/compile" "$app" "$cache" > "$log" 2>&1; }
detects() { "$packs/$1/bin/detect" "$app" > "$log" 2>&1; }
web() { "$packs/$1/bin/release" "$app" | python3 -c '
import json, re, sys
text = sys.stdin.read()
line = re.search(r"^  web: (.*)$", text, re.M)
if line:
    print(line.group(1))
elif text.startswith("{"):
    print(json.loads(text)["default_process_types"].get("web", ""))
'; }

# check NAME COMMAND...: the command must succeed.
check() {
  local name=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    sed 's/^/        /' "$log" 2> /dev/null
  fi
}
equal() { [ "$1" = "$2" ] || { echo "        found '$1', expected '$2'"; false; }; }
fails() { ! "$@"; }
logged() { grep -q -- "$1" "$log"; }

# serve COMMAND: starts it as the launcher would, on a free port, and waits until it answers.
serve() {
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  (
    cd "$app" || exit 1
    export HOME=$app PORT=$port
    for script in .profile.d/*.sh; do [ -f "$script" ] && . "$script"; done
    exec bash -c "exec $1"
  ) > "$log" 2>&1 &
  server=$!
  # Retries are the wait; 10 s are far more than any of these servers needs.
  curl -s -o /dev/null --retry 100 --retry-delay 0 --retry-max-time 10 --retry-connrefused \
    "http://127.0.0.1:$port/"
}
halt() {
  kill "$server" 2> /dev/null
  wait "$server" 2> /dev/null
  server=""
}
get() { curl -s --path-as-is "${@:2}" "http://127.0.0.1:$port$1"; }
status() { get "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }

# === detection

app empty
for pack in nodejs python staticfile procfile binary; do
  check "$pack does not detect an empty app" fails detects "$pack"
done
app detect
echo '{}' > "$app/package.json"
check "package.json is Node.js" detects nodejs
for file in requirements.txt pyproject.toml setup.py Pipfile script.py; do
  app "detect-$file"
  touch "$app/$file"
  check "$file is Python" detects python
done
touch "$app/Staticfile"
check "a Staticfile beside a script is a static site" detects staticfile
check "and not Python" fails detects python
app detect-procfile
echo 'web: ./run' > "$app/Procfile"
check "a Procfile is enough" detects procfile
echo '# nothing' > "$app/Procfile"
check "an empty Procfile is not" fails detects procfile

# === python

app python-plain
cat > "$app/app.py" << 'PY'
import http.server, os
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
PY
check "python without requirements stages offline" stage python
check "python starts app.py" equal "$(web python)" "python3 app.py"
check "the python app answers" serve "$(web python)"
halt

app python-comment
printf '# nothing yet\n\n' > "$app/requirements.txt"
check "requirements.txt with only comments needs no pip" stage python
check "and says so" logged "requires no packages"

# A wheel is a zip of the right names: made by hand, so that the test needs no network either.
make_wheel() {
  mkdir -p "$1"
  python3 - "$1" << 'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/greeting-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greeting.py", "text = 'hello from the wheel'\n")
    info = "greeting-1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", f"greeting.py,,\n{info}METADATA,,\n{info}WHEEL,,\n{info}RECORD,,\n")
PY
}
import_greeting() {
  (cd "$app" && HOME=$app && . .profile.d/python.sh && python3 -c 'import greeting; print(greeting.text)')
}
app python-vendor
echo 'greeting==1.0' > "$app/requirements.txt"
make_wheel "$app/vendor"
check "python installs from vendor/ without an index" stage python
check "the package is found at run time" equal "$(import_greeting 2>&1)" "hello from the wheel"
app python-cached
echo 'greeting' > "$app/requirements.txt"
make_wheel "$cache/wheels"
check "python installs from the build cache when the index does not answer" stage python
check "the cached package is found at run time" equal "$(import_greeting 2>&1)" "hello from the wheel"
app python-offline
echo 'greeting' > "$app/requirements.txt"
check "python without index, wheels and cache fails" fails stage python
check "and says what to do" logged "pip download -r requirements.txt -d vendor"
app python-pipfile
touch "$app/Pipfile"
check "a Pipfile alone fails" fails stage python
check "and says how to make requirements.txt" logged "pipenv requirements"

app python-supply
echo 'greeting' > "$app/requirements.txt"
echo 'web: python3 -c "import greeting"' > "$app/Procfile"
make_wheel "$app/vendor"
check "python supplies" "$packs/python/bin/supply" "$app" "$cache" "$work/deps" 0
check "procfile finalizes" "$packs/procfile/bin/finalize" "$app" "$cache" "$work/deps" 1 "$work/profile.d"
supplied() { DEPS_DIR=$work/deps bash -c '. "$0" && python3 -c "import greeting; print(greeting.text)"' "$work/profile.d/supplied.sh"; }
check "what was supplied is found at run time" equal "$(supplied 2>&1)" "hello from the wheel"

# === nodejs

app nodejs-plain
echo '{"scripts": {"start": "node index.js"}}' > "$app/package.json"
echo 'require("http").createServer((q, a) => a.end("node")).listen(process.env.PORT)' > "$app/index.js"
check "nodejs without dependencies stages offline" stage nodejs
check "nodejs starts with npm start" equal "$(web nodejs)" "npm start"
check "the nodejs app answers" serve "node index.js"
halt
app nodejs-server
echo '{}' > "$app/package.json"
touch "$app/server.js"
check "nodejs falls back to server.js" equal "$(web nodejs)" "node server.js"
app nodejs-vendored
echo '{"dependencies": {"left": "1"}}' > "$app/package.json"
mkdir "$app/node_modules"
check "nodejs takes the app's own node_modules" stage nodejs
app nodejs-local
mkdir -p "$app/lib/left"
echo '{"dependencies": {"left": "file:./lib/left"}}' > "$app/package.json"
echo '{"name": "left", "version": "1.0.0", "main": "l.js"}' > "$app/lib/left/package.json"
echo 'module.exports = 7' > "$app/lib/left/l.js"
check "nodejs installs what needs no registry" stage nodejs
check "and node finds it" equal "$(cd "$app" && node -p 'require("left")')" 7
app nodejs-offline
echo '{"dependencies": {"left-pad": "1.3.0"}}' > "$app/package.json"
check "nodejs without registry fails" fails stage nodejs
check "and says what to do" logged "push the app with its node_modules"
app nodejs-broken
echo '{' > "$app/package.json"
check "a broken package.json fails" fails stage nodejs
check "and says how to check it" logged "not valid JSON"

# === staticfile

app static
mkdir -p "$app/dist/sub" "$app/dist/empty" "$app/dist/.hidden"
echo 'root: dist' > "$app/Staticfile"
echo 'no_such_option: 1' >> "$app/Staticfile"
echo 'secret' > "$app/private.txt"
echo 'home' > "$app/dist/index.html"
echo 'sub' > "$app/dist/sub/index.html"
echo 'dot' > "$app/dist/.hidden/x"
check "staticfile stages" stage staticfile
check "and names options it does not know" logged "no_such_option"
check "the site answers" serve "$(web staticfile)"
check "its index" equal "$(get /)" home
check "a folder's index" equal "$(get /sub/)" sub
check "nothing outside root" equal "$(status /private.txt)" 404
check "nothing above root" equal "$(get /../private.txt | grep -c secret)" 0
check "no dot files" equal "$(status /.hidden/x)" 404
check "no listing" equal "$(status /empty/)" 403
check "a missing page is 404" equal "$(status /missing)" 404
halt

app static-options
mkdir -p "$app/list"
printf 'pushstate: enabled\ndirectory: visible\nhost_dot_files: true\n' > "$app/Staticfile"
echo 'home' > "$app/index.html"
echo 'dot' > "$app/.dot"
touch "$app/list/a-file"
check "staticfile without root stages" stage staticfile
check "the site with options answers" serve "$(web staticfile)"
check "pushstate answers with the index" equal "$(get /deep/link)" home
check "directory lists" equal "$(get /list/ | grep -c a-file)" 1
check "dot files are served" equal "$(get /.dot)" dot
check "Staticfile is not served" equal "$(get /Staticfile)" home
halt

app static-auth
touch "$app/Staticfile"
echo 'home' > "$app/index.html"
# Both are the password "flash": htpasswd -m (salt `saltsalt`) and htpasswd -s.
cat > "$app/Staticfile.auth" << 'AUTH'
ann:@APR1@
bob:@SHA@
AUTH
sed -i "s|@APR1@|$(openssl passwd -apr1 -salt saltsalt flash)|; s|@SHA@|{SHA}$(printf flash | openssl sha1 -binary | base64)|" "$app/Staticfile.auth"
check "staticfile with users stages" stage staticfile
check "the guarded site answers" serve "$(web staticfile)"
check "nobody gets in without a password" equal "$(status /)" 401
check "nor with a wrong one" equal "$(status / -u ann:wrong)" 401
check "an apr1 user gets in" equal "$(get / -u ann:flash)" home
check "a SHA user gets in" equal "$(get / -u bob:flash)" home
halt
app static-outside
echo 'root: ../..' > "$app/Staticfile"
check "root outside of the app fails" fails stage staticfile

# === binary and procfile

app binary
printf '#!/bin/sh\n' > "$app/serve"
chmod +x "$app/serve"
check "binary stages" stage binary
check "binary starts the only executable" equal "$(web binary)" ./serve
cp "$app/serve" "$app/other"
check "binary does not guess between two" equal "$(web binary)" ""
app procfile
printf 'web: ./run --port $PORT\nworker: ./work\n' > "$app/Procfile"
check "procfile stages" stage procfile
check "and names its processes" logged "web worker"
check "procfile leaves the start command to the Procfile" equal "$(web procfile)" ""

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
