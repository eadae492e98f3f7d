import { createHash } from 'node:crypto';
import { type Bytes, bytes } from '@veritee/protocol';

export const PCR_COUNT = 32;
/** PCR0 to PCR15 are set and locked before the enclave's program runs. */
export const PLATFORM_PCRS = 16;
const PCR_BYTES = 48;

/** What the device answers instead of a result; nsm-api's ErrorCode. */
export type NsmErrorCode =
  | 'InvalidArgument'
  | 'InvalidIndex'
  | 'InvalidResponse'
  | 'ReadOnlyIndex'
  | 'InvalidOperation'
  | 'BufferTooSmall'
  | 'InputTooLarge'
  | 'InternalError';

export class NsmError extends Error {
  override readonly name = 'NsmError';
  readonly code: NsmErrorCode;
  constructor(code: NsmErrorCode) {
    super(code);
    this.code = code;
  }
}

const zero = (): Bytes<48> => bytes(new Uint8Array(PCR_BYTES), PCR_BYTES, 'PCR');

/** A register after one extension: SHA-384 of its value and the data. */
export const extended = (value: Uint8Array, data: Uint8Array): Bytes<48> =>
  bytes(createHash('sha384').update(value).update(data).digest(), PCR_BYTES, 'PCR');

/** A platform register over that content: one extension of a zero register by the content's SHA-384. */
export function pcrOf(...content: readonly Uint8Array[]): Bytes<48> {
  const digest = createHash('sha384');
  for (const part of content) digest.update(part);
  return extended(zero(), digest.digest());
}

/** The module's 32 registers: they can only be extended, and once locked not even that. */
export class PcrBank {
  readonly #registers: { value: Bytes<48>; locked: boolean }[];

  /** @param platform values of PCR0 to PCR15; what is not given is zero */
  constructor(platform: ReadonlyMap<number, Bytes<48>>) {
    for (const index of platform.keys()) {
      if (!Number.isInteger(index) || index < 0 || index >= PLATFORM_PCRS) {
        throw new RangeError(`PCR${index} is not one of the platform's, 0 to ${PLATFORM_PCRS - 1}`);
      }
    }
    this.#registers = Array.from({ length: PCR_COUNT }, (_, index) => ({
      value: platform.get(index) ?? zero(),
      locked: index < PLATFORM_PCRS,
    }));
  }

  #at(index: number) {
    const register = this.#registers[index];
    if (!register) throw new NsmError('InvalidIndex');
    return register;
  }

  describe(index: number): { readonly lock: boolean; readonly data: Bytes<48> } {
    const { locked, value } = this.#at(index);
    return { lock: locked, data: value };
  }

  extend(index: number, data: Uint8Array): Bytes<48> {
    const register = this.#at(index);
    if (register.locked) throw new NsmError('ReadOnlyIndex');
    register.value = extended(register.value, data);
    return register.value;
  }

  lock(index: number): void {
    const register = this.#at(index);
    if (register.locked) throw new NsmError('ReadOnlyIndex');
    register.locked = true;
  }

  /** Locks PCR0 to PCR(range−1), whether or not they are locked already. */
  lockRange(range: number): void {
    if (range > PCR_COUNT) throw new NsmError('InvalidIndex');
    for (const register of this.#registers.slice(0, range)) register.locked = true;
  }

  /** What a document carries. */
  get locked(): ReadonlyMap<number, Bytes<48>> {
    return new Map(this.#registers.flatMap(({ value, locked }, index) => (locked ? [[index, value] as const] : [])));
  }
}
