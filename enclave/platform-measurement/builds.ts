/**
 * Builds as their publisher names them: the file of reference values that clients use (docs/formats.md, Reference values).
 * Its signature is theirs to check; here it only warns an operator early that no client will accept this launch.
 */
import { type Bytes, CodedError, fromHex, parseJson } from '@veritee/protocol';

const PROFILE = 'veritee/reference-values/v1';
export const MAX_REFERENCE_BYTES = 1 << 20;

interface Named {
  readonly name: string;
  readonly notAfter: Date | null;
}

export interface SnpBuild extends Named {
  readonly measurements: readonly Bytes<48>[];
  readonly hostData: Bytes<32> | null;
  readonly vmpl: number;
  readonly idKeyDigest: Bytes<48> | null;
  readonly authorKeyDigest: Bytes<48> | null;
}

export interface NitroBuild extends Named {
  readonly pcr0: Bytes<48> | null;
  readonly pcr1: Bytes<48> | null;
  readonly pcr2: Bytes<48> | null;
  readonly pcr8: Bytes<48> | null;
}

/** null stands for "unused": any value will do. */
export interface Builds {
  readonly sevSnp: readonly SnpBuild[];
  readonly nitro: readonly NitroBuild[];
  readonly denied: readonly Bytes<48>[];
}

/** @throws CodedError REFERENCE_VALUES_INVALID, with the path of what is wrong */
export function readBuilds(file: Uint8Array): Builds {
  const whole = new Place(parsed(file), 'referenceValues');
  whole.of('profile').equals(PROFILE);
  return {
    sevSnp: whole.of('sevSnp').items(snpBuild),
    nitro: whole.of('nitro').items(nitroBuild),
    denied: whole.of('deniedMeasurements').items((item) => item.hex(48)),
  };
}

const snpBuild = (build: Place): SnpBuild => ({
  ...named(build),
  measurements: build.has('measurements')
    ? build.of('measurements').items((item) => item.hex(48))
    : [build.of('measurement').hex(48)],
  hostData: build.of('hostData').hexOrUnused(32),
  vmpl: build.of('vmpl').level(),
  idKeyDigest: build.of('idKeyDigest').hexOrUnused(48),
  authorKeyDigest: build.of('authorKeyDigest').hexOrUnused(48),
});

const nitroBuild = (build: Place): NitroBuild => ({
  ...named(build),
  pcr0: build.of('pcr0').hexOrUnused(48),
  pcr1: build.of('pcr1').hexOrUnused(48),
  pcr2: build.of('pcr2').hexOrUnused(48),
  pcr8: build.of('pcr8').hexOrUnused(48),
});

const named = (build: Place): Named => ({
  name: build.of('name').text(),
  notAfter: build.has('notAfter') ? build.of('notAfter').date() : null,
});

function parsed(file: Uint8Array): unknown {
  try {
    return parseJson(file, 'referenceValues');
  } catch (cause) {
    throw new CodedError('REFERENCE_VALUES_INVALID', 'reference values: not JSON', { field: 'referenceValues', cause });
  }
}

/** A value at a place in the file. */
class Place {
  readonly #value: unknown;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    this.#value = value;
    this.#path = path;
  }

  #refuse(want: string): never {
    throw new CodedError('REFERENCE_VALUES_INVALID', `${this.#path}: want ${want}`, { field: this.#path });
  }

  has(name: string): boolean {
    return this.#value instanceof Map && this.#value.has(name);
  }

  of(name: string): Place {
    if (!(this.#value instanceof Map)) return this.#refuse('an object');
    return new Place(this.#value.get(name), `${this.#path}.${name}`);
  }

  items<T>(read: (item: Place) => T): readonly T[] {
    if (!Array.isArray(this.#value)) return this.#refuse('a list');
    return this.#value.map((item, i) => read(new Place(item, `${this.#path}[${i}]`)));
  }

  equals(word: string): void {
    if (this.#value !== word) this.#refuse(JSON.stringify(word));
  }

  text(): string {
    return typeof this.#value === 'string' && this.#value !== '' ? this.#value : this.#refuse('text');
  }

  level(): number {
    const found = [0, 1, 2, 3].find((level) => level === this.#value);
    return found ?? this.#refuse('an integer from 0 to 3');
  }

  hex<N extends number>(n: N): Bytes<N> {
    const raw = typeof this.#value === 'string' ? fromHex(this.#value) : null;
    return raw?.length === n ? (raw as Bytes<N>) : this.#refuse(`${n} bytes in hexadecimal`);
  }

  hexOrUnused<N extends number>(n: N): Bytes<N> | null {
    return this.#value === 'unused' ? null : this.hex(n);
  }

  date(): Date {
    const date = new Date(typeof this.#value === 'string' ? this.#value : Number.NaN);
    return Number.isNaN(date.getTime()) ? this.#refuse('a time') : date;
  }
}
