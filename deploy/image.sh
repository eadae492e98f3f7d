#!/usr/bin/env bash
# Makes the whole tree of an image, first process included: image.sh TARGET OUT [option of tree.mjs]...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${1:?usage: image.sh TARGET OUT [option]...} out=${2:?}
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() {
  "${CC:-gcc}" -std=c17 -D_GNU_SOURCE -Os -Wall -Wextra -Werror -static -s -Wl,--build-id=none -o "$work/$1" "$here/init/$1.c"
}
added=()
case $target in
  enclave-snp)
    compile init
    added=(--add "$work/init=init" --add "$here/init/pod.conf=etc/veritee/init.conf") ;;
  enclave-nitro)
    compile init
    compile vsock-bridge
    added=(--add "$work/init=init" --add "$work/vsock-bridge=usr/bin/vsock-bridge"
      --add "$here/init/nitro.conf=etc/veritee/init.conf") ;;
esac
node "$here/tree.mjs" --target "$target" --out "$out" "${added[@]}" "$@"
