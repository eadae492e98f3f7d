/**
 * The kernel's side of both platforms as a real file system: `report/` is configfs-tsm over a software AMD-SP, `nsm` takes
 * the ioctl of /dev/nsm over a software NSM. It speaks the FUSE protocol itself (Linux include/uapi/linux/fuse.h) and runs
 * as a process of its own, for whoever calls into a file system must not be the one that answers it.
 *
 * Faults are raised at the system call, so that the real attester meets them as it would meet the kernel's.
 */
import { closeSync, openSync, read as readFd, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import {
  SIMULATED_PCRS,
  SimulatedAmdSp,
  SimulatedNsm,
  SimulatedTsm,
  type SimulatedTsmOptions,
  TSM_ATTRIBUTES,
} from '../../attestation-fixtures/index.ts';
import { bytes } from '../../protocol/index.ts';

export interface FuseFault {
  readonly operation: 'mkdir' | 'rmdir' | 'list' | 'open' | 'read' | 'write' | 'ioctl';
  readonly attribute?: string;
  readonly errno?: string;
  /** Give so many bytes only. */
  readonly short?: number;
  /** A stall that ends when the test says so; the error, if any, comes afterwards. */
  readonly held?: true;
  /** Somebody else writes to this request first. */
  readonly race?: boolean;
  readonly times: number;
}

export interface FuseOptions {
  readonly mountPoint: string;
  /** Holds the software AMD-SP's keys. */
  readonly keys: string;
  readonly certificates: NonNullable<SimulatedTsmOptions['certificates']>;
  readonly svsmManifest?: string;
  readonly privlevelFloor?: number;
  /** Hex. */
  readonly hostData?: string;
  /** Every tenth report waits so long, all others 8 ms, as on a cloud. */
  readonly throttleMs?: number;
}

export type ToFuse = { readonly kind: 'fault'; readonly fault: FuseFault } | { readonly kind: 'release' };
export type FromFuse =
  | { readonly kind: 'ready'; readonly chain: readonly string[]; readonly roots: readonly string[] }
  | { readonly kind: 'armed' }
  | { readonly kind: 'unavailable'; readonly reason: string };

const OP = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  MKDIR: 9,
  RMDIR: 11,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  RELEASE: 18,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  INTERRUPT: 36,
  IOCTL: 39,
  BATCH_FORGET: 42,
} as const;
const NO_REPLY: readonly number[] = [OP.FORGET, OP.BATCH_FORGET, OP.INTERRUPT];

const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const FOPEN_DIRECT_IO = 1;
const MAX_WRITE = 128 << 10;
const HEADER_BYTES = 40;
const ROOT = 1;
const NSM_IOCTL_RAW = 0xc0200a00;
const MS_NOSUID_NODEV = 2 | 4;
const MNT_DETACH = 2;

const options = JSON.parse(process.argv[2] ?? '{}') as FuseOptions;
const tell = (message: FromFuse): void => void process.send?.(message);
const errnoOf = (name: string): number => (constants.errno as Record<string, number>)[name] ?? constants.errno.EIO;
const failure = (code: string): Error => Object.assign(new Error(code), { code });

const libc = koffi.load(null);
const mount = libc.func('int mount(const char *, const char *, const char *, unsigned long, const char *)');
const umount2 = libc.func('int umount2(const char *, int)');

const chip = await SimulatedAmdSp.loadOrCreate(options.keys, { product: 'Milan', reportVersion: 3 });
let reports = 0;
const tsm = new SimulatedTsm(chip, {
  guest: {
    measurement: bytes(new Uint8Array(48).fill(0x5a), 48, 'MEASUREMENT'),
    ...(options.hostData === undefined
      ? {}
      : { hostData: bytes(Buffer.from(options.hostData, 'hex'), 32, 'HOST_DATA') }),
  },
  certificates: options.certificates,
  ...(options.svsmManifest === undefined ? {} : { svsmManifest: Buffer.from(options.svsmManifest) }),
  ...(options.privlevelFloor === undefined ? {} : { privlevelFloor: options.privlevelFloor }),
  throttle: options.throttleMs === undefined ? 'none' : 'cloud',
  sleep: () => {
    reports += 1;
    return sleep(reports % 10 === 0 ? (options.throttleMs ?? 0) : 8);
  },
});
const nsm = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });

// ── Faults ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const faults: { fault: FuseFault; left: number }[] = [];
const held: (() => void)[] = [];
let releases = 0; // that came before their stall

/** What is armed for this call; throws its error, after its delay. */
async function faultOf(operation: FuseFault['operation'], path: string): Promise<FuseFault | undefined> {
  const [name = '', attribute] = path.split('/');
  const armed = faults.find(
    ({ fault, left }) =>
      left > 0 && fault.operation === operation && (fault.attribute === undefined || fault.attribute === attribute),
  );
  if (!armed) return undefined;
  armed.left -= 1;
  const { fault } = armed;
  if (fault.held && releases-- <= 0) {
    releases = 0;
    await new Promise<void>((resolve) => held.push(resolve));
  }
  if (fault.race) await tsm.write(`${name}/privlevel`, Buffer.from('0'));
  if (fault.errno !== undefined) throw failure(fault.errno);
  return fault;
}

// ── Nodes: '' the root, 'report', 'report/<name>', 'report/<name>/<attribute>', 'nsm' ───────────────────────────────

const paths = new Map<number, string>([[ROOT, '']]);
const nodes = new Map<string, number>([['', ROOT]]);

function nodeOf(path: string): number {
  const known = nodes.get(path);
  if (known !== undefined) return known;
  const node = nodes.size + 1;
  nodes.set(path, node);
  paths.set(node, path);
  return node;
}

const inReport = (path: string): string => path.slice('report/'.length);

/** The mode of what is there. */
async function modeOf(path: string): Promise<number> {
  if (path === '' || path === 'report') return DIRECTORY | 0o755;
  if (path === 'nsm') return REGULAR | 0o600;
  const [name = '', attribute, ...deeper] = inReport(path).split('/');
  const there = path.startsWith('report/') && (await tsm.list()).includes(name) && deeper.length === 0;
  if (!there) throw failure('ENOENT');
  if (attribute === undefined) return DIRECTORY | 0o755;
  if (TSM_ATTRIBUTES.readable.includes(attribute)) return REGULAR | 0o444;
  if (TSM_ATTRIBUTES.writable.includes(attribute)) return REGULAR | 0o200;
  throw failure('ENOENT');
}

async function attributesOf(path: string): Promise<Buffer> {
  const mode = await modeOf(path);
  const attributes = Buffer.alloc(88);
  attributes.writeBigUInt64LE(BigInt(nodeOf(path)), 0);
  attributes.writeUInt32LE(mode, 60);
  attributes.writeUInt32LE(1, 64);
  attributes.writeUInt32LE(4096, 80);
  return attributes;
}

/** Nothing is cached: a directory that was removed is gone at the next look. */
async function entryOf(path: string): Promise<Buffer> {
  const attributes = await attributesOf(path);
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(BigInt(nodeOf(path)), 0);
  return Buffer.concat([head, attributes]);
}

// ── Open files: a blob is fetched at the first read and stays, as configfs keeps it ─────────────────────────────────

const open = new Map<bigint, Buffer>();
let lastHandle = 0n;

async function readAttribute(path: string, handle: bigint, offset: number, size: number): Promise<Buffer> {
  let content = open.get(handle);
  if (!content) {
    const fault = await faultOf('read', inReport(path));
    content = Buffer.from(await tsm.read(inReport(path)));
    if (fault?.short !== undefined) content = content.subarray(0, fault.short);
    open.set(handle, content);
  }
  return content.subarray(offset, offset + size);
}

async function writeAttribute(path: string, data: Buffer): Promise<number> {
  await faultOf('write', inReport(path));
  await tsm.write(inReport(path), data);
  return data.length;
}

async function listing(path: string, offset: number): Promise<Buffer> {
  if (offset > 0) return Buffer.alloc(0);
  if (path === 'report') await faultOf('list', '');
  const names = path === '' ? ['report', 'nsm'] : path === 'report' ? await tsm.list() : [];
  return Buffer.concat(
    names.map((name, i) => {
      const text = Buffer.from(name);
      const entry = Buffer.alloc(Math.ceil((24 + text.length) / 8) * 8);
      entry.writeBigUInt64LE(BigInt(nodeOf(path === '' ? name : `${path}/${name}`)), 0);
      entry.writeBigUInt64LE(BigInt(i + 1), 8);
      entry.writeUInt32LE(text.length, 16);
      entry.writeUInt32LE(name === 'nsm' ? 8 : 4, 20);
      text.copy(entry, 24);
      return entry;
    }),
  );
}

/** The driver of /dev/nsm copies from and to the caller's memory; so does this, through /proc. */
async function nsmIoctl(pid: number, command: number, message: Buffer): Promise<Buffer> {
  if (command !== NSM_IOCTL_RAW || message.length !== 32) throw failure('ENOTTY');
  await faultOf('ioctl', '');
  const word = (at: number): number => Number(message.readBigUInt64LE(at));
  const memory = openSync(`/proc/${pid}/mem`, 'r+');
  try {
    const request = Buffer.alloc(word(8));
    readSync(memory, request, 0, request.length, word(0));
    const answer = await nsm.request(request);
    if (answer.length > word(24)) throw failure('EMSGSIZE');
    writeSync(memory, answer, 0, answer.length, word(16));
    const result = Buffer.from(message);
    result.writeBigUInt64LE(BigInt(answer.length), 24);
    return Buffer.concat([Buffer.alloc(16), result]);
  } finally {
    closeSync(memory);
  }
}

// ── The protocol ────────────────────────────────────────────────────────────────────────────────────────────────────

function initOut(): Buffer {
  const out = Buffer.alloc(64);
  out.writeUInt32LE(7, 0);
  out.writeUInt32LE(31, 4);
  out.writeUInt16LE(16, 16);
  out.writeUInt16LE(12, 18);
  out.writeUInt32LE(MAX_WRITE, 20);
  out.writeUInt32LE(1, 24);
  return out;
}

const nameIn = (body: Buffer): string => body.toString('utf8', 0, body.indexOf(0));
const under = (parent: string, name: string): string => (parent === '' ? name : `${parent}/${name}`);

async function answer(opcode: number, node: number, pid: number, body: Buffer): Promise<Buffer> {
  const path = paths.get(node) ?? '';
  switch (opcode) {
    case OP.INIT:
      return initOut();
    case OP.LOOKUP:
      return entryOf(under(path, nameIn(body)));
    case OP.GETATTR:
    case OP.SETATTR:
      return Buffer.concat([Buffer.alloc(16), await attributesOf(path)]);
    case OP.MKDIR: {
      const name = nameIn(body.subarray(8));
      if (path !== 'report') throw failure('EPERM');
      await faultOf('mkdir', name);
      await tsm.mkdir(name);
      return entryOf(`report/${name}`);
    }
    case OP.RMDIR: {
      const name = nameIn(body);
      await faultOf('rmdir', name);
      await tsm.rmdir(name);
      return Buffer.alloc(0);
    }
    case OP.OPEN:
    case OP.OPENDIR: {
      if (opcode === OP.OPEN) await faultOf('open', inReport(path));
      const out = Buffer.alloc(16);
      lastHandle += 1n;
      out.writeBigUInt64LE(lastHandle, 0);
      out.writeUInt32LE(FOPEN_DIRECT_IO, 8);
      return out;
    }
    case OP.READ:
      return readAttribute(path, body.readBigUInt64LE(0), Number(body.readBigUInt64LE(8)), body.readUInt32LE(16));
    case OP.READDIR:
      return listing(path, Number(body.readBigUInt64LE(8)));
    case OP.WRITE: {
      const out = Buffer.alloc(8);
      out.writeUInt32LE(await writeAttribute(path, body.subarray(HEADER_BYTES)), 0);
      return out;
    }
    case OP.RELEASE:
    case OP.RELEASEDIR:
      open.delete(body.readBigUInt64LE(0));
      return Buffer.alloc(0);
    case OP.FLUSH:
      return Buffer.alloc(0);
    case OP.IOCTL:
      if (path !== 'nsm') throw failure('ENOTTY');
      return nsmIoctl(pid, body.readUInt32LE(12), body.subarray(32));
    default:
      throw failure('ENOSYS');
  }
}

const device = openSync('/dev/fuse', 'r+');

async function serve(request: Buffer): Promise<void> {
  const opcode = request.readUInt32LE(4);
  const unique = request.readBigUInt64LE(8);
  const head = Buffer.alloc(16);
  head.writeBigUInt64LE(unique, 8);
  let body = Buffer.alloc(0);
  try {
    const node = Number(request.readBigUInt64LE(16));
    body = Buffer.from(await answer(opcode, node, request.readUInt32LE(32), request.subarray(HEADER_BYTES)));
  } catch (error) {
    head.writeInt32LE(-errnoOf(String((error as NodeJS.ErrnoException).code)), 4);
  }
  if (NO_REPLY.includes(opcode)) return;
  head.writeUInt32LE(head.length + body.length, 0);
  try {
    writeSync(device, Buffer.concat([head, body]));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // whoever asked was interrupted
  }
}

function next(): void {
  const buffer = Buffer.alloc(MAX_WRITE + 4096);
  readFd(device, buffer, 0, buffer.length, null, (error, length) => {
    if (error) {
      if (error.code === 'EINTR' || error.code === 'EAGAIN' || error.code === 'ENOENT') return next();
      process.exit(error.code === 'ENODEV' ? 0 : 1); // ENODEV: unmounted
    }
    void serve(buffer.subarray(0, length));
    next();
  });
}

process.on('message', (message: ToFuse) => {
  if (message.kind === 'release') {
    if (held.length === 0) releases += 1;
    for (const resume of held.splice(0)) resume();
  } else {
    faults.push({ fault: message.fault, left: message.fault.times });
    tell({ kind: 'armed' });
  }
});
process.once('disconnect', () => {
  umount2(options.mountPoint, MNT_DETACH);
  process.exit();
});

const data = `fd=${device},rootmode=40000,user_id=${process.getuid?.() ?? 0},group_id=${process.getgid?.() ?? 0}`;
if (mount('veritee-tsm', options.mountPoint, 'fuse', MS_NOSUID_NODEV, data) !== 0) {
  const number = koffi.errno();
  const name = Object.entries(constants.errno).find(([, value]) => value === number)?.[0];
  tell({ kind: 'unavailable', reason: `mount: ${name ?? number}` });
} else {
  next();
  const { vcek, ask } = chip.certificates;
  tell({
    kind: 'ready',
    chain: [vcek, ask].map((der) => Buffer.from(der).toString('base64')),
    roots: [chip.arkPem, nsm.rootPem],
  });
}
