/**
 * /dev/nsm for Node, which has no ioctl: koffi calls the C library's, in a thread of its own, where a stall of the
 * hypervisor blocks nothing else. That thread gets request bytes and gives answer bytes; it holds no secret.
 */
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { ServiceError } from '@veritee/protocol';
import type { NsmDevice } from './nsm.ts';

export const NSM_DEVICE = '/dev/nsm';

/** Names the thread for the program that is loaded in it. */
const ROLE = 'nsm';

interface Start {
  readonly role: typeof ROLE;
  readonly device: string;
}

type Reply =
  | { readonly id: number; readonly answer: Uint8Array }
  | { readonly id: number; readonly errno: string; readonly errnoNumber: number };

interface Ask {
  readonly id: number;
  readonly request: Uint8Array;
}

// Linux include/uapi/linux/nsm.h: _IOWR(0x0A, 0, struct nsm_raw), two iovecs.
const NSM_IOCTL_RAW = 0xc0200a00;
const MESSAGE_BYTES = 32;
/** NSM_REQUEST_MAX_SIZE and NSM_RESPONSE_MAX_SIZE. */
const REQUEST_MAX = 0x1000;
const RESPONSE_MAX = 0x3000;

/** True in the thread that `ThreadedNsm` started: the program has to call `serveNsm` there, and nothing else. */
export const isNsmThread = (): boolean => (workerData as Partial<Start> | null)?.role === ROLE;

type Ioctl = (fd: number, request: number, message: Buffer) => number;

/** Inside the thread: opens the device at the first request and answers until the port is closed. */
export async function serveNsm(): Promise<void> {
  const port = parentPort;
  if (!port) throw new TypeError('serveNsm: only in a thread');
  const { device } = workerData as Start;
  const { default: koffi } = await import('koffi');
  const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, void *message)') as Ioctl;
  let fd: number | null = null;

  const exchange = (request: Uint8Array): Uint8Array => {
    if (request.length > REQUEST_MAX) throw errnoError('EMSGSIZE');
    fd ??= openSync(device, 'r+');
    const asked = Buffer.from(request);
    const answer = Buffer.alloc(RESPONSE_MAX);
    const message = Buffer.alloc(MESSAGE_BYTES);
    message.writeBigUInt64LE(koffi.address(asked), 0);
    message.writeBigUInt64LE(BigInt(asked.length), 8);
    message.writeBigUInt64LE(koffi.address(answer), 16);
    message.writeBigUInt64LE(BigInt(answer.length), 24);
    if (ioctl(fd, NSM_IOCTL_RAW, message) < 0) throw errnoError(errnoName(koffi.errno()));
    const length = message.readBigUInt64LE(24);
    // `asked` and `answer` stay referenced to here: the driver wrote through their addresses.
    if (length > BigInt(answer.length) || asked.length === 0) throw errnoError('EMSGSIZE');
    return new Uint8Array(answer.subarray(0, Number(length)));
  };

  port.on('message', ({ id, request }: Ask) => {
    let reply: Reply;
    try {
      reply = { id, answer: exchange(request) };
    } catch (error) {
      const { code = 'unknown', errno = 0 } = error as NodeJS.ErrnoException;
      reply = { id, errno: code, errnoNumber: errno };
    }
    port.postMessage(reply);
  });
  port.once('close', () => {
    if (fd !== null) closeSync(fd);
  });
}

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, value]): [number, string] => [value, name]),
);
const errnoName = (value: number): string => NAMES.get(value) ?? `errno ${value}`;

const errnoError = (code: string): Error =>
  Object.assign(new Error(`${code}: ioctl`), {
    code,
    errno: -((constants.errno as Record<string, number>)[code] ?? 0),
  });

interface Pending {
  readonly resolve: (answer: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/** The device as the rest of the program sees it. A thread that dies fails what is pending; the next request starts anew. */
export class ThreadedNsm implements NsmDevice {
  readonly #program: URL;
  readonly #device: string;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | null = null;
  #lastId = 0;

  /** @param program what the thread loads; it calls `serveNsm` when `isNsmThread` */
  constructor(program: URL, device: string = NSM_DEVICE) {
    this.#program = program;
    this.#device = device;
  }

  request(cbor: Uint8Array): Promise<Uint8Array> {
    const worker = this.#worker ?? this.#start();
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      worker.ref(); // at the start nothing else keeps the process until the answer, or the thread's end, is here
      worker.postMessage({ id, request: cbor } satisfies Ask);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const start: Start = { role: ROLE, device: this.#device };
    const worker = new Worker(this.#program, { workerData: start, argv: [], name: ROLE });
    worker.on('message', (reply: Reply) => this.#settle(reply));
    worker.once('error', (error) => this.#ended(worker, error));
    worker.once('exit', () => this.#ended(worker, undefined));
    this.#worker = worker;
    return worker;
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker?.unref();
    if ('answer' in reply) pending?.resolve(reply.answer);
    else {
      const { errno: code, errnoNumber: errno } = reply;
      pending?.reject(Object.assign(new Error(`${code}: ioctl on ${this.#device}`), { code, errno, syscall: 'ioctl' }));
    }
  }

  #ended(worker: Worker, cause: unknown): void {
    if (this.#worker === worker) this.#worker = null;
    const error = new ServiceError('PLATFORM_FAILED', 'nsm: the thread of the device ended', { field: 'nsm', cause });
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
