#!/usr/bin/env bash
# Builds the images of the Dockerfile with buildah, without a daemon and without a registry: on a base that mmdebstrap makes
# from Debian's packages and this machine's Node. Each is built twice, from two copies of the sources in two image stores at two
# times, and the image digests are compared. Prints size, digest, and that no shell can be started.
#   build-images.sh [--base-archive FILE.tar] [--out FOLDER] [enclave-snp|enclave-nitro|host]...
#   --base-archive  an OCI archive to build on, instead of a base made here
#   --out           keep an OCI archive of each image there
# Ends with 1 at the first difference, with 77 where a tool is missing. Debian: buildah mmdebstrap, as root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
archive='' out=''
while [ $# -gt 0 ]; do
  case $1 in
    --base-archive) archive=$(realpath "$2"); shift 2 ;;
    --out) mkdir -p "$2"; out=$(realpath "$2"); shift 2 ;;
    *) break ;;
  esac
done
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(enclave-snp enclave-nitro host)

skip() { printf '\n!!! %s: the images are NOT BUILT !!!\n\n' "$1" >&2; exit 77; }
tools=(buildah git tar)
[ -n "$archive" ] || tools+=(mmdebstrap node npm)
for tool in "${tools[@]}"; do command -v "$tool" > /dev/null || skip "$tool is not here"; done
[ "$(id -u)" = 0 ] || skip 'not root'

export SOURCE_DATE_EPOCH=0
work=$(mktemp -d "${TMPDIR:-/tmp}/veritee-images.XXXXXX")
# The image stores mount their layers; what is still mounted must not be removed through.
clean_up() {
  awk -v under="$work/" 'index($2, under) == 1 { print $2 }' /proc/self/mounts | sort --reverse | while IFS= read -r place; do
    umount "$place"
  done
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
step() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$1" >&2; }
logged() { # NAME COMMAND...
  local log=$work/$1.log
  shift
  "$@" > "$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
}
store() { # NAME ARGUMENT...: buildah with an image store of its own
  local name=$1
  shift
  buildah --root "$work/$name/storage" --runroot "$work/$name/run" "$@"
}

# Node as it is installed here: the binary, npm, and the headers that the host's database library is compiled with.
make_base() {
  local prefix rootfs=$work/rootfs
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  step 'base: Debian packages'
  logged mmdebstrap mmdebstrap --variant=minbase --mode=root --format=directory \
    --include=ca-certificates,g++,gcc,libc6-dev,make,python3-minimal,libpython3-stdlib bookworm "$rootfs"
  install -D -m 755 "$prefix/bin/node" "$rootfs/usr/local/bin/node"
  mkdir -p "$rootfs/usr/local/lib/node_modules" "$rootfs/usr/local/include"
  cp -r "$(npm root --global 2> /dev/null)/npm" "$rootfs/usr/local/lib/node_modules/npm"
  cp -r "$prefix/include/node" "$rootfs/usr/local/include/node"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$rootfs/usr/local/bin/npm"
  # Certificates that this machine trusts beside Debian's, for the way to the npm registry.
  cp -L /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/ca-certificates.crt"
  archive=$work/base.tar
  local container
  container=$(store base from scratch)
  logged base-copy store base copy --quiet "$container" "$rootfs" /
  store base config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$container"
  logged base-commit store base commit --timestamp 0 --rm "$container" "oci-archive:$archive:veritee-base"
  rm -rf "$rootfs" "$work/base"
}

build_all() { # NAME
  local name=$1 base target
  step "$name build"
  mkdir -p "$work/$name"
  cp -r "$work/sources" "$work/$name/sources"
  base=$(store "$name" pull --quiet "oci-archive:$archive")
  for target in "${targets[@]}"; do
    step "  $target"
    logged "$name-$target" store "$name" build --isolation chroot --layers --pull-never --timestamp 0 --build-arg "BASE=$base" \
      --target "$target" --tag "$target" "$work/$name/sources"
    store "$name" push --quiet "$target" "oci-archive:$work/$name-$target.tar:$target" > /dev/null
  done
}

digest_of() { store "$1" images --format '{{.Digest}}' "$2"; }

# Nothing in an image can start a shell: chroot isolation says so when it tries.
prove_no_shell() {
  local container
  container=$(store "$1" from --pull-never "$2")
  if store "$1" run --isolation chroot "$container" -- /bin/sh -c true > "$work/shell.log" 2>&1; then
    echo "$2: /bin/sh starts" >&2
    exit 1
  fi
  grep -q 'no such file\|not found' "$work/shell.log" || { cat "$work/shell.log" >&2; exit 1; }
  store "$1" rm "$container" > /dev/null
}

[ -n "$archive" ] || make_base
"$here/sources.sh" "$work/sources"
build_all first
sleep 2 # another second on every clock that could leak into a file
build_all second
for target in "${targets[@]}"; do
  one=$(digest_of first "$target") two=$(digest_of second "$target")
  [ "$one" = "$two" ] || { echo "$target: $one, then $two" >&2; exit 1; }
  prove_no_shell first "$target"
  size=$(store first images --format '{{.Size}}' "$target")
  printf '%s: %s, archive %s bytes, %s, no shell\n' "$target" "$size" "$(stat --format %s "$work/first-$target.tar")" "$one"
  [ -z "$out" ] || cp "$work/first-$target.tar" "$out/$target.tar"
done
echo identical
