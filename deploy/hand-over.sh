#!/bin/sh
# Gives an institution's folder to the accounts that use it. Settings stay root's, so that no program can change its own
# rules; the node's key and state are the node's; keys, ledger and all else are the custodian's.
#
# Run as root after `fedcredit institution init FOLDER`, and again after every command that wrote to it as root.
#
#   hand-over.sh FOLDER
set -eu
folder=${1:?"give the institution's folder, the one with SITE.yaml and NODE.yaml"}
custodian=fedcredit-custodian
node=fedcredit-node
relay=fedcredit-relay

for name in SITE.yaml NODE.yaml; do
  if [ ! -f "$folder/$name" ]; then echo "error: $folder has no $name; give the institution's folder." >&2; exit 1; fi
done
links=$(find "$folder" -path "$folder/node-state" -prune -o -type l -print)
if [ -n "$links" ]; then echo "error: $folder holds links, which are not followed: $links" >&2; exit 1; fi

# give OWNER:GROUP MODE FILE
give() { if [ -e "$folder/$3" ]; then chown "$1" "$folder/$3"; chmod "$2" "$folder/$3"; fi; }

# The socket is the group's: SITE.yaml's template has the line, switched off.
sed -i 's/^# socket_group: fedcredit-relay/socket_group: fedcredit-relay/' "$folder/SITE.yaml"

find "$folder" -path "$folder/node-state" -prune -o -exec chown "$custodian:$custodian" {} + -exec chmod go-rwx {} +
for name in SITE.yaml policy.yaml mapping.yaml dictionary.yaml roster.yaml; do give "root:$custodian" 640 "$name"; done

# The node may pass through these folders and list none of them.
for name in . keys tls; do give "$custodian:$relay" 710 "$name"; done
give "root:$node" 640 NODE.yaml
give "root:$node" 640 tls/ca.pem
give "$node:$node" 600 keys/node
give "root:$node" 640 keys/node.pub
give "$custodian:$relay" 640 keys/relay.token
give "$custodian:$relay" 660 custodian.sock

mkdir -p "$folder/node-state"
chown -hR "$node:$node" "$folder/node-state"
chmod 700 "$folder/node-state"
