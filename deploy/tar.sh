#!/usr/bin/env bash
# A tree as a tar that depends on contents, paths and modes alone: tar.sh TREE OUT.tar
set -euo pipefail
tar --create --file "$2" --directory "$1" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner \
  --mtime="@${SOURCE_DATE_EPOCH:-0}" .
