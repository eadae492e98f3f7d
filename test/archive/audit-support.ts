/** An archive of a synthetic service, made once and copied for every case. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Archive, openArchive } from '../../archive/archive.ts';
import { Appraiser, ingestService, recordPolicy } from '../../archive/ingest/index.ts';
import { utf8 } from '../../protocol/index.ts';
import { AT } from '../support/mini-enclave.ts';
import { type SyntheticOptions, SyntheticService } from '../support/synthetic-archive.ts';

export const NOW = (): number => AT.getTime();

export class Workplace {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'veritee-audit-'));
  #copies = 0;

  async service(options: Omit<SyntheticOptions, 'folder'>): Promise<SyntheticService> {
    return SyntheticService.create({ ...options, folder: path.join(this.folder, 'service') });
  }

  path(name: string): string {
    return path.join(this.folder, name);
  }

  /** @returns the folder of a copy */
  copy(folder: string): string {
    const copy = path.join(this.folder, `copy-${this.#copies++}`);
    cpSync(folder, copy, { recursive: true });
    return copy;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const openFor = (folder: string, mode: 'read' | 'write', now = NOW): Promise<Archive> =>
  openArchive({ folder, mode }, { now, by: 'tester' });

export interface FilingOptions {
  readonly tenant?: string | null;
  readonly retentionClass?: string;
  readonly policy?: Uint8Array;
}

export async function ingestAll(
  archive: Archive,
  service: SyntheticService,
  { tenant = null, retentionClass = 'standard', policy = utf8('builtin:authenticity') }: FilingOptions = {},
) {
  const inputs = { policy, anchors: [service.root], endorsements: [], crls: [] };
  const appraiser = await Appraiser.create(inputs, archive.blobs);
  await recordPolicy(archive, appraiser);
  return ingestService(archive, service, { appraiser, tenant, retentionClass });
}
