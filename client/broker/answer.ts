import { CODES, CodedError, type CodeFacts, httpStatus, ServiceError } from '@veritee/protocol';
import type { BrokerFinding } from './grant.ts';

/** Evidence or a resource is refused; the failed checks go to whoever asked. */
export class BrokerRefusal extends ServiceError {
  readonly findings: readonly BrokerFinding[];

  constructor(
    code: 'BROKER_EVIDENCE_REFUSED' | 'BROKER_RESOURCE_REFUSED',
    message: string,
    findings: readonly BrokerFinding[],
  ) {
    super(code, message);
    this.findings = findings;
  }
}

const NO_STORE = { 'cache-control': 'no-store' };

export const json = (body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { headers: { 'content-type': 'application/json', ...NO_STORE, ...headers } });

/** RFC 9457 problem details; `type` and `detail` are also what the key broker protocol calls ErrorInformation. */
export function problem(error: CodedError): Response {
  const status = httpStatus(error.code);
  const { action }: CodeFacts = CODES[error.code];
  const body = {
    type: 'about:blank',
    title: action === 'retry' ? 'Try again' : 'Refused',
    status,
    code: error.code,
    detail: error.message,
    ...(error.field === undefined ? {} : { field: error.field }),
    ...(error instanceof BrokerRefusal ? { findings: error.findings } : {}),
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      'content-type': 'application/problem+json',
      ...NO_STORE,
      ...(status === 503 ? { 'retry-after': '1' } : {}),
    },
  });
}

/** The request's body, at most so long. @throws ServiceError REQUEST_TOO_LARGE, REQUEST_TRUNCATED */
export async function readBody(request: Request, atMost: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () => new ServiceError('REQUEST_TOO_LARGE', `body: at most ${atMost} bytes`, { field: 'body' });
  if (Number(request.headers.get('content-length') ?? 0) > atMost) throw tooLarge();
  const body = new Uint8Array(atMost);
  let length = 0;
  const reader = request.body?.getReader();
  try {
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
      if (length + part.value.length > atMost) throw tooLarge();
      body.set(part.value, length);
      length += part.value.length;
    }
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw new ServiceError('REQUEST_TRUNCATED', 'body: ended early', { field: 'body', cause });
  }
  return body.slice(0, length);
}
