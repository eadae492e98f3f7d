import { type Bytes, bytes, type Cbor, encodeCbor, fromUtf8, ServiceError } from '@veritee/protocol';

// The exchanges of aws-nitro-enclaves-nsm-api (src/api/mod.rs) that an Attester needs. A request is canonical CBOR, which
// the device takes like any other; an answer may come in another encoding, for example with maps of indefinite length, as
// current hypervisors write their documents. A variant without fields is its name, any other a map of one entry.

export interface AttestationRequest {
  readonly userData: Uint8Array | null;
  readonly publicKey: Uint8Array | null;
  readonly nonce: Uint8Array | null;
}

const variant = (name: string, fields: readonly (readonly [string, Cbor])[]): Uint8Array<ArrayBuffer> =>
  encodeCbor(new Map([[name, new Map(fields)]]));

export const encodeAttestationRequest = ({ userData, publicKey, nonce }: AttestationRequest): Uint8Array<ArrayBuffer> =>
  variant('Attestation', [
    ['user_data', userData],
    ['nonce', nonce],
    ['public_key', publicKey],
  ]);

export const encodeDescribeNsm = (): Uint8Array<ArrayBuffer> => encodeCbor('DescribeNSM');
export const encodeGetRandom = (): Uint8Array<ArrayBuffer> => encodeCbor('GetRandom');
export const encodeDescribePcr = (index: number): Uint8Array<ArrayBuffer> => variant('DescribePCR', [['index', index]]);
export const encodeLockPcr = (index: number): Uint8Array<ArrayBuffer> => variant('LockPCR', [['index', index]]);
export const encodeExtendPcr = (index: number, data: Uint8Array): Uint8Array<ArrayBuffer> =>
  variant('ExtendPCR', [
    ['index', index],
    ['data', data],
  ]);

const malformed = (reason: string): ServiceError =>
  new ServiceError('PLATFORM_FAILED', `nsm: malformed answer: ${reason}`, { field: 'nsm' });

const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const INDEFINITE = 31;
const BREAK = 0xff;
const TRUE = 0xf5;
const FALSE = 0xf4;
/** No answer has more; the device's own count of registers is 32. */
const MAX_ITEMS = 64;

class Reader {
  readonly #data: Uint8Array;
  #offset = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  #take(length: number): Uint8Array {
    if (length > this.#data.length - this.#offset) throw malformed('truncated');
    const part = this.#data.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return part;
  }

  get major(): number {
    const next = this.#data[this.#offset];
    if (next === undefined) throw malformed('truncated');
    return next >> 5;
  }

  /** The argument of an item of that type, in whatever width; null for an indefinite length. */
  #argument(major: number): number | null {
    const initial = this.#take(1)[0] as number;
    const info = initial & 0x1f;
    if (initial >> 5 !== major || (info > 27 && info !== INDEFINITE)) throw malformed('not the type it should be');
    if (info === INDEFINITE) return null;
    if (info < 24) return info;
    return this.#take(1 << (info - 24)).reduce((value, byte) => value * 256 + byte, 0);
  }

  number(): number {
    const value = this.#argument(UNSIGNED);
    if (value === null || !Number.isSafeInteger(value)) throw malformed('not a number');
    return value;
  }

  boolean(): boolean {
    const value = this.#take(1)[0];
    if (value !== TRUE && value !== FALSE) throw malformed('neither true nor false');
    return value === TRUE;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#string(BYTES));
  }

  text(): string {
    const raw = this.#string(TEXT);
    try {
      return fromUtf8(raw);
    } catch {
      throw malformed('text that is not UTF-8');
    }
  }

  #string(major: typeof BYTES | typeof TEXT): Uint8Array {
    const length = this.#argument(major);
    if (length === null) throw malformed('a string in pieces');
    return this.#take(length);
  }

  numbers(): readonly number[] {
    const found: number[] = [];
    this.#items(ARRAY, () => found.push(this.number()));
    return found;
  }

  /** Reads each member with the reader of its name; every one exactly once, and no other. */
  map<T extends object>(members: { readonly [name in keyof T]: () => T[name] }): T {
    const found = new Map<string, unknown>();
    this.#items(MAP, () => {
      const name = this.text();
      const read = Object.hasOwn(members, name) ? members[name as keyof T] : undefined;
      if (!read || found.has(name)) throw malformed('a member that is not expected');
      found.set(name, read());
    });
    if (found.size !== Object.keys(members).length) throw malformed('a member is missing');
    return Object.fromEntries(found) as T;
  }

  /** A map of one entry: its key, then whatever `value` reads. */
  entry<T>(value: (key: string) => T): T {
    const count = this.#argument(MAP);
    if (count !== null && count !== 1) throw malformed('not a map of one entry');
    const read = value(this.text());
    if (count === null && this.#take(1)[0] !== BREAK) throw malformed('not a map of one entry');
    return read;
  }

  #items(major: typeof ARRAY | typeof MAP, read: () => void): void {
    const count = this.#argument(major);
    for (let i = 0; count === null ? this.#data[this.#offset] !== BREAK : i < count; i++) {
      if (i === MAX_ITEMS) throw malformed('too many items');
      read();
    }
    if (count === null) this.#take(1);
  }

  end(): void {
    if (this.#offset !== this.#data.length) throw malformed('bytes after the end');
  }
}

/** nsm-api's ErrorCode: only these names go into a message. `Success` is none, but the device has a code for it. */
export const NSM_ERRORS: Readonly<Record<string, string>> = {
  Success: 'an error that says success',
  InvalidArgument: 'an argument it does not take',
  InvalidIndex: 'no such register',
  InvalidResponse: 'its answer does not fit the request',
  ReadOnlyIndex: 'the register is locked',
  InvalidOperation: 'a request it does not know',
  BufferTooSmall: 'the buffer for the answer is too small',
  InputTooLarge: 'user_data, nonce or public_key is too long',
  InternalError: 'an internal error',
};

/** The device's own refusal. */
export class NsmRefusal extends ServiceError {
  readonly error: string;
  constructor(error: string) {
    const known = Object.hasOwn(NSM_ERRORS, error);
    const reason = known ? `${error}: ${NSM_ERRORS[error]}` : 'an unknown error';
    super('PLATFORM_FAILED', `nsm: ${reason}`, { field: 'nsm' });
    this.error = known ? error : 'unknown';
  }
}

function readAnswer<T>(answer: Uint8Array, name: string, read: (reader: Reader) => T): T {
  const reader = new Reader(answer);
  const value = reader.entry((variant) => {
    if (variant === 'Error') throw new NsmRefusal(reader.text());
    if (variant !== name) throw malformed('another answer than to this request');
    return read(reader);
  });
  reader.end();
  return value;
}

/**
 * The document in `{Attestation: {document}}`.
 *
 * @throws ServiceError PLATFORM_FAILED the device answered with an error, or with something else; so do all below
 */
export function readAttestationAnswer(answer: Uint8Array): Uint8Array<ArrayBuffer> {
  const { document } = readAnswer(answer, 'Attestation', (reader) => reader.map({ document: () => reader.bytes() }));
  if (document.length === 0) throw malformed('an empty document');
  return document;
}

export interface NsmDescription {
  readonly version: string;
  readonly moduleId: string;
  readonly maxPcrs: number;
  readonly lockedPcrs: readonly number[];
}

export function readDescription(answer: Uint8Array): NsmDescription {
  const facts = readAnswer(answer, 'DescribeNSM', (reader) =>
    reader.map({
      version_major: () => reader.number(),
      version_minor: () => reader.number(),
      version_patch: () => reader.number(),
      module_id: () => reader.text(),
      max_pcrs: () => reader.number(),
      locked_pcrs: () => reader.numbers(),
      digest: () => reader.text(),
    }),
  );
  if (facts.digest !== 'SHA384') throw malformed('registers that are not SHA-384');
  const { version_major: major, version_minor: minor, version_patch: patch } = facts;
  return {
    version: `${major}.${minor}.${patch}`,
    moduleId: facts.module_id,
    maxPcrs: facts.max_pcrs,
    lockedPcrs: facts.locked_pcrs,
  };
}

const PCR_BYTES = 48;

function register(reader: Reader): Bytes<48> {
  const value = reader.bytes();
  if (value.length !== PCR_BYTES) throw malformed(`a register of ${value.length} bytes`);
  return bytes(value, PCR_BYTES, 'PCR');
}

export interface Pcr {
  readonly lock: boolean;
  readonly data: Bytes<48>;
}

export const readPcr = (answer: Uint8Array): Pcr =>
  readAnswer(answer, 'DescribePCR', (reader) =>
    reader.map({ lock: () => reader.boolean(), data: () => register(reader) }),
  );

export const readExtended = (answer: Uint8Array): Bytes<48> =>
  readAnswer(answer, 'ExtendPCR', (reader) => reader.map({ data: () => register(reader) })).data;

export function readLocked(answer: Uint8Array): void {
  const reader = new Reader(answer);
  if (reader.major !== TEXT) {
    readAnswer(answer, 'LockPCR', () => undefined);
  } else {
    if (reader.text() !== 'LockPCR') throw malformed('another answer than to this request');
    reader.end();
  }
}

/** At most 256 bytes, as the device gives them. */
export function readRandom(answer: Uint8Array): Uint8Array<ArrayBuffer> {
  const { random } = readAnswer(answer, 'GetRandom', (reader) => reader.map({ random: () => reader.bytes() }));
  if (random.length === 0) throw malformed('no random bytes');
  return random;
}
