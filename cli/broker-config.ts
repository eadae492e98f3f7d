/**
 * The broker's configuration, a JSON object; file names are relative to its own folder:
 *
 *     { "policy": "policy.json",
 *       "trustAnchors": ["root.pem"],
 *       "resources": { "acme/model-key/fraud": { "keyFile": "fraud.jwk" },
 *                      "acme/model-key/triage": { "keyFile": "triage.jwk", "policy": "strict.json" } } }
 *
 * Optional: `endorsements`, `crls` (file lists) and `tokenKey` (a private P-256 JWK; without it tokens end with the
 * process).
 */
import path from 'node:path';
import type { BrokerOptions, BrokerResource, TokenKey } from '@veritee/client';
import { CodedError, type Json, keyIdText, parseJson, parseKeyId } from '@veritee/protocol';
import type { AppraisalPolicy } from '@veritee/verifier';
import { generateTokenKey, readTokenKey } from './broker-token-key.ts';
import { InputError } from './exit.ts';
import { readAnchors, readCrl, readEndorsement, readPolicy } from './inputs.ts';
import { readInput } from './io.ts';
import { readModelKey } from './model-key.ts';

const MAX_RESOURCES = 1024;
const MAX_FILES = 64;

export type BrokerConfig = Pick<BrokerOptions, 'resources' | 'trustAnchors' | 'endorsements' | 'crls' | 'tokenKey'>;

/** @throws InputError USAGE for the configuration itself; the codes of the files it names */
export async function readBrokerConfig(file: string): Promise<BrokerConfig> {
  const config = new Members(await readJsonFile(file), file);
  const folder = path.dirname(path.resolve(file));
  const at = (name: string): string => path.resolve(folder, name);
  const policyFile = config.text('policy');
  const anchors = config.texts('trustAnchors').map(at);
  const endorsements = config.texts('endorsements').map(at);
  const crls = config.texts('crls').map(at);
  const tokenKeyFile = config.text('tokenKey');
  const entries = config.members('resources');
  config.end();
  if (entries.length === 0 || entries.length > MAX_RESOURCES) config.fail('resources', `want 1 to ${MAX_RESOURCES}`);

  const policies = new Map<string, Promise<AppraisalPolicy>>();
  const policyOf = (name: string): Promise<AppraisalPolicy> => {
    const known = policies.get(name) ?? readPolicy(at(name));
    policies.set(name, known);
    return known;
  };
  const resources = new Map<string, BrokerResource>();
  for (const [name, value] of entries) {
    if (!isResourcePath(name)) config.fail('resources', 'want names <repository>/<type>/<tag>');
    const resource = new Members(value, `${file}: resources.${name}`);
    const keyFile = resource.text('keyFile') ?? resource.fail('keyFile', 'want a file name');
    const policy = resource.text('policy') ?? policyFile ?? resource.fail('policy', 'want one here, or for all');
    resource.end();
    resources.set(name, { key: await readModelKey(at(keyFile)), policy: await policyOf(policy) });
  }
  return {
    resources,
    trustAnchors: await readAnchors(anchors),
    endorsements: await Promise.all(endorsements.map(readEndorsement)),
    crls: await Promise.all(crls.map(readCrl)),
    tokenKey: await tokenKeyOf(tokenKeyFile === undefined ? null : at(tokenKeyFile)),
  };
}

const tokenKeyOf = (file: string | null): Promise<TokenKey> =>
  file === null ? generateTokenKey() : readTokenKey(file);

function isResourcePath(name: string): boolean {
  const id = parseKeyId(`kbs:///${name}`);
  return id !== null && keyIdText(id) === `kbs:///${name}`;
}

async function readJsonFile(file: string): Promise<Json> {
  const content = await readInput(file);
  try {
    return parseJson(content, file);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new InputError('USAGE', cause.message, { field: file, cause });
  }
}

/** Members of a closed object. */
class Members {
  readonly #json: ReadonlyMap<string, Json>;
  readonly #where: string;
  readonly #seen = new Set<string>();

  constructor(json: Json, where: string) {
    this.#where = where;
    if (!(json instanceof Map)) this.fail('', 'want an object');
    this.#json = json as ReadonlyMap<string, Json>;
  }

  fail(member: string, reason: string): never {
    const field = [this.#where, member].filter(Boolean).join(': ');
    throw new InputError('USAGE', `${field}: ${reason}`, { field });
  }

  #take(member: string): Json | undefined {
    this.#seen.add(member);
    return this.#json.get(member);
  }

  text(member: string): string | undefined {
    const value = this.#take(member);
    if (value === undefined || (typeof value === 'string' && value !== '')) return value;
    return this.fail(member, 'want text');
  }

  texts(member: string): string[] {
    const value = this.#take(member) ?? [];
    if (!Array.isArray(value) || value.length > MAX_FILES || value.some((item) => typeof item !== 'string'))
      return this.fail(member, `want at most ${MAX_FILES} file names`);
    return value;
  }

  members(member: string): [string, Json][] {
    const value = this.#take(member);
    return value instanceof Map ? [...value] : this.fail(member, 'want an object');
  }

  end(): void {
    for (const member of this.#json.keys()) if (!this.#seen.has(member)) this.fail('', 'an unknown member');
  }
}
