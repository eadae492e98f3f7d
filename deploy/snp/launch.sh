#!/usr/bin/env bash
# Starts the guest of build-image.sh. The enclave link is HTTP on 127.0.0.1:PORT; the guest reaches nothing.
# Ask for a clean stop (last requests, last report): echo sendkey ctrl-alt-delete | socat - UNIX-CONNECT:MONITOR
set -euo pipefail
usage() {
  cat >&2 <<'TEXT'
launch.sh --image DIR [options]
  --port PORT          of the link on this machine (default 9000)
  --tap IFACE          link over this tap device (10.0.2.0/24, guest 10.0.2.15) instead of QEMU's own forwarding
  --cpus N --memory M  vCPUs (default 2; part of the launch digest) and MiB (default 1024; not part of it)
  --log FILE           the service's log (default: stdout)
  --monitor FILE       socket for QEMU's monitor
SEV-SNP (QEMU 9.1 or later, OVMF built for AmdSev with kernel hashes):
  --firmware FILE      OVMF.amdsev.fd
  --cpu MODEL          part of the launch digest (default EPYC-v4; Genoa: EPYC-Genoa)
  --policy HEX         guest policy (default 0x30000: SMT allowed, no debug, no migration agent)
  --cbitpos N          of this host's processor (default 51: Milan, Genoa, Turin)
  --id-block FILE --id-auth FILE [--author-key]   ID block (96 bytes) and its authentication page (4096 bytes)
  --host-data FILE     32 bytes that the report will carry as HOST_DATA
Elsewhere:
  --simulate           no SEV-SNP: for the simulated flavour. --accel kvm|tcg (default: kvm when /dev/kvm is writable)
TEXT
  exit 2
}
image='' port=9000 tap='' cpus=2 memory=1024 log='' monitor='' firmware='' cpu=EPYC-v4 policy=0x30000 cbitpos=51
id_block='' id_auth='' author='' host_data='' simulate='' accel=''
while [ $# -gt 0 ]; do
  case $1 in
    --simulate) simulate=yes; shift; continue ;;
    --author-key) author=,author-key-enabled=on; shift; continue ;;
  esac
  [ $# -ge 2 ] || usage
  case $1 in
    --image) image=$2 ;;
    --port) port=$2 ;;
    --tap) tap=$2 ;;
    --cpus) cpus=$2 ;;
    --memory) memory=$2 ;;
    --log) log=$2 ;;
    --monitor) monitor=$2 ;;
    --firmware) firmware=$2 ;;
    --cpu) cpu=$2 ;;
    --policy) policy=$2 ;;
    --cbitpos) cbitpos=$2 ;;
    --id-block) id_block=$2 ;;
    --id-auth) id_auth=$2 ;;
    --host-data) host_data=$2 ;;
    --accel) accel=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[ -f "$image/initrd" ] || usage

arguments=(-nodefaults -no-user-config -no-reboot -display none -smp "$cpus" -m "$memory"
  -kernel "$image/vmlinuz" -initrd "$image/initrd" -append "$(cat "$image/cmdline")")
if [ -n "$log" ]; then arguments+=(-serial "file:$log"); else arguments+=(-serial stdio); fi
if [ -n "$monitor" ]; then arguments+=(-monitor "unix:$monitor,server=on,wait=off"); else arguments+=(-monitor none); fi

virtio=romfile=
if [ -n "$simulate" ]; then
  [ -n "$accel" ] || { [ -w /dev/kvm ] && accel=kvm || accel=tcg; }
  case $accel in
    kvm) arguments+=(-machine q35 -accel kvm -cpu "host,arch-capabilities=off") ;;
    # One thread for all vCPUs: with several, QEMU 7.2 shows one vCPU what another is just patching (Oops: int3).
    tcg) arguments+=(-machine q35 -accel "tcg,thread=single" -cpu max) ;;
    *) usage ;;
  esac
else
  [ -f "$firmware" ] || usage
  guest="sev-snp-guest,id=sev0,cbitpos=$cbitpos,reduced-phys-bits=1,policy=$policy,kernel-hashes=on"
  base64_of() { base64 --wrap 0 "$1"; }
  [ -z "$id_block" ] || guest+=",id-block=$(base64_of "$id_block"),id-auth=$(base64_of "$id_auth")$author"
  [ -z "$host_data" ] || guest+=",host-data=$(base64_of "$host_data")"
  virtio=romfile=,disable-legacy=on,iommu_platform=on # device memory is shared with the host, explicitly
  arguments+=(-machine "q35,confidential-guest-support=sev0,memory-backend=ram,vmport=off" -accel kvm -cpu "$cpu"
    -object "memory-backend-memfd,id=ram,size=${memory}M,share=true,prealloc=false" -object "$guest" -bios "$firmware")
fi

if [ -n "$tap" ]; then arguments+=(-netdev "tap,id=link,ifname=$tap,script=no,downscript=no")
else arguments+=(-netdev "user,id=link,restrict=on,hostfwd=tcp:127.0.0.1:$port-10.0.2.15:9000"); fi
arguments+=(-device "virtio-net-pci,netdev=link,$virtio")
[ ! -f "$image/models.img" ] || arguments+=(
  -blockdev "driver=file,node-name=models,filename=$image/models.img,read-only=on"
  -device "virtio-blk-pci,drive=models,$virtio")
exec "${QEMU:-qemu-system-x86_64}" "${arguments[@]}"
