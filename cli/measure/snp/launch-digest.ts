/**
 * The launch digest as the AMD Secure Processor forms it: AMD 56860 §8.17.2, SNP_LAUNCH_UPDATE, PAGE_INFO. Each page
 * that the hypervisor hands over before launch replaces the digest by the hash of the one before and of what the page is.
 */
import { type Bytes, bytes } from '@veritee/protocol';
import { sha384 } from '../hash.ts';

export const PAGE_BYTES = 4096;
const PAGE_INFO_BYTES = 0x70;
/** Where KVM and the clouds put a VMSA: GPA −1, cut to a page and to 48 bits. */
const VMSA_GPA = 0xffff_ffff_f000n;

/** PAGE_TYPE. Only the contents of normal pages and VMSAs are measured. */
const TYPE = { normal: 1, vmsa: 2, zero: 3, unmeasured: 4, secrets: 5, cpuid: 6 } as const;
export type EmptyPage = 'zero' | 'unmeasured' | 'secrets' | 'cpuid';

const NOTHING = new Uint8Array(48);

export class LaunchDigest {
  #digest: Uint8Array;

  /** @param start the digest after earlier pages; at a launch there are none */
  constructor(start: Uint8Array = NOTHING) {
    this.#digest = bytes(start, 48, 'launchDigest');
  }

  get value(): Bytes<48> {
    return bytes(this.#digest, 48, 'launchDigest');
  }

  /** @param data whole pages */
  normalPages(gpa: number, data: Uint8Array): void {
    for (let at = 0; at < data.length; at += PAGE_BYTES) {
      this.#update(TYPE.normal, BigInt(gpa + at), sha384(data.subarray(at, at + PAGE_BYTES)));
    }
  }

  emptyPages(kind: EmptyPage, gpa: number, size: number): void {
    for (let at = 0; at < size; at += PAGE_BYTES) this.#update(TYPE[kind], BigInt(gpa + at), NOTHING);
  }

  vmsaPage(page: Uint8Array): void {
    this.#update(TYPE.vmsa, VMSA_GPA, sha384(page));
  }

  #update(type: number, gpa: bigint, contents: Uint8Array): void {
    const info = new Uint8Array(PAGE_INFO_BYTES);
    const view = new DataView(info.buffer);
    info.set(this.#digest, 0x00); // DIGEST_CUR
    info.set(contents, 0x30); // CONTENTS
    view.setUint16(0x60, PAGE_INFO_BYTES, true); // LENGTH
    view.setUint8(0x62, type); // PAGE_TYPE
    // 0x63 IMI_PAGE and 0x65 to 0x67, the permissions of VMPL 3 to 1, are 0 at every launch there is.
    view.setBigUint64(0x68, gpa, true); // GPA
    this.#digest = sha384(info);
  }
}
