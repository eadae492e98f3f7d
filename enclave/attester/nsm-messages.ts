import { encodeCbor, fromUtf8, ServiceError } from '@veritee/protocol';

// The one exchange of aws-nitro-enclaves-nsm-api (src/api/mod.rs) that an Attester needs. A request is canonical CBOR,
// which the device takes like any other; an answer may come in another encoding, for example with maps of indefinite
// length, as current hypervisors write their documents.

export interface AttestationRequest {
  readonly userData: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly nonce: Uint8Array | null;
}

export const encodeAttestationRequest = ({ userData, publicKey, nonce }: AttestationRequest): Uint8Array<ArrayBuffer> =>
  encodeCbor(
    new Map([
      [
        'Attestation',
        new Map([
          ['user_data', userData],
          ['nonce', nonce],
          ['public_key', publicKey],
        ]),
      ],
    ]),
  );

const malformed = (reason: string): ServiceError =>
  new ServiceError('PLATFORM_FAILED', `nsm: malformed answer: ${reason}`, { field: 'nsm' });

const INDEFINITE = 31;
const BYTES = 2;
const TEXT = 3;
const MAP = 5;
const BREAK = 0xff;

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

  /** The argument of an item of that type, in whatever width; null for an indefinite length. */
  #argument(major: number): number | null {
    const initial = this.#take(1)[0] as number;
    const info = initial & 0x1f;
    if (initial >> 5 !== major || (info > 27 && info !== INDEFINITE)) throw malformed('not the type it should be');
    if (info === INDEFINITE) return null;
    if (info < 24) return info;
    return this.#take(1 << (info - 24)).reduce((value, byte) => value * 256 + byte, 0);
  }

  string(major: typeof BYTES | typeof TEXT): Uint8Array {
    const length = this.#argument(major);
    if (length === null) throw malformed('a string in pieces');
    return this.#take(length);
  }

  text(): string {
    try {
      return fromUtf8(this.string(TEXT));
    } catch (error) {
      if (error instanceof ServiceError) throw error;
      throw malformed('text that is not UTF-8');
    }
  }

  /** A map of one entry: its key, then whatever `value` reads. */
  entry<T>(value: (key: string) => T): T {
    const count = this.#argument(MAP);
    if (count !== null && count !== 1) throw malformed('not a map of one entry');
    const read = value(this.text());
    if (count === null && this.#take(1)[0] !== BREAK) throw malformed('not a map of one entry');
    return read;
  }

  end(): void {
    if (this.#offset !== this.#data.length) throw malformed('bytes after the end');
  }
}

/** nsm-api's ErrorCode: only these names go into a message. */
const ERRORS: readonly string[] = [
  'InvalidArgument',
  'InvalidIndex',
  'InvalidResponse',
  'ReadOnlyIndex',
  'InvalidOperation',
  'BufferTooSmall',
  'InputTooLarge',
  'InternalError',
];

/**
 * The document in `{Attestation: {document}}`.
 *
 * @throws ServiceError PLATFORM_FAILED the device answered with an error, or with something else
 */
export function readAttestationAnswer(answer: Uint8Array): Uint8Array<ArrayBuffer> {
  const reader = new Reader(answer);
  const document = reader.entry((variant) => {
    if (variant === 'Error') {
      const name = reader.text();
      const shown = ERRORS.includes(name) ? name : 'an unknown error';
      throw new ServiceError('PLATFORM_FAILED', `nsm: ${shown}`, { field: 'nsm' });
    }
    if (variant !== 'Attestation') throw malformed('not an attestation');
    return reader.entry((field) => {
      if (field !== 'document') throw malformed('not a document');
      return new Uint8Array(reader.string(BYTES));
    });
  });
  reader.end();
  if (document.length === 0) throw malformed('an empty document');
  return document;
}
