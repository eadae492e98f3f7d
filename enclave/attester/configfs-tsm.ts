/**
 * SEV-SNP through Linux' configfs-tsm (/sys/kernel/config/tsm/report): one directory per request, `inblob` in,
 * `auxblob` and `outblob` out, `generation` read again to see that nobody else wrote.
 *
 * @see Linux Documentation/ABI/testing/configfs-tsm-report
 */
import { randomBytes } from 'node:crypto';
import { type Bytes, parseSnpCertificateTable, ServiceError, SNP_CERTIFICATE_GUID } from '@veritee/protocol';
import type { Attester, PlatformEvidence } from './attester.ts';
import { platformError } from './platform-error.ts';

/** The part of a file system that configfs-tsm needs; failures carry Node's errno codes. */
export interface TsmFilesystem {
  mkdir(name: string): Promise<void>;
  rmdir(name: string): Promise<void>;
  write(path: string, data: Uint8Array): Promise<void>;
  read(path: string): Promise<Uint8Array>;
}

const ATTEMPTS = 3; // a generation race is retried in a new directory

/** DER from a table entry: hosts put DER or PEM there. */
function certificateDer(data: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (data[0] === 0x30) return data;
  const pem = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(
    Buffer.from(data).toString('latin1'),
  );
  if (!pem)
    throw new ServiceError('PLATFORM_FAILED', 'configfs-tsm: a certificate that is neither DER nor PEM', {
      field: 'auxblob',
    });
  return new Uint8Array(Buffer.from(pem[1] as string, 'base64'));
}

export class ConfigfsTsmAttester implements Attester {
  readonly platform: string;
  readonly warning: string | null;
  readonly minIntervalMs: number;
  readonly format = 'sev-snp-report';
  readonly #tsm: TsmFilesystem;

  constructor(
    tsm: TsmFilesystem,
    facts: { readonly platform: string; readonly warning: string | null; readonly minIntervalMs: number },
  ) {
    this.#tsm = tsm;
    this.platform = facts.platform;
    this.warning = facts.warning;
    this.minIntervalMs = facts.minIntervalMs;
  }

  async attest(reportData: Bytes<64>): Promise<PlatformEvidence> {
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const evidence = await this.#request(reportData);
        if (evidence) return evidence;
      }
    } catch (error) {
      throw platformError(error, 'configfs-tsm', 'tsm');
    }
    throw new ServiceError('PLATFORM_BUSY', 'configfs-tsm: another writer each time', { field: 'generation' });
  }

  /** One request in a directory of its own; null when the generation moved under it. */
  async #request(reportData: Bytes<64>): Promise<PlatformEvidence | null> {
    const name = `veritee-${randomBytes(8).toString('hex')}`;
    const text = async (attribute: string) =>
      Buffer.from(await this.#tsm.read(`${name}/${attribute}`))
        .toString('latin1')
        .trim();
    await this.#tsm.mkdir(name);
    try {
      const provider = await text('provider');
      if (provider !== 'sev_guest') {
        throw new ServiceError('PLATFORM_UNAVAILABLE', 'configfs-tsm: the provider is not sev_guest', {
          field: 'provider',
        });
      }
      const before = Number(await text('generation'));
      await this.#tsm.write(`${name}/inblob`, reportData);
      const table = await this.#tsm.read(`${name}/auxblob`);
      const report = await this.#tsm.read(`${name}/outblob`);
      if (Number(await text('generation')) !== before + 1) return null;
      return { report: new Uint8Array(report), chain: chainOf(table), crls: [] };
    } finally {
      await this.#tsm.rmdir(name);
    }
  }
}

/** Leaf and intermediate; the root, if the host sent one, is not evidence. */
function chainOf(table: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const entries = new Map(parseSnpCertificateTable(table).map(({ guid, data }) => [guid, data]));
  const leaf = entries.get(SNP_CERTIFICATE_GUID.vcek) ?? entries.get(SNP_CERTIFICATE_GUID.vlek);
  const intermediate = entries.get(SNP_CERTIFICATE_GUID.ask);
  if (!leaf || !intermediate) {
    throw new ServiceError('PLATFORM_FAILED', 'configfs-tsm: the host gave no signing certificate chain', {
      field: 'auxblob',
    });
  }
  return [certificateDer(leaf), certificateDer(intermediate)];
}
