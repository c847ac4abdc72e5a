#!/bin/sh
# Installs the node kit for its two accounts. Run as root in the kit's folder; running it again changes nothing.
#
#   ./install.sh                     on the machine
#   ./install.sh --prefix FOLDER     below FOLDER, without accounts and units, to look at or for a machine without systemd
#
# It contacts nothing: every wheel comes from wheelhouse/, by hash. PYTHON names the interpreter (python3).
set -eu
umask 022
kit=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
prefix=
if [ "${1:-}" = --prefix ]; then
  prefix=${2:?"--prefix needs a folder"}
  mkdir -p "$prefix"
  prefix=$(CDPATH='' cd -- "$prefix" && pwd)
fi
opt=$prefix/opt/fedcredit
python=${PYTHON:-python3}

fail() { echo "error: $1" >&2; exit 1; }
if [ -z "$prefix" ] && [ "$(id -u)" != 0 ]; then fail "this is not root; run it with sudo, or give --prefix FOLDER."; fi
(cd "$kit" && sha256sum --quiet -c KIT.sha256) || fail "the kit differs from KIT.sha256; copy it again."

if [ -z "$prefix" ]; then
  getent group fedcredit-relay >/dev/null || groupadd --system fedcredit-relay
  for account in custodian node; do
    getent passwd "fedcredit-$account" >/dev/null || useradd --system --user-group --groups fedcredit-relay \
      --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "fedcredit-$account"
  done
fi

for account in custodian node; do
  venv=$opt/$account
  if ! cmp -s "$kit/$account.txt" "$venv/installed.txt"; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    PIP_CONFIG_FILE=/dev/null "$venv/bin/python" -m pip --isolated --quiet --disable-pip-version-check install \
      --no-compile --require-hashes --no-index --find-links "$kit/wheelhouse" -r "$kit/$account.txt"
    "$venv/bin/python" -m compileall -q "$venv/lib" || true # some wheels hold files of other Python versions
    cp "$kit/$account.txt" "$venv/installed.txt"
  fi
done

rm -rf "$opt/clients"
cp -R "$kit/clients" "$opt/clients"
for path in "$opt"/node/lib/python3*/site-packages; do echo "$opt" >"$path/fedcredit-clients.pth"; done
# `fedcredit institution check` looks for the node's Flower beside itself.
ln -sf "${opt#"$prefix"}/node/bin/flower-supernode" "$opt/custodian/bin/flower-supernode"
cp "$kit/hand-over.sh" "$kit/uninstall.sh" "$kit/BUNDLE.sha256" "$kit/KIT.sha256" "$opt/"
cp "$kit/firewall/institution.nft" "$kit/firewall/accounts.nft" "$opt/"
mkdir -p "$prefix/usr/local/bin"
ln -sf "${opt#"$prefix"}/custodian/bin/fedcredit" "$prefix/usr/local/bin/fedcredit"

if [ -z "$prefix" ]; then chown -R root:root "$opt"; fi
chmod -R go-w "$opt"

units=$prefix/etc/systemd/system
if [ -n "$prefix" ] || [ -d /run/systemd/system ]; then
  mkdir -p "$units"
  cp "$kit/systemd/fedcredit-custodian.service" "$kit/systemd/fedcredit-node.service" "$units/"
  if [ -z "$prefix" ]; then systemctl daemon-reload; fi
else
  echo "systemd does not run here; start both programs by other means (docs/deploying.md)"
fi
echo "installed $("$opt/custodian/bin/fedcredit" version 2>/dev/null || echo fedcredit) in $opt"
