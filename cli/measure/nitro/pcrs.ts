/**
 * The registers that an enclave image determines (AWS, aws-nitro-enclaves-image-format, `get_pcrs` and `EifHasher`):
 * SHA-384 over 48 zero bytes and the SHA-384 of what is measured. The contents count, joined without any separator;
 * section headers, metadata and signature do not.
 */
import type { Bytes } from '@veritee/protocol';
import { sha384 } from '../hash.ts';

export interface EnclaveParts {
  readonly kernel: Uint8Array;
  readonly cmdline: Uint8Array;
  /** The first holds the boot code, the others the application. */
  readonly ramdisks: readonly [Uint8Array, ...Uint8Array[]];
}

export interface EnclavePcrs {
  /** The whole image. */
  readonly pcr0: Bytes<48>;
  /** Kernel, command line and first ramdisk. */
  readonly pcr1: Bytes<48>;
  /** The other ramdisks. */
  readonly pcr2: Bytes<48>;
}

const ZEROS = new Uint8Array(48) as Bytes<48>;

const extend = (...parts: readonly Uint8Array[]): Bytes<48> => sha384(ZEROS, sha384(...parts));

export function measureEnclave({ kernel, cmdline, ramdisks: [boot, ...application] }: EnclaveParts): EnclavePcrs {
  return {
    pcr0: extend(kernel, cmdline, boot, ...application),
    pcr1: extend(kernel, cmdline, boot),
    pcr2: extend(...application),
  };
}

/** @param certificate DER of the certificate that signed the image; null: nobody did, and the register stays zero */
export const measureSigner = (certificate: Uint8Array | null): Bytes<48> => (certificate ? extend(certificate) : ZEROS);
