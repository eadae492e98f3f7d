#!/usr/bin/env bash
# Builds the bootable guest: kernel, initrd and command line, which QEMU hashes into the launch digest (kernel-hashes=on).
# The same inputs give the same bytes; SHA-256 of each is in SHA256SUMS.
set -euo pipefail
usage() {
  cat >&2 <<'TEXT'
build-image.sh --out DIR [options]
  --flavour release|simulated   release (default) has no simulated platform and runs on SEV-SNP alone
  --kernel FILE                 kernel package (default: fetched, pinned in kernel.env)
  --from DIR                    checkout after `npm ci` (default: this one)
  --root DIR, --node FILE       base system and Node binary, as in deploy/tree.mjs
  --models DIR                  model repository, baked into the initrd (default: the sample model)
  --verity                      models go on a dm-verity image instead; its root hash goes on the command line
  --platform DIR                simulated only: the throw-away platform's folder, made before (see deploy/README.md)
TEXT
  exit 2
}
here=$(cd "$(dirname "$0")" && pwd)
from=$(cd "$here/../.." && pwd)
flavour=release out='' kernel='' models='' platform='' verity='' tree=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2; shift 2 ;;
    --flavour) flavour=$2; shift 2 ;;
    --kernel) kernel=$2; shift 2 ;;
    --from) from=$(cd "$2" && pwd); shift 2 ;;
    --models) models=$2; shift 2 ;;
    --platform) platform=$2; shift 2 ;;
    --verity) verity=yes; shift ;;
    --root | --node) tree+=("$1" "$2"); shift 2 ;;
    *) usage ;;
  esac
done
[ -n "$out" ] || usage
case $flavour:$platform in
  release:) target=enclave-snp ;;
  simulated:?*) target=enclave-simulated ;;
  *) usage ;;
esac
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
umask 022
. "$here/kernel.env"
models=${models:-$from/enclave/sample-models}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kernel=${kernel:-$("$here/fetch-kernel.sh" "$out/cache")}

echo "== program" >&2
tree+=(--target "$target" --from "$from" --out "$work/root")
[ -n "$verity" ] || tree+=(--models "$models")
node "$from/deploy/tree.mjs" "${tree[@]}" >&2
root=$work/root

echo "== kernel $KERNEL_VERSION" >&2
echo "$KERNEL_SHA256  $kernel" | sha256sum --check --quiet
dpkg-deb -x "$kernel" "$work/kernel"
cp "$work/kernel/boot/vmlinuz-$KERNEL_VERSION" "$out/vmlinuz"
mkdir -p "$root/etc/veritee"
modules=(virtio_net)
[ -z "$verity" ] || modules+=(virtio_blk dm_verity squashfs)
[ "$flavour" = simulated ] || modules+=(configfs sev_guest)
settings=$root/etc/veritee/init.conf
{
  echo mounts
  echo "console /dev/ttyS0"
  "$here/modules.sh" "$work/kernel" "$root" "${modules[@]}"
  [ "$flavour" = simulated ] || echo configfs
} > "$settings"

echo "== start-up" >&2
listen=tcp:10.0.2.15:9000
run="run /usr/bin/node /app/enclave/dist/main.js --models /models --listen $listen"
{
  [ -z "$verity" ] || echo models
  echo "address eth0 10.0.2.15 24"
  echo "user 65532"
  # configfs-tsm gives its files to root alone, and mode bits are all that stands between.
  [ "$flavour" = simulated ] || echo "capability dac_override"
  echo seal
  if [ "$flavour" = release ]; then echo "$run --platform snp"
  else echo "$run --platform simulated-snp --data /data"; fi
} >> "$settings"
cc=${CC:-gcc}
"$cc" -std=c17 -D_GNU_SOURCE -Os -Wall -Wextra -Werror -static -s -Wl,--build-id=none -o "$root/init" "$here/../init/init.c"
[ -z "$platform" ] || cp "$platform"/* "$root/data/"
find "$root" -type d -exec chmod 755 {} + -o -type f ! -perm -100 -exec chmod 644 {} + -o -type f -exec chmod 755 {} +

# No console but the service's log: what the kernel prints when it fails could hold memory.
line="rdinit=/init panic=-1 oops=panic quiet loglevel=0 ipv6.disable=1 random.trust_cpu=on lockdown=confidentiality module.sig_enforce=1"
[ "$flavour" = release ] || line="rdinit=/init panic=-1 console=ttyS0 loglevel=4 ipv6.disable=1 random.trust_cpu=on lockdown=confidentiality module.sig_enforce=1"
rm -f "$out"/models.img
if [ -n "$verity" ]; then
  echo "== models" >&2
  # It takes its times from SOURCE_DATE_EPOCH.
  mksquashfs "$models" "$out/models.img" -quiet -no-progress -all-root \
    -processors 1 -no-xattrs -noappend -comp zstd >&2
  size=$(stat --format %s "$out/models.img")
  blocks=$(((size + 4095) / 4096))
  truncate --size $((blocks * 4096)) "$out/models.img"
  veritysetup format --no-superblock --salt=- --hash=sha256 --data-block-size=4096 --hash-block-size=4096 \
    --data-blocks=$blocks --hash-offset=$((blocks * 4096)) --root-hash-file="$work/root-hash" "$out/models.img" "$out/models.img" > /dev/null
  line="$line veritee.models=$blocks:$(cat "$work/root-hash")"
fi
printf %s "$line" > "$out/cmdline"

echo "== initrd" >&2
rm -f "$out/initrd"
node "$here/cpio.mjs" "$root" "$work/initrd.cpio"
zstd --quiet --single-thread -9 "$work/initrd.cpio" -o "$out/initrd"
files=(vmlinuz initrd cmdline)
[ -z "$verity" ] || files+=(models.img)
(cd "$out" && sha256sum "${files[@]}" | tee SHA256SUMS)
