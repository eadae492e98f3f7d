import { randomBytes } from 'node:crypto';
import { type Bytes, bytes, ServiceError } from '@veritee/protocol';
import { publicKeyOf } from '../certificate.ts';
import {
  type CrlContent,
  createAuthority,
  generateVcekKey,
  type KeyProgress,
  makeCrl,
  type SimulatedAuthority,
} from './authority.ts';
import { issueCertificate, vcekSpec } from './certificates.ts';
import { arkPem, type ChipState, KEY_FILE, loadChip, saveChip } from './key-file.ts';
import { PRODUCTS, type Product, requireLayout, type Tcb } from './products.ts';
import { encodeReport, type ReportFields, type ReportVersion, reportFields, signReport } from './report.ts';

export interface SimulatedAmdSpOptions {
  readonly product?: Product;
  readonly reportVersion?: ReportVersion;
  readonly tcb?: Tcb;
  /** 64 bytes; on Turin all but the first eight are zero. */
  readonly chipId?: Bytes<64>;
  /** A ready-made root and intermediate, which saves making RSA keys. */
  readonly authority?: SimulatedAuthority;
  /** When the VCEK's seven years begin. */
  readonly now?: Date;
  readonly onProgress?: KeyProgress;
}

/** What the guest's launch and its request decide; all other fields are the chip's. */
export type GuestFields = Pick<ReportFields, 'reportData' | 'measurement'> &
  Partial<
    Pick<
      ReportFields,
      | 'guestSvn'
      | 'policy'
      | 'familyId'
      | 'imageId'
      | 'vmpl'
      | 'hostData'
      | 'idKeyDigest'
      | 'authorKeyDigest'
      | 'reportId'
      | 'reportIdMa'
    >
  >;

export function randomChipId(product: Product): Bytes<64> {
  const chipId = new Uint8Array(64);
  chipId.set(randomBytes(PRODUCTS[product].chipIdLength));
  return bytes(chipId, 64, 'CHIP_ID');
}

/** A software AMD Secure Processor, with the authority that certifies it. It signs whatever its caller says. */
export class SimulatedAmdSp {
  readonly #state: ChipState;

  private constructor(state: ChipState) {
    this.#state = state;
  }

  /** Makes a chip under new roots: two RSA-4096 keys, so seconds unless `authority` is given. */
  static async create(options: SimulatedAmdSpOptions = {}): Promise<SimulatedAmdSp> {
    const product = options.product ?? options.authority?.product ?? 'Genoa';
    const tcb = options.tcb ?? PRODUCTS[product].tcb;
    requireLayout(product, tcb);
    if (options.authority && options.authority.product !== product) {
      throw new TypeError(`the authority certifies ${options.authority.product}, not ${product}`);
    }
    const [authority, privateKey] = await Promise.all([
      options.authority ?? createAuthority(product, options.onProgress),
      generateVcekKey(options.onProgress),
    ]);
    const chipId = options.chipId ?? randomChipId(product);
    const notBefore = options.now ?? new Date();
    const vcek = vcekSpec({ product, tcb, chipId, publicKey: publicKeyOf(privateKey), notBefore });
    const certificate = issueCertificate(vcek, authority.ask.privateKey);
    const reportVersion = options.reportVersion ?? 5;
    return new SimulatedAmdSp({ product, reportVersion, tcb, chipId, authority, vcek: { privateKey, certificate } });
  }

  /** @throws ServiceError DATA_FOLDER_UNUSABLE the files are missing, damaged or do not belong together */
  static async load(folder: string): Promise<SimulatedAmdSp> {
    const state = await loadChip(folder);
    if (state) return new SimulatedAmdSp(state);
    throw new ServiceError('DATA_FOLDER_UNUSABLE', `${folder} holds no ${KEY_FILE}`, { field: KEY_FILE });
  }

  /**
   * The chip kept in that folder, or a new one that is then kept there. Damage is an error, never a reason for new keys.
   * A kept chip keeps its TCB, CHIP_ID and dates: those options are for a new one.
   *
   * @throws ServiceError DATA_FOLDER_UNUSABLE also when the chip kept there is not the one asked for
   */
  static async loadOrCreate(folder: string, options: SimulatedAmdSpOptions = {}): Promise<SimulatedAmdSp> {
    const state = await loadChip(folder);
    if (!state) {
      const created = await SimulatedAmdSp.create(options);
      await created.save(folder);
      return created;
    }
    for (const name of ['product', 'reportVersion'] as const) {
      if (options[name] !== undefined && options[name] !== state[name]) {
        const message = `${folder} holds a simulated chip with ${name} ${state[name]}, not ${options[name]}`;
        throw new ServiceError('DATA_FOLDER_UNUSABLE', message, { field: KEY_FILE });
      }
    }
    return new SimulatedAmdSp(state);
  }

  /** Writes `simulated-snp.key` (mode 0600) and `simulated-snp-ark.pem`, replacing what is there. */
  save(folder: string): Promise<void> {
    return saveChip(folder, this.#state);
  }

  get product(): Product {
    return this.#state.product;
  }

  get reportVersion(): ReportVersion {
    return this.#state.reportVersion;
  }

  get tcb(): Tcb {
    return this.#state.tcb;
  }

  get chipId(): Bytes<64> {
    return this.#state.chipId;
  }

  /** Certificates as DER. */
  get certificates(): { readonly vcek: Uint8Array; readonly ask: Uint8Array; readonly ark: Uint8Array } {
    const { authority, vcek } = this.#state;
    return { vcek: vcek.certificate, ask: authority.ask.certificate, ark: authority.ark.certificate };
  }

  /** The root as PEM, headed by a warning. */
  get arkPem(): string {
    return arkPem(this.#state);
  }

  /** A signed report over what the guest gives. */
  report(guest: GuestFields): Bytes<1184> {
    const { product, reportVersion, tcb, chipId, vcek } = this.#state;
    const fields = reportFields(product, reportVersion, {
      ...guest,
      chipId,
      currentTcb: tcb,
      reportedTcb: tcb,
      committedTcb: tcb,
      launchTcb: tcb,
    });
    return signReport(encodeReport(fields), vcek.privateKey);
  }

  /** A DER CRL signed by this chip's root. */
  crl(content: CrlContent): Uint8Array<ArrayBuffer> {
    return makeCrl(this.#state.authority, content);
  }
}
