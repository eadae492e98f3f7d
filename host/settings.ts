import { CodedError } from '@veritee/protocol';

export type EnclaveAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export interface Listen {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface HostLimits {
  /** Request body of one inference. */
  readonly maxRequestBytes: number;
  /** Requests inside the enclave link at one time; more are answered 503. */
  readonly maxInFlight: number;
  /** From a request's first byte to its answer's last. */
  readonly requestTimeoutMs: number;
  /** An attestation with a nonce waits for its tick, which a throttled platform delays by many seconds. */
  readonly challengeTimeoutMs: number;
  /** The database never grows beyond this; null for no limit but the disk's. */
  readonly maxDatabaseBytes: number | null;
  /** How long requests in hand may take to finish when the host is asked to stop. */
  readonly drainTimeoutMs: number;
}

export const DEFAULT_LIMITS: HostLimits = {
  maxRequestBytes: 64 << 20,
  maxInFlight: 256,
  requestTimeoutMs: 60_000,
  challengeTimeoutMs: 70_000,
  maxDatabaseBytes: null,
  drainTimeoutMs: 4000,
};

export interface HostSettings {
  readonly listen: Listen;
  /** Data folder, made when absent; one process holds it at a time. */
  readonly data: string;
  readonly enclave: EnclaveAddress;
  /** Names the link in the store: when another boot speaks on it, the boots before have ended. */
  readonly linkName?: string;
  /** Serve `/v2` in the clear. */
  readonly allowPlaintext: boolean;
  /** Default: AMD's own service. */
  readonly endorsements?: EndorsementSource;
  readonly limits?: Partial<HostLimits>;
}

/** Who is asked for certificates that the enclave lacks. */
export type EndorsementSource =
  | { readonly kind: 'off' }
  /** AMD's own service, and only for an enclave on real SEV-SNP: nobody else's chip is known there. */
  | { readonly kind: 'amd' }
  | { readonly kind: 'mirror'; readonly url: string };

const usage = (field: string, want: string): CodedError => new CodedError('USAGE', `${field}: want ${want}`, { field });

/** `HOST:PORT`; an IPv6 host stands in brackets. */
export function parseListen(text: string, field = '--listen'): Listen {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw usage(field, 'HOST:PORT, port 0 to 65535');
  return { host: (match[1] ?? match[2]) as string, port };
}

/** `unix:/path` or `tcp:HOST:PORT`. */
export function parseEnclaveAddress(text: string, field = '--enclave'): EnclaveAddress {
  if (/^unix:./.test(text)) return { kind: 'unix', path: text.slice('unix:'.length) };
  if (text.startsWith('tcp:')) return { kind: 'tcp', ...parseListen(text.slice('tcp:'.length), field) };
  throw usage(field, 'unix:/path or tcp:HOST:PORT');
}

/** `amd`, `off`, or the address of a mirror. */
export function parseEndorsementSource(text: string, field = '--endorsements'): EndorsementSource {
  if (text === 'amd' || text === 'off') return { kind: text };
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '' && url.username === '') {
    return { kind: 'mirror', url: text };
  }
  throw usage(field, 'amd, off, or an http or https address');
}

/** A limit given as text. */
export function parseLimit(text: string, field: string): number {
  const value = Number(text);
  if (!/^\d{1,15}$/.test(text) || value < 1) throw usage(field, 'a whole number from 1 on');
  return value;
}
