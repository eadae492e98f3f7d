"""SEV-SNP launch digest of an OVMF file under QEMU, written from AMD 56860 (PAGE_INFO) and edk2's reset vector.

A second opinion for measure-snp.test.ts: python3 launch_digest.py OVMF VCPUS SIGNATURE FEATURES [KERNEL INITRD CMDLINE]
"""
import hashlib
import struct
import sys
import uuid

sha384 = lambda data: hashlib.sha384(data).digest()
digest = bytes(48)


def page(kind, address, contents=bytes(48)):
    global digest
    digest = sha384(struct.pack("<48s48sHBBBBBBQ", digest, contents, 0x70, kind, 0, 0, 0, 0, 0, address))


def guid(text):
    return uuid.UUID(text).bytes_le


def hashes_page(offset, kernel, initrd, cmdline):
    entries = b""
    for name, data in (
        ("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", cmdline.encode() + b"\0"),
        ("44baf731-3a2f-4bd7-9af1-41e29169781d", initrd),
        ("4de79437-abd2-427f-b835-d5b172d2045b", kernel),
    ):
        entries += guid(name) + struct.pack("<H", 50) + hashlib.sha256(data).digest()
    table = guid("9438d606-4f22-4cc9-b479-a793d411fd21") + struct.pack("<H", 18 + len(entries)) + entries
    return (bytes(offset) + table).ljust(4096, b"\0")


def vmsa(eip, signature, features):
    state = bytearray(4096)
    segments = [(0, 0x93, 0)] * 6 + [(0, 0, 0), (0, 0x82, 0), (0, 0, 0), (0, 0x8B, 0)]
    segments[1] = (0xF000, 0x9B, eip & 0xFFFF0000)
    for i, (selector, attributes, base) in enumerate(segments):
        struct.pack_into("<HHIQ", state, 16 * i, selector, attributes, 0xFFFF, base)
    quads = {0xD0: 0x1000, 0x148: 0x40, 0x158: 0x10, 0x160: 0x400, 0x168: 0xFFFF0FF0, 0x170: 2, 0x178: eip & 0xFFFF,
             0x268: 0x0007040600070406, 0x310: signature, 0x3B0: features, 0x3E8: 1}
    for at, value in quads.items():
        struct.pack_into("<Q", state, at, value)
    struct.pack_into("<I", state, 0x408, 0x1F80)
    struct.pack_into("<H", state, 0x410, 0x37F)
    return bytes(state)


def main(path, vcpus, signature, features, *direct_boot):
    image = open(path, "rb").read()
    table, end = {}, len(image) - 32
    (total,) = struct.unpack_from("<H", image, end - 18)
    start, end = end - total, end - 18
    while end > start:
        (size,) = struct.unpack_from("<H", image, end - 18)
        table[uuid.UUID(bytes_le=image[end - 16:end])] = image[end - size:end - 18]
        end -= size
    word = lambda name: struct.unpack_from("<I", table[uuid.UUID(name)])[0]
    metadata = len(image) - word("dc886566-984a-4798-a75e-5585a7bf67cc")
    for at in range(0, len(image), 4096):
        page(1, (1 << 32) - len(image) + at, sha384(image[at:at + 4096]))
    for i in range(struct.unpack_from("<I", image, metadata + 12)[0]):
        address, size, kind = struct.unpack_from("<III", image, metadata + 16 + 12 * i)
        if kind == 0x10 and direct_boot:
            kernel, initrd = (open(name, "rb").read() for name in direct_boot[:2])
            offset = word("7255371f-3a3b-4b04-927b-1da6efa8d454") & 0xFFF
            page(1, address, sha384(hashes_page(offset, kernel, initrd, direct_boot[2])))
            continue
        for at in range(address, address + size, 4096):
            page({1: 3, 2: 5, 3: 6, 4: 3, 0x10: 3}[kind], at)
    for i in range(int(vcpus)):
        eip = 0xFFFFFFF0 if i == 0 else word("00f771de-1a7e-4fcb-890e-68c77e2fb44e")
        page(2, 0xFFFFFFFFF000, sha384(vmsa(eip, int(signature, 0), int(features, 0))))
    print(digest.hex())


main(*sys.argv[1:])
