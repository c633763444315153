#!/usr/bin/env bash
# Installs what the tests need beside Python, where that is missing: a Debian package each. `make test` calls it.
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
