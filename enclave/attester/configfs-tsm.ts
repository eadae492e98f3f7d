/**
 * SEV-SNP through Linux' configfs-tsm (/sys/kernel/config/tsm/report): one directory per request, `inblob` in,
 * `auxblob` and `outblob` out, `generation` read again to see that nobody else wrote.
 *
 * @see Linux Documentation/ABI/testing/configfs-tsm-report
 */
import { randomBytes } from 'node:crypto';
import { type Bytes, bytes, equalBytes, hex, modelSetHostData, ServiceError, sha512, utf8 } from '@veritee/protocol';
import type { Attester, KeyRequester, MeasuredPlatform, OwnMeasurement, PlatformEvidence } from './attester.ts';
import { OneAtATime } from './one-at-a-time.ts';
import { platformError } from './platform-error.ts';
import { certificatesOfTable, type GivenEndorsements } from './snp-certificates.ts';
import { snpMeasurement } from './snp-measurement.ts';
import type { TsmFilesystem } from './tsm-folder.ts';

export interface ConfigfsTsmOptions {
  readonly platform: string;
  readonly warning: string | null;
  readonly minIntervalMs: number;
  /** VMPL to ask for; null for the kernel's default, 0. A guest under an SVSM may ask for its own level and above. */
  readonly privlevel: number | null;
  /** For hosts that put no certificates, or outdated ones, beside the report. */
  readonly endorsements: GivenEndorsements;
}

/** What an SVSM answers for all its services (Linux 6.10). REPORT_DATA is SHA-512(nonce ‖ manifest) there. */
export interface ServiceManifest {
  readonly report: Uint8Array<ArrayBuffer>;
  readonly manifest: Uint8Array<ArrayBuffer>;
}

const ATTEMPTS = 3; // a generation race is retried in a new directory
const NAME = 'veritee-';
const OWN_NAME = /^veritee-[0-9a-f]{16}$/;
const MAX_LEFT_BEHIND = 16;
const REPORT_BYTES = 1184;
const REPORT_DATA = { start: 0x50, end: 0x90 };

/** For a report that only this process reads; the log's REPORT_DATA has another first line. */
const SELF_CHECK = sha512(utf8('veritee/self-check/v1\n'));

type Attribute = 'auxblob' | 'outblob' | 'manifestblob';
type Blobs = readonly Uint8Array<ArrayBuffer>[];

export class ConfigfsTsmAttester implements Attester, KeyRequester, MeasuredPlatform {
  readonly platform: string;
  readonly warning: string | null;
  readonly minIntervalMs: number;
  readonly format = 'sev-snp-report';
  readonly endorsements: GivenEndorsements;
  readonly #tsm: TsmFilesystem;
  readonly #privlevel: number | null;
  readonly #queue = new OneAtATime();
  /** Directories that could not be removed; tried again before each request. */
  readonly #leftBehind = new Set<string>();

  constructor(tsm: TsmFilesystem, options: ConfigfsTsmOptions) {
    this.#tsm = tsm;
    this.platform = options.platform;
    this.warning = options.warning;
    this.minIntervalMs = options.minIntervalMs;
    this.endorsements = options.endorsements;
    this.#privlevel = options.privlevel;
  }

  async attest(reportData: Bytes<64>): Promise<PlatformEvidence> {
    const [table, report] = await this.#ask(reportData, ['auxblob', 'outblob']);
    const chain = this.endorsements.chainFor(report, certificatesOfTable(table));
    return { report, chain, crls: [] };
  }

  attestToBroker(reportData: Bytes<64>): Promise<PlatformEvidence> {
    return this.attest(reportData); // the caller's hash says which protocol it is for
  }

  async measurement(): Promise<OwnMeasurement> {
    const [report] = await this.#ask(SELF_CHECK, ['outblob']);
    return snpMeasurement(report);
  }

  /** Whoever launched the guest put the set into HOST_DATA. */
  async measureModels(digests: readonly Bytes<32>[]): Promise<void> {
    const [report] = await this.#ask(SELF_CHECK, ['outblob']);
    const { hostData } = snpMeasurement(report);
    const wanted = modelSetHostData(digests);
    if (equalBytes(hostData, wanted)) return;
    const message = `HOST_DATA is ${hex(hostData)}; the models that are loaded make it ${hex(wanted)}`;
    throw new ServiceError('PLATFORM_MODELS_DIFFER', message, { field: 'HOST_DATA' });
  }

  async random(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(0); // RDRAND, which the kernel mixes in by itself
  }

  /** @throws CodedError PLATFORM_UNAVAILABLE there is no SVSM, or the kernel is older than Linux 6.10 */
  async serviceManifest(): Promise<ServiceManifest> {
    const nonce = bytes(randomBytes(64), 64, 'nonce');
    const [report, manifest] = await this.#ask(nonce, ['outblob', 'manifestblob'], 'svsm');
    return { report, manifest };
  }

  /**
   * Removes directories that a crashed run of this program left; the enclave is the only one in its guest.
   *
   * @returns how many
   */
  cleanUp(): Promise<number> {
    return this.#queue.run(async () => {
      try {
        const orphans = (await this.#tsm.list()).filter((name) => OWN_NAME.test(name));
        for (const name of orphans) await this.#tsm.rmdir(name);
        return orphans.length;
      } catch (error) {
        throw platformError(error, 'configfs-tsm', 'tsm');
      }
    });
  }

  #ask<const A extends readonly Attribute[]>(
    inblob: Bytes<64>,
    attributes: A,
    serviceProvider?: 'svsm',
  ): Promise<{ readonly [I in keyof A]: Uint8Array<ArrayBuffer> }>;
  #ask(inblob: Bytes<64>, attributes: readonly Attribute[], serviceProvider?: 'svsm'): Promise<Blobs> {
    return this.#queue.run(async () => {
      try {
        await this.#removeLeftBehind();
        for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
          const blobs = await this.#request(inblob, attributes, serviceProvider);
          if (blobs) return blobs;
        }
      } catch (error) {
        throw platformError(error, 'configfs-tsm', 'tsm');
      }
      throw new ServiceError('PLATFORM_BUSY', 'configfs-tsm: another writer each time', { field: 'generation' });
    });
  }

  /** One request in a directory of its own, which is removed whatever happens; null when the generation moved under it. */
  async #request(inblob: Bytes<64>, attributes: readonly Attribute[], provider?: 'svsm'): Promise<Blobs | null> {
    const name = `${NAME}${randomBytes(8).toString('hex')}`;
    await this.#naming('mkdir', () => this.#tsm.mkdir(name));
    try {
      return await this.#exchange(name, inblob, attributes, provider);
    } finally {
      await this.#remove(name);
    }
  }

  async #exchange(name: string, inblob: Bytes<64>, attributes: readonly Attribute[], provider?: 'svsm') {
    const read = (attribute: string) => this.#naming(attribute, () => this.#tsm.read(`${name}/${attribute}`));
    const text = async (attribute: string) =>
      Buffer.from(await read(attribute))
        .toString('latin1')
        .trim();
    let writes = 0;
    const write = async (attribute: string, data: Uint8Array) => {
      await this.#naming(attribute, () => this.#tsm.write(`${name}/${attribute}`, data));
      writes += 1;
    };
    if ((await text('provider')) !== 'sev_guest') {
      throw new ServiceError('PLATFORM_UNAVAILABLE', 'configfs-tsm: the provider is not sev_guest', {
        field: 'provider',
      });
    }
    const before = generationOf(await text('generation'));
    if (this.#privlevel !== null) await write('privlevel', utf8(`${this.#privlevel}`));
    if (provider) await write('service_provider', utf8(provider));
    await write('inblob', inblob);
    const blobs: Uint8Array<ArrayBuffer>[] = [];
    for (const attribute of attributes) {
      const blob = new Uint8Array(await read(attribute));
      if (attribute === 'outblob') checkReport(blob, provider ? null : inblob);
      blobs.push(blob);
    }
    return generationOf(await text('generation')) === before + writes ? blobs : null;
  }

  /** A failure carries the attribute it was about. */
  async #naming<T>(attribute: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw platformError(error, `configfs-tsm ${attribute}`, attribute);
    }
  }

  /** A report that was obtained is good even if its directory stays for now. */
  async #remove(name: string): Promise<void> {
    try {
      await this.#tsm.rmdir(name);
    } catch {
      this.#leftBehind.add(name);
    }
  }

  async #removeLeftBehind(): Promise<void> {
    for (const name of [...this.#leftBehind]) {
      this.#leftBehind.delete(name);
      await this.#remove(name);
    }
    if (this.#leftBehind.size > MAX_LEFT_BEHIND) {
      throw new ServiceError('PLATFORM_FAILED', 'configfs-tsm: requests cannot be removed', { field: 'rmdir' });
    }
  }
}

/** @param reportData null where an SVSM hashes it */
function checkReport(report: Uint8Array, reportData: Bytes<64> | null): void {
  const refuse = (reason: string): never => {
    throw new ServiceError('PLATFORM_FAILED', `configfs-tsm: ${reason}`, { field: 'outblob' });
  };
  if (report.length !== REPORT_BYTES) refuse(`a report of ${report.length} bytes, want ${REPORT_BYTES}`);
  const { start, end } = REPORT_DATA;
  if (reportData && !equalBytes(report.subarray(start, end), reportData)) refuse('a report over other REPORT_DATA');
}

function generationOf(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new ServiceError('PLATFORM_FAILED', 'configfs-tsm: not a generation', { field: 'generation' });
}
