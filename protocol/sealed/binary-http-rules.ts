/** What a Binary HTTP message of ours may hold: the same rules for the writer and the reader. */

export interface BinaryRequestHead {
  readonly method: string;
  /** With its query. Scheme and authority say nothing here: the key says which enclave is meant. */
  readonly path: string;
  /** By lower-case name; repeated fields are joined with `, `. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface BinaryRequest extends BinaryRequestHead {
  readonly body: Uint8Array;
}

export interface BinaryResponse {
  /** 200 to 599. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** A view of the parsed bytes. */
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Greatest multiple a message may be padded to; a reader takes one byte less of zeros. */
export const MAX_PADDING = 65_536;
/** Of a header or trailer section. */
export const MAX_FIELDS = 64;
export const MAX_FIELDS_BYTES = 16_384;
export const MAX_PATH_BYTES = 8192;
/** Of indeterminate-length content: crumbs cost the reader more than the writer. */
export const MAX_CONTENT_CHUNKS = 65_536;
export const MAX_METHOD_BYTES = 32;
export const MAX_SCHEME_BYTES = 16;
export const MAX_AUTHORITY_BYTES = 512;
export const MAX_INFORMATIONAL = 8;

export const FRAMING = { request: 0, response: 1, indeterminateRequest: 2, indeterminateResponse: 3 } as const;

export const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
export const PATH = /^\/[!-~]*$/;
const VALUE = /^[\t -~]*$/;
const OUTER_SPACE = /^[\t ]|[\t ]$/;
/** RFC 9292 §3.6 and RFC 9113 §8.2.2; `expect` because nothing can be answered before the end (RFC 9458 §5.1). */
const FORBIDDEN = new Set([
  'connection',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

export const isField = (name: string, value: string): boolean =>
  NAME.test(name) && !FORBIDDEN.has(name) && VALUE.test(value) && !OUTER_SPACE.test(value);

export const isFinalStatus = (status: number): boolean => Number.isInteger(status) && status >= 200 && status <= 599;
