#!/usr/bin/env bash
# Copies kernel modules and what they need into a tree, and prints init's lines for loading them, in order:
#   modules.sh KERNEL-PACKAGE-FOLDER TREE MODULE...
set -euo pipefail
kernel=${1:?} root=${2:?}
shift 2
mkdir -p "$root/lib/modules"
loaded=" "
add() {
  local packed plain needed
  case $loaded in *" $1 "*) return ;; esac
  packed=$(find "$kernel" -name "${1//_/[-_]}.ko.xz")
  [ -f "$packed" ] || { echo "modules: no module $1" >&2; exit 1; }
  plain=$root/lib/modules/$1.ko
  xz --decompress --stdout "$packed" > "$plain" # its signature stays with it; the kernel checks it
  # What a module needs stands in the module itself, and is loaded first.
  for needed in $(tr '\0' '\n' < "$plain" | sed -n 's/^depends=//p' | tr ',' ' '); do add "${needed//-/_}"; done
  loaded="$loaded$1 "
  echo "module /lib/modules/$1.ko"
}
for one; do add "$one"; done
