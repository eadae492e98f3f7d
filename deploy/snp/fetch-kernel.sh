#!/usr/bin/env bash
# Fetches the pinned kernel package and checks its SHA-256: fetch-kernel.sh FOLDER. Prints the file's path.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/kernel.env"
folder=${1:?usage: fetch-kernel.sh FOLDER}
mkdir -p "$folder"
file=$folder/$KERNEL_DEB
holds() { [ -f "$1" ] && echo "$KERNEL_SHA256  $1" | sha256sum --check --status; }
if ! holds "$file"; then
  # Debian's pool drops superseded versions; the snapshot archive keeps them all.
  for source in "$KERNEL_POOL" "$KERNEL_SNAPSHOT"; do
    curl --fail --silent --show-error --location --max-time 300 --output "$file.part" "$source/$KERNEL_DEB" || continue
    holds "$file.part" || { echo "fetch-kernel: $source: not the pinned bytes" >&2; continue; }
    mv "$file.part" "$file"
    break
  done
  rm -f "$file.part"
fi
holds "$file" || { echo "fetch-kernel: $KERNEL_DEB could not be fetched" >&2; exit 1; }
echo "$file"
