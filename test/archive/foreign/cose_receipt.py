"""Checks an RFC 9942 COSE Receipt with cbor2 and cryptography: RECEIPT ENTRY KEY (32 raw bytes)."""
import hashlib
import sys

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def root_of(entry, size, index, path):
    """RFC 9162 2.1.3.2, written from its text."""
    node = hashlib.sha256(b"\x00" + entry).digest()
    fn, sn = index, size - 1
    if fn > sn:
        raise ValueError("index outside the tree")
    for sibling in path:
        if sn == 0:
            raise ValueError("path too long")
        if fn & 1 or fn == sn:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        fn >>= 1
        sn >>= 1
    if sn != 0:
        raise ValueError("path too short")
    return node


def main():
    receipt, entry, key = (open(name, "rb").read() for name in sys.argv[1:4])
    message = cbor2.loads(receipt)
    if message.tag != 18:
        raise ValueError("not COSE_Sign1")
    protected, unprotected, payload, signature = message.value
    header = cbor2.loads(protected)
    if header[1] != -8 or header[395] != 1 or payload is not None:
        raise ValueError("not an Ed25519 receipt of RFC9162_SHA256 with a detached payload")
    (proof,) = unprotected[396][-1]
    root = root_of(entry, *cbor2.loads(proof))
    signed = cbor2.dumps(["Signature1", protected, b"", root])
    Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    print("included")


try:
    main()
except (ValueError, InvalidSignature) as error:
    print(f"refused: {error!r}")
    sys.exit(1)
