#!/bin/bash
# Starts the site's server on $PORT: nginx if the stack has it, else python3.
set -euo pipefail
cd "$(dirname "$0")"
app=$PWD
PATH=$PATH:/usr/sbin

if ! command -v nginx > /dev/null; then
  exec python3 .static/server.py
fi

run=$(mktemp -d)
options=""
[ -e .static/directory ] && options+="autoindex on; "
[ -e .static/pushstate ] && options+='error_page 404 =200 /index.html; '
[ -e .static/dot_files ] || options+='location ~ /\. { return 404; } '
[ -e .static/auth ] && options+="auth_basic Restricted; auth_basic_user_file $app/.static/auth; "
types=/etc/nginx/mime.types
[ -f "$types" ] || types=/dev/null

config=$(< .static/nginx.conf)
config=${config//@PORT@/${PORT:-8080}}
config=${config//@RUN@/$run}
config=${config//@SITE@/$app/public}
config=${config//@TYPES@/$types}
config=${config//@OPTIONS@/$options}
echo "$config" > "$run/nginx.conf"
exec nginx -e stderr -c "$run/nginx.conf"
