/**
 * Keys from AWS KMS on a Nitro enclave: `Decrypt` with a Recipient. KMS verifies the attestation document, holds its
 * PCRs against the key policy (`kms:RecipientAttestation:…`) and encrypts its answer to the key named in the document.
 *
 * The wrapped key is a file in the model repository, `.kms/<repository>/<type>/<tag>`, made by `aws kms encrypt` with
 * the encryption context `{"kid": "kbs:///…"}`. Whoever fills that folder is not trusted: the context binds a wrapped
 * key to its name, and a wrong key opens no model.
 *
 * @see docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html, …/developerguide/cryptographic-attestation.html
 */
import { generateKeyPair, type KeyObject } from 'node:crypto';
import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { base64, fromBase64, type Json, type KeyId, keyIdText, parseJson, ServiceError } from '@veritee/protocol';
import { AwsClient } from 'aws4fetch';
import { openEnvelopedData } from './cms.ts';
import { call, type HttpAnswer } from './http.ts';
import { invalidAnswer, type KeyProvider, refused, unreachable } from './provider.ts';

const RSA_BITS = 2048;
const MAX_WRAPPED_KEY_BYTES = 6144; // CiphertextBlob

export interface KmsSettings {
  readonly region: string;
  readonly endpoint: URL;
  /** Refuses wrapped keys of any other KMS key; null takes the one that the blob names. */
  readonly keyId: string | null;
}

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface KmsRequester {
  /** A Nitro document with this SubjectPublicKeyInfo as `public_key`. */
  attestToKms(recipientKey: Uint8Array): Promise<Uint8Array>;
}

/** What time may mend. */
const TRANSIENT = new Set([
  'ThrottlingException',
  'KeyUnavailableException',
  'DependencyTimeoutException',
  'KMSInternalException',
]);

export class KmsKeys implements KeyProvider {
  readonly #settings: KmsSettings;
  readonly #aws: AwsClient;
  readonly #platform: KmsRequester;
  readonly #models: string;

  /** @param models the model repository */
  constructor(settings: KmsSettings, credentials: AwsCredentials, platform: KmsRequester, models: string) {
    this.#settings = settings;
    this.#aws = new AwsClient({ ...credentials, service: 'kms', region: settings.region });
    this.#platform = platform;
    this.#models = models;
  }

  async key(id: KeyId, signal: AbortSignal): Promise<Uint8Array> {
    const wrapped = await this.#wrappedKey(id);
    const { publicKey, privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS });
    const document = await this.#platform.attestToKms(publicKey.export({ format: 'der', type: 'spki' }));
    const { keyId } = this.#settings;
    const body = {
      CiphertextBlob: base64(wrapped),
      EncryptionContext: { kid: keyIdText(id) },
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      ...(keyId !== null && { KeyId: keyId }),
      Recipient: { AttestationDocument: base64(document), KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256' },
    };
    const request = await this.#aws.sign(this.#settings.endpoint.href, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'TrentService.Decrypt' },
      body: JSON.stringify(body),
    });
    return readAnswer(await call(request, signal), privateKey);
  }

  async #wrappedKey({ repository, type, tag }: KeyId): Promise<Uint8Array> {
    const shown = `.kms/${repository}/${type}/${tag}`;
    const file = path.join(this.#models, shown);
    try {
      // What is read here leaves the enclave: nothing that only a link leads to, and no pipe that would never end.
      const plain = (await realpath(file)) === path.join(await realpath(this.#models), shown);
      const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        if (!plain || !(await handle.stat()).isFile()) throw new Error('a link or special file');
        const buffer = new Uint8Array(MAX_WRAPPED_KEY_BYTES + 1);
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
        if (bytesRead > 0 && bytesRead <= MAX_WRAPPED_KEY_BYTES) return buffer.subarray(0, bytesRead);
      } finally {
        await handle.close();
      }
    } catch (cause) {
      throw new ServiceError('MODEL_KEY_UNAVAILABLE', `${shown}: no such plain file, or not readable`, {
        field: shown,
        cause,
      });
    }
    throw new ServiceError('MODEL_KEY_UNAVAILABLE', `${shown}: not a CiphertextBlob`, { field: shown });
  }
}

function readAnswer({ status, body }: HttpAnswer, privateKey: KeyObject): Uint8Array {
  const json = readObject(body);
  if (status !== 200) {
    const type = errorType(json?.get('__type'));
    if (status >= 500 || TRANSIENT.has(type)) throw unreachable(`KMS answered ${status} ${type}`);
    throw refused(`KMS refused: ${type}`);
  }
  const text = json?.get('CiphertextForRecipient');
  const envelope = typeof text === 'string' ? fromBase64(text) : null;
  // A Plaintext would mean that KMS answered someone who had not attested, or that this is no KMS.
  if (!envelope || json?.get('Plaintext')) throw invalidAnswer('KMS gave no CiphertextForRecipient');
  return openEnvelopedData(envelope, privateKey);
}

function readObject(body: Uint8Array): ReadonlyMap<string, Json> | null {
  try {
    const json = parseJson(body);
    return json instanceof Map ? json : null;
  } catch (error) {
    if (error instanceof ServiceError) return null;
    throw error;
  }
}

/** `AccessDeniedException`, from `com.amazonaws…#AccessDeniedException` too; nothing else of the answer is repeated. */
const errorType = (type: Json | undefined): string =>
  /(?:^|#)([A-Za-z]{1,64})$/.exec(typeof type === 'string' ? type : '')?.[1] ?? 'for a reason it did not name';
