/**
 * The enclave's side of the CoCo key broker protocol (protocol/kbs.ts). Each key takes one exchange of its own: a
 * challenge, evidence over a key pair made for it, and the model's key encrypted to that pair.
 *
 * What is trusted: nothing. A false broker can withhold a key or give a wrong one, which opens no file. The model that
 * runs is the one whose digest clients ask for, whoever gave its key.
 */
import {
  encodeKbsAttestation,
  encodeKbsRequest,
  isCode,
  KBS_COOKIE,
  KBS_PREFIX,
  type KbsEvidence,
  type KbsTee,
  type KeyId,
  kbsReportData,
  parseJson,
  parseKbsChallenge,
  parseKbsResource,
  parseKbsToken,
  ServiceError,
  type TeeKey,
} from '@veritee/protocol';
import { type CryptoKey, exportJWK, flattenedDecrypt, generateKeyPair } from 'jose';
import type { KeyRequester } from '../attester/attester.ts';
import { call, type HttpAnswer } from './http.ts';
import { invalidAnswer, type KeyProvider, refused, unreachable } from './provider.ts';

const KEY_ALGORITHM = 'ECDH-ES+A256KW';
const MAX_FINDINGS = 16;
const COOKIE = new RegExp(`(?:^|,\\s*)${KBS_COOKIE}=([\\w.~+/=-]{1,512})(?:;|,|$)`);

export class BrokerKeys implements KeyProvider {
  readonly #url: URL;
  readonly #platform: KeyRequester;

  /** @param url of the broker, without `/kbs/v0` */
  constructor(url: URL, platform: KeyRequester) {
    this.#url = url;
    this.#platform = platform;
  }

  async key({ repository, type, tag }: KeyId, signal: AbortSignal): Promise<Uint8Array> {
    const tee: KbsTee = this.#platform.format === 'sev-snp-report' ? 'snp' : 'nitro';
    const { privateKey, publicKey } = await generateKeyPair(KEY_ALGORITHM, { crv: 'P-256', extractable: false });

    const asked = accepted(await call(this.#post('auth', encodeKbsRequest(tee)), signal));
    const cookie = cookieOf(asked);
    if (cookie === null) throw invalidAnswer('the key broker opened no session');
    const { nonce } = parseKbsChallenge(asked.body);

    const teeKey = await teeKeyOf(publicKey);
    const evidence = await this.#evidence(tee, nonce, teeKey);
    const attestation = encodeKbsAttestation({ nonce, teeKey, evidence });
    const attested = accepted(await call(this.#post('attest', attestation, cookie), signal));
    parseKbsToken(attested.body); // the session in the cookie is used; a broker that gave no token is none

    const session = cookieOf(attested) ?? cookie;
    const resource = new Request(this.#endpoint(`resource/${repository}/${type}/${tag}`), {
      headers: { cookie: `${KBS_COOKIE}=${session}` },
    });
    return openResource(accepted(await call(resource, signal)), privateKey);
  }

  #endpoint(path: string): string {
    return `${this.#url.href.replace(/\/+$/, '')}${KBS_PREFIX}/${path}`;
  }

  #post(path: string, body: string, cookie?: string): Request {
    const headers = {
      'content-type': 'application/json',
      ...(cookie !== undefined && { cookie: `${KBS_COOKIE}=${cookie}` }),
    };
    return new Request(this.#endpoint(path), { method: 'POST', headers, body });
  }

  async #evidence(tee: KbsTee, nonce: string, teeKey: TeeKey): Promise<KbsEvidence> {
    const { report, chain } = await this.#platform.attestToBroker(kbsReportData(nonce, teeKey));
    return tee === 'snp' ? { tee, report, chain } : { tee, document: report };
  }
}

const cookieOf = ({ headers }: HttpAnswer): string | null => COOKIE.exec(headers.get('set-cookie') ?? '')?.[1] ?? null;

async function teeKeyOf(publicKey: CryptoKey): Promise<TeeKey> {
  const { x = '', y = '' } = await exportJWK(publicKey);
  return { kty: 'EC', crv: 'P-256', alg: KEY_ALGORITHM, x, y };
}

async function openResource({ body }: HttpAnswer, privateKey: CryptoKey): Promise<Uint8Array> {
  const jwe = parseKbsResource(body);
  try {
    const { plaintext } = await flattenedDecrypt(jwe, privateKey, {
      keyManagementAlgorithms: [KEY_ALGORITHM],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
    return plaintext;
  } catch (cause) {
    throw invalidAnswer('the key is not encrypted to the key of this exchange', cause);
  }
}

/** @throws ServiceError MODEL_KEY_REFUSED with the broker's own codes; BROKER_UNREACHABLE where it asks to come again */
function accepted(answer: HttpAnswer): HttpAnswer {
  const { status, body } = answer;
  if (status === 200) return answer;
  if (status === 429 || status >= 500) throw unreachable(`the key broker answered ${status}`);
  throw refused(`the key broker refused: ${findingsOf(body).join(', ') || `status ${status}`}`);
}

/** The codes of a problem report. Its other words are the broker's, and stay out of our messages. */
function findingsOf(body: Uint8Array): string[] {
  try {
    const problem = parseJson(body);
    if (!(problem instanceof Map)) return [];
    const findings = problem.get('findings');
    const codes = Array.isArray(findings)
      ? findings.slice(0, MAX_FINDINGS).map((one) => (one instanceof Map ? one.get('code') : undefined))
      : [];
    const known = [problem.get('code'), ...codes].filter((code) => typeof code === 'string' && isCode(code));
    return [...new Set(known)] as string[];
  } catch (error) {
    if (error instanceof ServiceError) return []; // not JSON: a proxy's page, or another broker's form
    throw error;
  }
}
