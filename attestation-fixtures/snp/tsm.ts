import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import {
  type Bytes,
  bytes,
  concat,
  encodeSnpCertificateTable,
  SNP_CERTIFICATE_GUID,
  sha512,
  utf8,
} from '@veritee/protocol';
import { pem } from '../certificate.ts';
import type { GuestFields, SimulatedAmdSp } from './amd-sp.ts';
import { type Sleep, type Throttle, throttle } from './throttle.ts';

/**
 * The folder /sys/kernel/config/tsm/report (Linux 6.7 and later). `write` and `read` take `<name>/<attribute>` and stand
 * for open, one whole write or read, close. Failures are Errors that carry Node's `code`: EBUSY, EINVAL, ENOENT, EEXIST …
 */
export interface TsmFilesystem {
  mkdir(name: string): Promise<void>;
  rmdir(name: string): Promise<void>;
  /** Names of the folders that are there. */
  list(): Promise<readonly string[]>;
  write(path: string, data: Uint8Array): Promise<void>;
  read(path: string): Promise<Uint8Array>;
}

export type ErrnoName = keyof typeof constants.errno;

/** Makes the next `times` matching calls fail. */
export interface TsmFault {
  readonly operation: 'mkdir' | 'rmdir' | 'write' | 'read';
  /** One attribute only, for example `outblob`. */
  readonly attribute?: string;
  readonly code: ErrnoName;
  readonly times: number;
}

export interface SimulatedTsmOptions {
  /** Fixed at the guest's launch; REPORT_ID is drawn once if not given. */
  readonly guest: Omit<GuestFields, 'reportData' | 'vmpl'>;
  /** The guest's own VMPL: it may ask for this level and for less privileged ones, up to 3. */
  readonly privlevelFloor?: number;
  /** What the host puts into auxblob: certificates as DER or PEM, the root included or not, or nothing. */
  readonly certificates?: 'der' | 'pem' | 'none';
  readonly includeArk?: boolean;
  /** Of the guest's SVSM. */
  readonly svsmManifest?: Uint8Array;
  readonly throttle?: Throttle;
  readonly sleep?: Sleep;
}

interface ReportFolder {
  writeGeneration: number;
  inblob: Uint8Array;
  privlevel: number;
  service: 'svsm' | null;
  /** The blobs, with the generation they were made for. */
  made: {
    readonly generation: number;
    readonly outblob: Uint8Array;
    readonly auxblob: Uint8Array;
    readonly manifestblob: Uint8Array;
  } | null;
}

const INBLOB_MAX = 64;
const PRIVLEVEL_MAX = 3;
const READABLE: readonly string[] = ['outblob', 'auxblob', 'manifestblob', 'generation', 'provider', 'privlevel_floor'];
const WRITABLE: readonly string[] = ['inblob', 'privlevel', 'service_provider'];

/** Attributes of Linux 6.10: a guest without an SVSM is taken for one of before. */
const OF_SVSM: readonly string[] = ['manifestblob', 'service_provider'];

/** The attributes of a request, as they are listed. */
export const TSM_ATTRIBUTES = { readable: READABLE, writable: WRITABLE } as const;

function errno(code: ErrnoName, syscall: string, path: string): Error {
  const message = `${code}: simulated TSM, ${syscall} '${path}'`;
  return Object.assign(new Error(message), { code, errno: -constants.errno[code], syscall, path });
}

/** The kernel's `sev_guest` report folder over a simulated chip; rules as in Linux drivers/virt/coco/guest/report.c. */
export class SimulatedTsm implements TsmFilesystem {
  readonly #chip: SimulatedAmdSp;
  readonly #guest: SimulatedTsmOptions['guest'] & { readonly reportId: Bytes<32> };
  readonly #privlevelFloor: number;
  readonly #certTable: Uint8Array;
  readonly #svsmManifest: Uint8Array | undefined;
  readonly #throttled: () => Promise<void>;
  readonly #folders = new Map<string, ReportFolder>();
  readonly #faults: { readonly fault: TsmFault; left: number }[] = [];
  #queue: Promise<unknown> = Promise.resolve();

  constructor(chip: SimulatedAmdSp, options: SimulatedTsmOptions) {
    this.#chip = chip;
    this.#guest = { reportId: bytes(randomBytes(32), 32, 'REPORT_ID'), ...options.guest };
    this.#privlevelFloor = options.privlevelFloor ?? 0;
    this.#certTable = certTable(chip, options.certificates ?? 'der', options.includeArk ?? true);
    this.#svsmManifest = options.svsmManifest;
    this.#throttled = throttle(options.throttle ?? 'none', options.sleep ?? wait);
  }

  failNext(fault: TsmFault): void {
    this.#faults.push({ fault, left: fault.times });
  }

  mkdir(name: string): Promise<void> {
    return this.#oneAtATime(async () => {
      this.#raiseFault('mkdir', name);
      if (name === '' || name.includes('/')) throw errno('ENOENT', 'mkdir', name);
      if (name === '.' || name === '..' || this.#folders.has(name)) throw errno('EEXIST', 'mkdir', name);
      this.#folders.set(name, {
        writeGeneration: 0,
        inblob: new Uint8Array(0),
        privlevel: 0,
        service: null,
        made: null,
      });
    });
  }

  rmdir(name: string): Promise<void> {
    return this.#oneAtATime(async () => {
      this.#raiseFault('rmdir', name);
      if (!this.#folders.delete(name)) throw errno('ENOENT', 'rmdir', name);
    });
  }

  list(): Promise<readonly string[]> {
    return this.#oneAtATime(async () => [...this.#folders.keys()]);
  }

  write(path: string, data: Uint8Array): Promise<void> {
    const given = new Uint8Array(data); // the caller may reuse its buffer while this call waits for its turn
    return this.#oneAtATime(async () => {
      const { folder, attribute } = this.#open('write', path, WRITABLE, READABLE);
      this.#raiseFault('write', path, attribute);
      if (given.length === 0) throw errno('EFAULT', 'write', path);
      if (attribute === 'inblob') {
        if (given.length > INBLOB_MAX) throw errno('EFBIG', 'write', path);
        folder.inblob = given;
      } else if (attribute === 'privlevel') {
        folder.privlevel = this.#readPrivlevel(given, path);
      } else {
        if (!this.#svsmManifest || Buffer.from(given).toString('latin1').trim() !== 'svsm') {
          throw errno('EINVAL', 'write', path);
        }
        folder.service = 'svsm';
      }
      folder.writeGeneration += 1;
    });
  }

  read(path: string): Promise<Uint8Array> {
    return this.#oneAtATime(async () => {
      const { folder, attribute } = this.#open('read', path, READABLE, WRITABLE);
      this.#raiseFault('read', path, attribute);
      if (attribute === 'generation') return utf8(`${folder.writeGeneration}\n`);
      if (attribute === 'provider') return utf8('sev_guest\n');
      if (attribute === 'privlevel_floor') return utf8(`${this.#privlevelFloor}\n`);
      const { outblob, auxblob, manifestblob } = await this.#blobs(folder, path);
      return new Uint8Array({ outblob, auxblob, manifestblob }[attribute as 'outblob' | 'auxblob' | 'manifestblob']);
    });
  }

  /** Both blobs come from one request to the chip and stay until the next write; after a failure a read asks again. */
  async #blobs(folder: ReportFolder, path: string): Promise<NonNullable<ReportFolder['made']>> {
    const { inblob, privlevel, writeGeneration: generation } = folder;
    if (inblob.length === 0) throw errno('EINVAL', 'read', path);
    if (folder.made?.generation === generation) return folder.made;
    folder.made = null;
    if (inblob.length !== INBLOB_MAX) throw errno('EINVAL', 'read', path); // REPORT_DATA is 64 bytes, never padded
    if (privlevel < this.#privlevelFloor) throw errno('EIO', 'read', path); // the firmware refuses; 0 unless written
    await this.#throttled();
    // An SVSM binds its manifest: REPORT_DATA is the hash of both.
    const manifestblob = folder.service === 'svsm' ? (this.#svsmManifest ?? new Uint8Array(0)) : new Uint8Array(0);
    const reportData =
      folder.service === 'svsm' ? sha512(concat(inblob, manifestblob)) : bytes(inblob, 64, 'REPORT_DATA');
    const outblob = this.#chip.report({ ...this.#guest, reportData, vmpl: privlevel });
    folder.made = { generation, outblob, auxblob: this.#certTable, manifestblob };
    return folder.made;
  }

  #readPrivlevel(text: Uint8Array, path: string): number {
    const digits = /^(\d{1,3})\n?$/.exec(Buffer.from(text).toString('latin1'))?.[1];
    const level = Number(digits ?? Number.NaN);
    if (level >= this.#privlevelFloor && level <= PRIVLEVEL_MAX) return level;
    throw errno('EINVAL', 'write', path);
  }

  #open(syscall: string, path: string, allowed: readonly string[], refused: readonly string[]) {
    const [name = '', attribute = '', ...deeper] = path.split('/');
    const folder = this.#folders.get(name);
    if (!folder || deeper.length > 0) throw errno('ENOENT', syscall, path);
    const old = !this.#svsmManifest && OF_SVSM.includes(attribute);
    if (old || !allowed.includes(attribute))
      throw errno(!old && refused.includes(attribute) ? 'EACCES' : 'ENOENT', syscall, path);
    return { folder, attribute };
  }

  #raiseFault(operation: TsmFault['operation'], path: string, attribute?: string): void {
    const armed = this.#faults.find(
      ({ fault, left }) =>
        left > 0 && fault.operation === operation && (fault.attribute === undefined || fault.attribute === attribute),
    );
    if (!armed) return;
    armed.left -= 1;
    throw errno(armed.fault.code, operation, path);
  }

  /** The kernel holds one lock over all folders, also while the chip works: others wait for their turn. */
  #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined); // only the caller hears of the failure, the next turn comes regardless
    return turn;
  }
}

function certTable(chip: SimulatedAmdSp, form: 'der' | 'pem' | 'none', includeArk: boolean): Uint8Array {
  if (form === 'none') return new Uint8Array(0);
  const names = includeArk ? (['ark', 'ask', 'vcek'] as const) : (['ask', 'vcek'] as const);
  return encodeSnpCertificateTable(
    names.map((name) => {
      const der = chip.certificates[name];
      return { guid: SNP_CERTIFICATE_GUID[name], data: form === 'pem' ? utf8(pem(der)) : der };
    }),
  );
}
