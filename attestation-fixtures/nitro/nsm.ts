import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { type Bytes, encodeCbor, ServiceError, utf8 } from '@veritee/protocol';
import { encodeStruct, readCbor, type Value } from './cbor.ts';
import { moduleIdOf, type NitroIdentity } from './certificates.ts';
import { CURRENT_ENCODING, type DocumentEncoding, encodeDocument } from './document.ts';
import { KEY_FILE, loadNitro, type NitroState, nitroRootPem, REGION, saveNitro } from './key-file.ts';
import { NsmError, type NsmErrorCode, PCR_COUNT, PcrBank, pcrOf } from './pcrs.ts';
import { createNitroRoot, launchIdentity, randomInstanceId, SimulatedNitroPki } from './pki.ts';

export interface SimulatedNsmOptions {
  /**
   * PCR0 to PCR15 as the launch sets them: 0 the image, 1 its kernel and boot, 2 its application, 8 its signer. PCR4 is
   * over the instance id unless given; every other one that is not given is zero.
   */
  readonly pcrs: ReadonlyMap<number, Bytes<48>>;
  /** An enclave started in debug mode: PCR0, PCR1 and PCR2 are zero, the others stay. */
  readonly debug?: boolean;
  /** For a new platform; one that was kept keeps its own. */
  readonly region?: string;
  readonly encoding?: Partial<DocumentEncoding>;
  readonly now?: () => Date;
}

/** Makes the next `times` requests fail: in the driver, or with the device's own error. */
export type NsmFault = { readonly times: number } & (
  | { readonly errno: keyof typeof constants.errno }
  | { readonly error: NsmErrorCode }
);

const DEFAULT_REGION = 'us-east-1';
/** Longest request that the driver takes; an answer may have 0x3000. */
const REQUEST_MAX = 0x1000;
/** Genuine documents carry 1,024 bytes in each of the three fields, although AWS's text allows two of them only 512. */
const FIELD_MAX = 1024;
const RANDOM_BYTES = 256;
const MEASURED_PCRS: readonly number[] = [0, 1, 2];
const INSTANCE_PCR = 4;

function launchPcrs({ pcrs, debug }: SimulatedNsmOptions, instanceId: string): ReadonlyMap<number, Bytes<48>> {
  const all = new Map([[INSTANCE_PCR, pcrOf(utf8(instanceId))], ...pcrs]);
  if (debug) for (const index of MEASURED_PCRS) all.delete(index);
  return all;
}

/**
 * A software Nitro Security Module under a throw-away root: CBOR in, CBOR out, as through /dev/nsm. Each object is one
 * launch of an enclave, with its own module id. It signs whatever it is told.
 *
 * Requests, answers and limits are those of aws-nitro-enclaves-nsm-api (src/api/mod.rs) and of Linux drivers/misc/nsm.c;
 * which error answers which mistake follows QEMU's hw/virtio/virtio-nsm.c.
 */
export class SimulatedNsm {
  readonly #state: NitroState;
  readonly #identity: NitroIdentity;
  readonly #pki: SimulatedNitroPki;
  readonly #pcrs: PcrBank;
  readonly #encoding: DocumentEncoding;
  readonly #now: () => Date;
  readonly #faults: { readonly fault: NsmFault; left: number }[] = [];

  private constructor(state: NitroState, options: SimulatedNsmOptions) {
    this.#state = state;
    this.#now = options.now ?? (() => new Date());
    this.#identity = launchIdentity(state.region, state.instanceId, this.#now());
    this.#pki = new SimulatedNitroPki(state.root, this.#identity);
    this.#pcrs = new PcrBank(launchPcrs(options, state.instanceId));
    this.#encoding = { ...CURRENT_ENCODING, ...options.encoding };
  }

  /** A launch under a new root. */
  static create(options: SimulatedNsmOptions): SimulatedNsm {
    const region = options.region ?? DEFAULT_REGION;
    if (!REGION.test(region)) throw new TypeError('region: want the name of an AWS region');
    return new SimulatedNsm({ region, instanceId: randomInstanceId(), root: createNitroRoot() }, options);
  }

  /** @throws ServiceError DATA_FOLDER_UNUSABLE the files are missing, damaged or do not belong together */
  static async load(folder: string, options: SimulatedNsmOptions): Promise<SimulatedNsm> {
    const state = await loadNitro(folder);
    if (state) return new SimulatedNsm(state, options);
    throw new ServiceError('DATA_FOLDER_UNUSABLE', `${folder} holds no ${KEY_FILE}`, { field: KEY_FILE });
  }

  /**
   * A launch under the root kept in that folder, or under a new one that is then kept there. Damage is an error, never a
   * reason for new keys.
   *
   * @throws ServiceError DATA_FOLDER_UNUSABLE also when the platform kept there is in another region than the one asked for
   */
  static async loadOrCreate(folder: string, options: SimulatedNsmOptions): Promise<SimulatedNsm> {
    const state = await loadNitro(folder);
    if (!state) {
      const created = SimulatedNsm.create(options);
      await created.save(folder);
      return created;
    }
    if (options.region !== undefined && options.region !== state.region) {
      const message = `${folder} holds a simulated Nitro platform in ${state.region}, not ${options.region}`;
      throw new ServiceError('DATA_FOLDER_UNUSABLE', message, { field: KEY_FILE });
    }
    return new SimulatedNsm(state, options);
  }

  /** Writes `simulated-nitro.key` (mode 0600) and `simulated-nitro-root.pem`, replacing what is there. */
  save(folder: string): Promise<void> {
    return saveNitro(folder, this.#state);
  }

  get moduleId(): string {
    return moduleIdOf(this.#identity);
  }

  get region(): string {
    return this.#state.region;
  }

  /** The root certificate as DER. */
  get root(): Uint8Array {
    return this.#state.root.certificate;
  }

  /** The root as PEM, headed by a warning. */
  get rootPem(): string {
    return nitroRootPem(this.#state);
  }

  failNext(fault: NsmFault): void {
    this.#faults.push({ fault, left: fault.times });
  }

  /**
   * One ioctl on /dev/nsm. What the device refuses is an answer `{Error: name}`; what the driver refuses is thrown.
   *
   * @throws Error with Node's `code`: EMSGSIZE a request over 4,096 bytes
   */
  async request(request: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    try {
      if (request.length > REQUEST_MAX) throw driverError('EMSGSIZE');
      this.#raiseFault();
      return this.#answer(request);
    } catch (error) {
      if (error instanceof NsmError) return encodeStruct({ Error: encodeCbor(error.code) });
      throw error;
    }
  }

  #answer(request: Uint8Array): Uint8Array<ArrayBuffer> {
    const { name, fields } = readRequest(request);
    const number = (key: string): number => integer(fields?.get(key));
    switch (fields === null ? name : `${name}{}`) {
      case 'DescribeNSM':
        return encodeStruct({ DescribeNSM: this.#describe() });
      case 'GetRandom':
        return encodeStruct({ GetRandom: encodeStruct({ random: encodeCbor(randomBytes(RANDOM_BYTES)) }) });
      case 'DescribePCR{}': {
        const { lock, data } = this.#pcrs.describe(number('index'));
        return encodeStruct({ DescribePCR: encodeStruct({ lock: encodeCbor(lock), data: encodeCbor(data) }) });
      }
      case 'ExtendPCR{}': {
        const data = this.#pcrs.extend(number('index'), octets(fields?.get('data')));
        return encodeStruct({ ExtendPCR: encodeStruct({ data: encodeCbor(data) }) });
      }
      case 'LockPCR{}':
        this.#pcrs.lock(number('index'));
        return encodeCbor('LockPCR');
      case 'LockPCRs{}':
        this.#pcrs.lockRange(number('range'));
        return encodeCbor('LockPCRs');
      case 'Attestation{}': {
        const document = this.#document(
          optional(fields, 'user_data'),
          optional(fields, 'nonce'),
          optional(fields, 'public_key'),
        );
        return encodeStruct({ Attestation: encodeStruct({ document: encodeCbor(document) }) });
      }
      default:
        throw new NsmError('InvalidOperation');
    }
  }

  #describe(): Uint8Array {
    return encodeStruct({
      version_major: encodeCbor(1),
      version_minor: encodeCbor(0),
      version_patch: encodeCbor(0),
      module_id: encodeCbor(this.moduleId),
      max_pcrs: encodeCbor(PCR_COUNT),
      locked_pcrs: encodeCbor([...this.#pcrs.locked.keys()]),
      digest: encodeCbor('SHA384'),
    });
  }

  #document(userData: Uint8Array | null, nonce: Uint8Array | null, publicKey: Uint8Array | null): Uint8Array {
    const now = this.#now();
    const leaf = this.#pki.leaf(now);
    const fields = {
      moduleId: this.moduleId,
      digest: 'SHA384',
      timestamp: now.getTime(),
      pcrs: this.#pcrs.locked,
      certificate: leaf.certificate,
      cabundle: leaf.cabundle,
      ...{ publicKey, userData, nonce },
    };
    return encodeDocument(fields, leaf.privateKey, this.#encoding);
  }

  #raiseFault(): void {
    const armed = this.#faults.find(({ left }) => left > 0);
    if (!armed) return;
    armed.left -= 1;
    if ('error' in armed.fault) throw new NsmError(armed.fault.error);
    throw driverError(armed.fault.errno);
  }
}

function driverError(code: keyof typeof constants.errno): Error {
  return Object.assign(new Error(`${code}: simulated NSM, ioctl`), {
    code,
    errno: -constants.errno[code],
    syscall: 'ioctl',
  });
}

type Fields = Extract<Value, ReadonlyMap<unknown, unknown>>;

/** serde's external tagging: a variant without fields is its name, any other a map of one entry. */
function readRequest(request: Uint8Array): { readonly name: string; readonly fields: Fields | null } {
  let value: Value;
  try {
    value = readCbor(request);
  } catch (error) {
    if (error instanceof SyntaxError) throw new NsmError('InvalidOperation');
    throw error;
  }
  if (typeof value === 'string') return { name: value, fields: null };
  const [[name, fields] = [], ...more] = value instanceof Map ? [...(value as Fields)] : [];
  if (typeof name !== 'string' || !(fields instanceof Map) || more.length > 0) throw new NsmError('InvalidOperation');
  return { name, fields };
}

function integer(value: Value | undefined): number {
  if (typeof value !== 'bigint') throw new NsmError('InvalidOperation');
  return Number(value);
}

function octets(value: Value | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return utf8(value);
  throw new NsmError('InvalidOperation');
}

function optional(fields: Fields | null, name: string): Uint8Array | null {
  const value = fields?.get(name) ?? null;
  if (value === null) return null;
  const data = octets(value);
  if (data.length > FIELD_MAX) throw new NsmError('InputTooLarge');
  return data;
}
