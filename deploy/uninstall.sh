#!/bin/sh
# Removes what install.sh installed, accounts included. It keeps /var/lib/fedcredit: the ledger in it says what was spent.
#
#   ./uninstall.sh [--prefix FOLDER]
set -eu
prefix=
if [ "${1:-}" = --prefix ]; then prefix=${2:?"--prefix needs a folder"}; fi
if [ -z "$prefix" ] && [ "$(id -u)" != 0 ]; then echo "error: this is not root; run it with sudo." >&2; exit 1; fi

if [ -z "$prefix" ] && [ -d /run/systemd/system ]; then
  systemctl disable --now fedcredit-node.service fedcredit-custodian.service 2>/dev/null || true
fi
rm -f "$prefix/etc/systemd/system/fedcredit-custodian.service" "$prefix/etc/systemd/system/fedcredit-node.service"
if [ -L "$prefix/usr/local/bin/fedcredit" ]; then rm -f "$prefix/usr/local/bin/fedcredit"; fi
rm -rf "$prefix/opt/fedcredit"
if [ -z "$prefix" ]; then
  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
  for account in custodian node; do
    if getent passwd "fedcredit-$account" >/dev/null; then userdel "fedcredit-$account"; fi
  done
  if getent group fedcredit-relay >/dev/null; then groupdel fedcredit-relay; fi
fi
echo "removed; kept, if it was there: $prefix/var/lib/fedcredit with ledger and keys"
