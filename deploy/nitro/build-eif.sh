#!/usr/bin/env bash
# Makes the enclave image file from the enclave-nitro image and prints its measurements. Needs nitro-cli and a container engine
# that nitro-cli can ask for the image (Docker's socket), on any x86-64 Linux: no enclave-capable instance is needed to build.
#   build-eif.sh IMAGE[@sha256:…] OUT.eif [CERTIFICATE.pem PRIVATE-KEY.pem]
set -euo pipefail
[ $# -eq 2 ] || [ $# -eq 4 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
signing=()
[ $# -eq 2 ] || signing=(--signing-certificate "$3" --private-key "$4") # PCR8
# PCR0 covers kernel, command line and both ramdisks; build time lies in the metadata, which is not measured.
nitro-cli build-enclave --docker-uri "$1" --output-file "$2" "${signing[@]}" > "$2.build.json"
nitro-cli describe-eif --eif-path "$2" | tee "$2.json"
# The same from the file alone: veritee measure nitro
