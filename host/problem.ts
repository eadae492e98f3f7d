import { type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from 'node:http';
import {
  CODES,
  CodedError,
  type CodeFacts,
  HEADER,
  httpStatus,
  OHTTP_KEY_PROBLEM,
  ServiceError,
} from '@veritee/protocol';

/** A failure as its own code; anything uncoded is a defect of ours and tells the caller nothing. */
export const asCoded = (error: unknown): CodedError =>
  error instanceof CodedError ? error : new ServiceError('INTERNAL', 'an internal error', { cause: error });

const NO_STORE = 'no-store, no-transform';

function retryAfterSeconds({ code }: CodedError): number | null {
  const { action }: CodeFacts = CODES[code];
  if (action !== 'retry' || httpStatus(code) !== 503) return null;
  return code === 'STORE_FULL' || code === 'STORE_FAILED' ? 5 : 1;
}

function send(res: ServerResponse, error: CodedError, type: string, body: object): void {
  const text = Buffer.from(JSON.stringify(body));
  const headers: OutgoingHttpHeaders = {
    'content-type': type,
    'content-length': text.length,
    'cache-control': NO_STORE,
    [HEADER.errorCode]: error.code,
  };
  const retryAfter = retryAfterSeconds(error);
  if (retryAfter !== null) headers['retry-after'] = String(retryAfter);
  res.writeHead(httpStatus(error.code), headers);
  res.end(text);
}

/** RFC 9457 problem details with our code. */
export function sendProblem(res: ServerResponse, error: CodedError): void {
  const status = httpStatus(error.code);
  send(res, error, 'application/problem+json', {
    type: error.code === 'SEALING_KEY_UNKNOWN' ? OHTTP_KEY_PROBLEM : 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    code: error.code,
    detail: error.message,
    ...(error.field === undefined ? {} : { field: error.field }),
  });
}

/** The Open Inference Protocol's own error form. */
export const sendInferenceError = (res: ServerResponse, error: CodedError): void =>
  send(res, error, 'application/json', { error: error.message, code: error.code });
