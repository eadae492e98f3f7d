#!/usr/bin/env bash
# Builds a target twice, from clean installs in two folders of different names at two times, and compares: every file of the
# tree (mode, SHA-256, path), the tar of it, and for enclave-snp the bootable image. Ends with 1 at the first difference.
#   prove-reproducible.sh [--boot-image KERNEL.deb] [enclave-snp|enclave-nitro|host]...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernel=''
if [ "${1:-}" = --boot-image ]; then kernel=$(realpath "$2"); shift 2; fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(enclave-snp enclave-nitro host)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} ONNXRUNTIME_NODE_INSTALL=skip

"$here/sources.sh" "$work/sources"

build() { # NAME FOLDER
  mkdir -p "$(dirname "$2")"
  cp -r "$work/sources" "$2"
  # The host's database library is compiled; the enclaves need no compiler but init's.
  local scripts=(--ignore-scripts)
  case " ${targets[*]} " in *" host "*) scripts=() ;; esac
  (cd "$2" && npm ci --prefer-offline --no-audit --no-fund "${scripts[@]}" && node tools/build.mjs) > "$work/$1.log" 2>&1 ||
    { tail -n 20 "$work/$1.log" >&2; exit 1; }
  for target in "${targets[@]}"; do
    "$2/deploy/image.sh" "$target" "$work/$1-$target" --list "$work/$1-$target.list" > /dev/null
    "$2/deploy/tar.sh" "$work/$1-$target" "$work/$1-$target.tar"
  done
  [ -z "$kernel" ] || "$2/deploy/snp/build-image.sh" --out "$work/$1-image" --kernel "$kernel" > /dev/null 2>&1
}

build first "$work/a"
sleep 2 # another second on every clock that could leak into a file
build second "$work/another-and-longer-name/b"

for target in "${targets[@]}"; do
  diff "$work/first-$target.list" "$work/second-$target.list"
  cmp "$work/first-$target.tar" "$work/second-$target.tar"
  diff --recursive "$work/first-$target" "$work/second-$target"
  printf '%s: %s files, tar %s bytes, SHA-256 %s\n' "$target" "$(wc -l < "$work/first-$target.list")" \
    "$(stat --format %s "$work/first-$target.tar")" "$(sha256sum < "$work/first-$target.tar" | cut -d' ' -f1)"
done
if [ -n "$kernel" ]; then
  diff "$work/first-image/SHA256SUMS" "$work/second-image/SHA256SUMS"
  sed 's/^/boot image: /' "$work/first-image/SHA256SUMS"
fi
echo identical
