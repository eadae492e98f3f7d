/**
 * A key broker: releases keys of encrypted models to enclaves whose evidence its policies affirm. A Relying Party, so it
 * holds to the same rule as any client: verify first, and only then give.
 *
 * It speaks the CoCo protocol (protocol/kbs.ts) behind a web-standard handler, and trusts its policies, anchors and the
 * clock. A released key is encrypted to the key pair in the evidence: who carries it, and who asks, need not be trusted.
 */
import {
  base64,
  type Code,
  CodedError,
  encodeKbsChallenge,
  hex,
  KBS_COOKIE,
  KBS_PREFIX,
  type KbsAttestation,
  type KbsTee,
  kbsReportData,
  parseKbsAttestation,
  parseKbsRequest,
  SEALED_KEY_BYTES,
  ServiceError,
  type TeeKey,
} from '@veritee/protocol';
import { type AppraisalPolicy, type AssessInput, assess, policyDigest, type TrustAnchor } from '@veritee/verifier';
import { type CryptoKey, FlattenedEncrypt, importJWK } from 'jose';
import { BrokerRefusal, json, problem, readBody } from './answer.ts';
import { type BrokerFinding, type Grant, type TokenKey, Tokens } from './grant.ts';
import { type Challenge, Pace, Sessions } from './sessions.ts';

export interface BrokerResource {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** What the evidence must satisfy before this key is given. */
  readonly policy: AppraisalPolicy;
}

export interface BrokerLimits {
  /** Challenges and attested sessions held, each. */
  readonly maxSessions: number;
  readonly sessionMs: number;
  /** Requests taken at once, and a second after that. */
  readonly burst: number;
  readonly perSecond: number;
}

export const BROKER_LIMITS: BrokerLimits = { maxSessions: 8192, sessionMs: 5 * 60_000, burst: 64, perSecond: 16 };

/** For a log: what happened and why, never a key, a token or evidence. */
export interface BrokerEvent {
  readonly event: 'challenged' | 'attested' | 'released' | 'refused' | 'failed';
  readonly code: Code | null;
  readonly findings: readonly BrokerFinding[];
  /** `<repository>/<type>/<tag>`, when it is one of the broker's own. */
  readonly resource: string | null;
  /** Of `failed`: the kind of an error that is a defect here. Its message could quote a request. */
  readonly defect: string | null;
}

export interface BrokerOptions {
  /** By `<repository>/<type>/<tag>`. */
  readonly resources: ReadonlyMap<string, BrokerResource>;
  /** Beside the policies' own. */
  readonly trustAnchors?: readonly TrustAnchor[];
  readonly endorsements?: readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[];
  readonly tokenKey: TokenKey;
  /** `iss` of the tokens: where this broker is reached. */
  readonly issuer: string;
  readonly limits?: Partial<BrokerLimits>;
  /** The time at which evidence must be valid. */
  readonly now?: () => Date;
  /** Monotonic milliseconds, for sessions and pace. */
  readonly clock?: () => number;
  readonly onEvent?: (event: BrokerEvent) => void;
}

const MAX_BODY_BYTES = 256 << 10;
const NONCE_BYTES = 32;
const KEY_ALGORITHM = 'ECDH-ES+A256KW';
const COOKIE = new RegExp(`(?:^|;\\s*)${KBS_COOKIE}=([^;]*)(?:;|$)`);

export class Broker {
  readonly #options: BrokerOptions;
  readonly #policies: ReadonlyMap<string, AppraisalPolicy>;
  readonly #challenges: Sessions<Challenge>;
  readonly #grants: Sessions<Grant>;
  readonly #pace: Pace;
  readonly #tokens: Tokens;
  readonly #now: () => Date;

  /** @throws TypeError no resource, or a key that is not 32 bytes; CodedError POLICY_INVALID a policy that takes any program */
  constructor(options: BrokerOptions) {
    const { resources, now = () => new Date(), clock = () => performance.now(), tokenKey, issuer } = options;
    if (resources.size === 0) throw new TypeError('resources: a broker without keys');
    for (const [path, { key, policy }] of resources) {
      if (key.length !== SEALED_KEY_BYTES) throw new TypeError(`resources: ${path}: want ${SEALED_KEY_BYTES} bytes`);
      refuseAnyProgram(path, policy);
    }
    const { maxSessions, sessionMs, burst, perSecond } = { ...BROKER_LIMITS, ...options.limits };
    this.#options = options;
    this.#policies = new Map([...resources.values()].map(({ policy }) => [digestOf(policy), policy]));
    this.#challenges = new Sessions(maxSessions, sessionMs, clock);
    this.#grants = new Sessions(maxSessions, sessionMs, clock);
    this.#pace = new Pace(burst, perSecond, clock);
    this.#tokens = new Tokens(tokenKey, issuer, sessionMs);
    this.#now = now;
  }

  /** Answers one request; a refusal is an answer too. */
  async handle(request: Request): Promise<Response> {
    try {
      return await this.#route(request);
    } catch (error) {
      if (error instanceof CodedError) {
        const findings = error instanceof BrokerRefusal ? error.findings : [];
        this.#tell({ event: 'refused', code: error.code, findings });
        return problem(error);
      }
      this.#tell({ event: 'failed', code: 'INTERNAL', defect: error instanceof Error ? error.name : typeof error });
      return problem(new ServiceError('INTERNAL', 'an internal error'));
    }
  }

  async #route(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const path = pathname.startsWith(`${KBS_PREFIX}/`) ? pathname.slice(KBS_PREFIX.length + 1) : '';
    const [verb, method] = path.startsWith('resource/') ? ['resource', 'GET'] : [path, 'POST'];
    if (verb !== 'auth' && verb !== 'attest' && verb !== 'resource')
      throw new ServiceError('REQUEST_NOT_FOUND', 'no such route');
    if (request.method !== method) throw new ServiceError('REQUEST_METHOD_NOT_ALLOWED', `want ${method}`);
    this.#pace.take();
    if (verb === 'auth') return this.#challenge(await readBody(request, MAX_BODY_BYTES));
    if (verb === 'attest') return this.#attest(await readBody(request, MAX_BODY_BYTES), cookieOf(request));
    return this.#release(path.slice('resource/'.length), await this.#grantOf(request));
  }

  #challenge(body: Uint8Array): Response {
    const { tee } = parseKbsRequest(body);
    const nonce = base64(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)));
    const id = this.#challenges.open({ tee, nonce });
    this.#tell({ event: 'challenged' });
    return json(encodeKbsChallenge(nonce), setCookie(id));
  }

  async #attest(body: Uint8Array, id: string): Promise<Response> {
    // Taken before anything is looked at: a challenge has one answer, right or wrong.
    const challenge = this.#challenges.take(id);
    if (!challenge) throw new ServiceError('BROKER_SESSION_UNKNOWN', 'no such challenge, or it was answered before');
    const attestation = parseKbsAttestation(body, challenge.tee);
    if (attestation.nonce !== challenge.nonce)
      throw new ServiceError('BROKER_REQUEST_INVALID', 'runtime-data.nonce: not the one of this challenge', {
        field: 'runtime-data.nonce',
      });
    await importTeeKey(attestation.teeKey);
    const grant = await this.#assess(challenge.tee, attestation);
    if (grant.policies.size === 0)
      throw new BrokerRefusal('BROKER_EVIDENCE_REFUSED', 'the evidence meets no policy of this broker', grant.findings);
    const token = await this.#tokens.sign(grant, this.#now());
    this.#tell({ event: 'attested', findings: grant.findings });
    return json(JSON.stringify({ token }), setCookie(this.#grants.open(grant, id)));
  }

  /** Holds the evidence against every policy, once. */
  async #assess(tee: KbsTee, { nonce, teeKey, evidence }: KbsAttestation): Promise<Grant> {
    const { trustAnchors = [], endorsements = [], crls = [] } = this.#options;
    const input: Omit<AssessInput, 'policy'> = {
      ...(evidence.tee === 'snp'
        ? { file: evidence.report, kind: 'snp-report', endorsements: [...evidence.chain, ...endorsements] }
        : { file: evidence.document, kind: 'nitro-document', endorsements }),
      at: this.#now(),
      trustAnchors,
      crls,
      expected: { nonce: kbsReportData(nonce, teeKey) },
    };
    const affirmed = new Set<string>();
    const findings: BrokerFinding[] = [];
    for (const [digest, policy] of this.#policies) {
      const result = await assess({ ...input, policy });
      if (result.verdict === 'affirming') affirmed.add(digest);
      else findings.push(...result.findings.map(({ code, claim }) => ({ policy: policy.id, code, claim })));
    }
    return { tee, teeKey, policies: affirmed, findings };
  }

  async #grantOf(request: Request): Promise<Grant> {
    const [, token] = /^Bearer ([\w.-]+)$/i.exec(request.headers.get('authorization') ?? '') ?? [];
    if (token !== undefined) return this.#tokens.verify(token, this.#now());
    const grant = this.#grants.get(cookieOf(request));
    if (!grant) throw new ServiceError('BROKER_SESSION_UNKNOWN', 'not attested, or no longer');
    return grant;
  }

  async #release(path: string, grant: Grant): Promise<Response> {
    const resource = this.#options.resources.get(path);
    if (!resource) throw new ServiceError('BROKER_RESOURCE_UNKNOWN', 'no such resource');
    if (!grant.policies.has(digestOf(resource.policy))) {
      const findings = grant.findings.filter(({ policy }) => policy === resource.policy.id);
      throw new BrokerRefusal('BROKER_RESOURCE_REFUSED', 'the evidence does not meet its policy', findings);
    }
    const jwe = await new FlattenedEncrypt(resource.key)
      .setProtectedHeader({ alg: KEY_ALGORITHM, enc: 'A256GCM' })
      .encrypt(await importTeeKey(grant.teeKey));
    this.#tell({ event: 'released', resource: path });
    return json(JSON.stringify(jwe));
  }

  #tell(event: Pick<BrokerEvent, 'event'> & Partial<BrokerEvent>): void {
    this.#options.onEvent?.({ code: null, findings: [], resource: null, defect: null, ...event });
  }
}

/** Whoever starts a program of their own on a genuine chip would meet it, and be given the key. */
function refuseAnyProgram(path: string, { id, sevSnp, nitro }: AppraisalPolicy): void {
  for (const rules of [sevSnp, nitro]) {
    if (rules === 'refuse' || rules.referenceValues !== 'any-unidentified-program') continue;
    throw new CodedError(
      'POLICY_INVALID',
      `${path}: policy ${id} takes any program: name the builds that may have the key`,
      {
        field: path,
      },
    );
  }
}

const digestOf = (policy: AppraisalPolicy): string => hex(policyDigest(policy));

/** @throws ServiceError BROKER_REQUEST_INVALID not a point of the curve */
async function importTeeKey(teeKey: TeeKey): Promise<CryptoKey> {
  try {
    return (await importJWK({ ...teeKey }, KEY_ALGORITHM)) as CryptoKey; // an EC key is never raw bytes
  } catch (cause) {
    throw new ServiceError('BROKER_REQUEST_INVALID', 'runtime-data.tee-pubkey: not a P-256 key', {
      field: 'runtime-data.tee-pubkey',
      cause,
    });
  }
}

const cookieOf = (request: Request): string => COOKIE.exec(request.headers.get('cookie') ?? '')?.[1] ?? '';

const setCookie = (id: string): Record<string, string> => ({
  'set-cookie': `${KBS_COOKIE}=${id}; Path=${KBS_PREFIX}; HttpOnly; SameSite=Strict`,
});
