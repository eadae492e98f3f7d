/**
 * Object storage for tests: the few S3 calls the archive makes, with the checks it relies on: Signature Version 4,
 * `If-None-Match: *`, SHA-256 checksums, object lock.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const ACCESS = { id: 'AKIATEST', secret: 'not-a-secret', region: 'us-east-1' } as const;

export interface FakeObject {
  content: Buffer;
  readonly lockedUntil: string | null;
}

export interface FakeS3 {
  readonly endpoint: string;
  readonly objects: Map<string, FakeObject>;
  /** Answers that refused a request, for tests that expect none. */
  readonly refusals: string[];
  stop(): Promise<void>;
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** Why the signature is not that of this request; null when it is. */
function signatureProblem(req: IncomingMessage, url: URL, body: Buffer): string | null {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      req.headers.authorization ?? '',
    );
  if (!match) return 'no signature';
  const [, id, day, region, names, signature] = match as unknown as [string, string, string, string, string, string];
  if (id !== ACCESS.id || region !== ACCESS.region) return 'another key or region';
  const signed = names.split(';');
  if (!signed.includes('host') || !signed.includes('x-amz-content-sha256')) return 'headers left unsigned';
  const bodyHash = String(req.headers['x-amz-content-sha256']);
  if (bodyHash !== 'UNSIGNED-PAYLOAD' && bodyHash !== sha256(body)) return 'another body';
  const query = [...url.searchParams]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
  const canonical = [
    req.method,
    url.pathname
      .split('/')
      .map((part) => encode(decodeURIComponent(part)))
      .join('/'),
    query,
    ...signed.map(
      (name) =>
        `${name}:${String(req.headers[name] ?? '')
          .trim()
          .replace(/ +/g, ' ')}`,
    ),
    '',
    names,
    bodyHash,
  ].join('\n');
  const toSign = [
    'AWS4-HMAC-SHA256',
    req.headers['x-amz-date'],
    `${day}/${region}/s3/aws4_request`,
    sha256(canonical),
  ].join('\n');
  const key = ['s3', 'aws4_request'].reduce(hmac, hmac(hmac(`AWS4${ACCESS.secret}`, day), region));
  const expected = hmac(key, toSign);
  return timingSafeEqual(expected, Buffer.from(signature, 'hex')) ? null : 'the signature differs';
}

export async function startFakeS3(): Promise<FakeS3> {
  const objects = new Map<string, FakeObject>();
  const refusals: string[] = [];
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    answer(req, res, Buffer.concat(chunks));
  });

  function answer(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
    const url = new URL(req.url ?? '/', `http://${req.headers.host}`);
    const problem = signatureProblem(req, url, body);
    const fail = (status: number, code: string, why = code): void => {
      refusals.push(`${req.method} ${url.pathname}: ${why}`);
      res.writeHead(status, { 'content-type': 'application/xml' });
      res.end(
        req.method === 'HEAD'
          ? undefined
          : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${why}</Message></Error>`,
      );
    };
    if (problem) {
      fail(403, 'SignatureDoesNotMatch', problem);
      return;
    }
    const [, bucket = '', ...rest] = decodeURIComponent(url.pathname).split('/');
    const name = `${bucket}/${rest.join('/')}`;
    const object = objects.get(name);
    if (req.method === 'GET' && url.searchParams.get('list-type') === '2') {
      list(res, bucket, url);
      return;
    }
    if (req.method === 'PUT') {
      if (req.headers['if-none-match'] !== '*') {
        fail(400, 'InvalidRequest', 'no If-None-Match: *');
        return;
      }
      if (object) {
        fail(412, 'PreconditionFailed');
        return;
      }
      const checksum = createHash('sha256').update(body).digest('base64');
      if (req.headers['x-amz-checksum-sha256'] !== checksum) {
        fail(400, 'BadDigest');
        return;
      }
      const until = req.headers['x-amz-object-lock-retain-until-date'];
      if (until !== undefined && req.headers['x-amz-object-lock-mode'] !== 'COMPLIANCE') {
        fail(400, 'InvalidRequest');
        return;
      }
      objects.set(name, { content: body, lockedUntil: until === undefined ? null : String(until) });
      res.writeHead(200, { etag: '"x"' }).end();
      return;
    }
    if (req.method === 'DELETE') {
      if (object?.lockedUntil) {
        fail(403, 'AccessDenied');
        return;
      }
      objects.delete(name);
      res.writeHead(204).end();
      return;
    }
    if (!object) {
      fail(404, req.method === 'HEAD' ? 'NotFound' : 'NoSuchKey');
      return;
    }
    res.writeHead(200, { 'content-length': object.content.length, 'content-type': 'application/octet-stream' });
    res.end(req.method === 'HEAD' ? undefined : object.content);
  }

  /** Two keys a page, so that there are pages. */
  function list(res: ServerResponse, bucket: string, url: URL): void {
    const prefix = `${bucket}/${url.searchParams.get('prefix') ?? ''}`;
    const after = url.searchParams.get('continuation-token') ?? '';
    const names = [...objects.keys()].filter((name) => name.startsWith(prefix)).sort();
    const rest = names.map((name) => name.slice(bucket.length + 1)).filter((key) => key > after);
    const page = rest.slice(0, 2);
    const next = rest.length > 2 ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    res.writeHead(200, { 'content-type': 'application/xml' });
    res.end(
      `<?xml version="1.0"?><ListBucketResult><Name>${bucket}</Name><IsTruncated>${next !== ''}</IsTruncated>${next}${page
        .map((key) => `<Contents><Key>${key}</Key></Contents>`)
        .join('')}</ListBucketResult>`,
    );
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    objects,
    refusals,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
