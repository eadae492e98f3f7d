#!/usr/bin/env bash
# Copies what git knows of, as it is in the folder now, into a new folder: no node_modules, no dist. sources.sh OUT
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?usage: sources.sh OUT}
mkdir -p "$out"
(cd "$checkout" && git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  [ ! -f "$file" ] || printf '%s\0' "$file"
done | tar --create --null --files-from=- --file=-) | tar --extract --directory "$out"
