import { execFileSync } from 'node:child_process';
import {
  constants,
  createCipheriv,
  createHash,
  createHmac,
  createPublicKey,
  type KeyObject,
  publicEncrypt,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import { hex } from '../../protocol/bytes.ts';
import { type AppraisalPolicy, assess, parseNitroDocument } from '../../verifier/index.ts';

export const hasOpenssl = (() => {
  try {
    return execFileSync('openssl', ['version']).toString().startsWith('OpenSSL 3');
  } catch {
    return false;
  }
})();

export type CmsEncoding = 'pkijs' | 'openssl-der' | 'openssl-streamed-ber';

const OAEP_SHA256 = '1.2.840.113549.1.1.7';
const SHA256 = new pkijs.AlgorithmIdentifier({ algorithmId: '2.16.840.1.101.3.4.2.1' });

/** CMS EnvelopedData as KMS makes it: one recipient by subject key identifier. */
export function envelopedData(plaintext: Uint8Array, recipient: KeyObject, encoding: CmsEncoding): Uint8Array {
  return encoding === 'pkijs' ? byPkijs(plaintext, recipient) : byOpenssl(plaintext, recipient, encoding);
}

function byPkijs(plaintext: Uint8Array, recipient: KeyObject): Uint8Array {
  const key = randomBytes(32);
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const encrypted = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const wrapped = publicEncrypt({ key: recipient, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, key);
  const mgf1 = new pkijs.AlgorithmIdentifier({
    algorithmId: '1.2.840.113549.1.1.8',
    algorithmParams: SHA256.toSchema(),
  });
  const keyIdentifier = new asn1js.Primitive({
    idBlock: { tagClass: 3, tagNumber: 0 },
    valueHex: new Uint8Array(randomBytes(20)).buffer,
  });
  const envelope = new pkijs.EnvelopedData({
    version: 2,
    recipientInfos: [
      new pkijs.RecipientInfo({
        variant: 1,
        value: new pkijs.KeyTransRecipientInfo({
          version: 2,
          rid: keyIdentifier as asn1js.BaseBlock as asn1js.OctetString, // pkijs' types know it untagged only
          keyEncryptionAlgorithm: new pkijs.AlgorithmIdentifier({
            algorithmId: OAEP_SHA256,
            algorithmParams: new pkijs.RSAESOAEPParams({ hashAlgorithm: SHA256, maskGenAlgorithm: mgf1 }).toSchema(),
          }),
          encryptedKey: new asn1js.OctetString({ valueHex: new Uint8Array(wrapped).buffer }),
        }),
      }),
    ],
    encryptedContentInfo: new pkijs.EncryptedContentInfo({
      contentType: '1.2.840.113549.1.7.1',
      contentEncryptionAlgorithm: new pkijs.AlgorithmIdentifier({
        algorithmId: '2.16.840.1.101.3.4.1.42',
        algorithmParams: new asn1js.OctetString({ valueHex: new Uint8Array(iv).buffer }),
      }),
      encryptedContent: new asn1js.OctetString({ valueHex: new Uint8Array(encrypted).buffer }),
    }),
  });
  const info = new pkijs.ContentInfo({ contentType: '1.2.840.113549.1.7.3', content: envelope.toSchema() });
  return new Uint8Array(info.toSchema().toBER());
}

function byOpenssl(plaintext: Uint8Array, recipient: KeyObject, encoding: CmsEncoding): Uint8Array {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-cms-'));
  const at = (name: string): string => path.join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  try {
    writeFileSync(at('recipient.pub'), recipient.export({ type: 'spki', format: 'pem' }));
    writeFileSync(at('plain'), plaintext);
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=ca');
    writeFileSync(at('ext'), 'subjectKeyIdentifier=hash\n');
    openssl(
      ...['x509', '-new', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-force_pubkey', 'recipient.pub'],
      ...['-subj', '/CN=recipient', '-extfile', 'ext', '-out', 'recipient.crt'],
    );
    openssl(
      ...['cms', '-encrypt', '-binary', '-aes256', '-keyid', '-in', 'plain', '-out', 'out', '-outform', 'DER'],
      ...(encoding === 'openssl-streamed-ber' ? ['-stream'] : []),
      ...['-recip', 'recipient.crt', '-keyopt', 'rsa_padding_mode:oaep'],
      ...['-keyopt', 'rsa_oaep_md:sha256', '-keyopt', 'rsa_mgf1_md:sha256'],
    );
    return new Uint8Array(readFileSync(at('out')));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export interface FakeKmsOptions {
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  readonly region: string;
  /** Genuine documents only, of the images whose PCR0 the key policy names. */
  readonly documents: AppraisalPolicy;
  readonly pcr0: string;
  readonly encoding?: CmsEncoding;
}

interface Wrapped {
  readonly plaintext: Uint8Array;
  readonly keyId: string;
  readonly context: string;
}

/** What KMS does for `Decrypt` with a Recipient, and nothing else of it. */
export class FakeKms {
  readonly #options: FakeKmsOptions;
  readonly #wrapped = new Map<string, Wrapped>();
  readonly #server = createServer((req, res) => void this.#answer(req, res));
  /** Answers with this instead, when set. */
  override: ((answer: Record<string, unknown>) => Record<string, unknown>) | null = null;
  status: number | null = null;
  readonly refusals: string[] = [];
  decrypted = 0;

  constructor(options: FakeKmsOptions) {
    this.#options = options;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  /** `aws kms encrypt`: the CiphertextBlob. */
  wrap(plaintext: Uint8Array, keyId: string, context: Record<string, string>): Uint8Array {
    const blob = randomBytes(160);
    this.#wrapped.set(blob.toString('base64'), { plaintext, keyId, context: JSON.stringify(context) });
    return new Uint8Array(blob);
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const part of req) parts.push(part as Uint8Array);
    const body = Buffer.concat(parts);
    const refuse = (type: string, status = 400) => {
      this.refusals.push(type);
      res.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
      res.end(JSON.stringify({ __type: type, message: 'a secret word' }));
    };
    if (this.status !== null) return refuse('KMSInternalException', this.status);
    if (!this.#signed(req, body)) return refuse('IncompleteSignatureException');
    if (req.headers['x-amz-target'] !== 'TrentService.Decrypt') return refuse('UnknownOperationException');
    const request = JSON.parse(body.toString('utf8')) as {
      readonly CiphertextBlob: string;
      readonly EncryptionContext?: Record<string, string>;
      readonly KeyId?: string;
      readonly Recipient?: { readonly AttestationDocument: string; readonly KeyEncryptionAlgorithm: string };
    };
    const wrapped = this.#wrapped.get(request.CiphertextBlob);
    if (!wrapped || JSON.stringify(request.EncryptionContext ?? {}) !== wrapped.context)
      return refuse('InvalidCiphertextException');
    if (request.KeyId !== undefined && request.KeyId !== wrapped.keyId) return refuse('IncorrectKeyException');
    if (request.Recipient?.KeyEncryptionAlgorithm !== 'RSAES_OAEP_SHA_256') return refuse('ValidationException');
    const recipient = await this.#recipient(Buffer.from(request.Recipient.AttestationDocument, 'base64'));
    if (!recipient) return refuse('com.amazonaws.kms#AccessDeniedException');
    this.decrypted += 1;
    const envelope = envelopedData(wrapped.plaintext, recipient, this.#options.encoding ?? 'pkijs');
    const answer = {
      KeyId: wrapped.keyId,
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      CiphertextForRecipient: Buffer.from(envelope).toString('base64'),
    };
    res.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
    res.end(JSON.stringify(this.override ? this.override(answer) : answer));
  }

  /** The RSA key of a genuine document that meets `kms:RecipientAttestation:PCR0`. */
  async #recipient(document: Uint8Array): Promise<KeyObject | null> {
    const result = await assess({
      file: document,
      kind: 'nitro-document',
      policy: this.#options.documents,
      at: new Date(Date.now() + 1000),
    });
    if (result.verdict !== 'affirming') return null;
    const { pcrs, publicKey } = parseNitroDocument(new Uint8Array(document));
    const pcr0 = pcrs.get(0);
    if (!publicKey || !pcr0 || hex(pcr0) !== this.#options.pcr0) return null;
    const key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048 ? key : null;
  }

  /** AWS Signature Version 4, written from its description and not from the library that makes it. */
  #signed(req: IncomingMessage, body: Uint8Array): boolean {
    const { credentials, region } = this.#options;
    const [, scope = '', names = '', signature = ''] =
      /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
        req.headers.authorization ?? '',
      ) ?? [];
    const date = String(req.headers['x-amz-date']);
    const day = date.slice(0, 8);
    const wantScope = `${day}/${region}/kms/aws4_request`;
    if (scope !== `${credentials.accessKeyId}/${wantScope}`) return false;
    if (req.headers['x-amz-security-token'] !== credentials.sessionToken) return false;
    for (const name of ['host', 'x-amz-date', 'x-amz-target']) if (!names.split(';').includes(name)) return false;
    const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
    const headers = names.split(';').map((name) => `${name}:${String(req.headers[name]).trim()}\n`);
    const canonical = [req.method, req.url, '', headers.join(''), names, sha256(body)].join('\n');
    const toSign = ['AWS4-HMAC-SHA256', date, wantScope, sha256(canonical)].join('\n');
    const key = [day, region, 'kms', 'aws4_request'].reduce<string | Buffer>(
      (secret, part) => createHmac('sha256', secret).update(part).digest(),
      `AWS4${credentials.secretAccessKey}`,
    );
    const want = createHmac('sha256', key).update(toSign).digest();
    return signature.length === 64 && timingSafeEqual(want, Buffer.from(signature, 'hex'));
  }
}
