/** The JSON messages of the enclave link, read strictly: shapes are in protocol's link.ts. */
import {
  CodedError,
  fromHex,
  isCode,
  type LinkChallenge,
  type LinkHello,
  type LinkStatus,
  MAX_CHALLENGES,
  MAX_PATH,
  ServiceError,
} from '@veritee/protocol';

type Fields = Readonly<Record<string, unknown>>;

function bad(field: string): never {
  throw new CodedError('SERVICE_ANSWER_INVALID', `link: ${field} is missing or not what the link says`, { field });
}

function fieldsOf(text: string, what: string): Fields {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  } catch (cause) {
    throw new CodedError('SERVICE_ANSWER_INVALID', `link: ${what} is not JSON`, { field: what, cause });
  }
  return bad(what);
}

const text = (fields: Fields, name: string): string => {
  const value = fields[name];
  return typeof value === 'string' ? value : bad(name);
};

const textOrNull = (fields: Fields, name: string): string | null => (fields[name] === null ? null : text(fields, name));

const uint = (fields: Fields, name: string): number => {
  const value = fields[name];
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : bad(name);
};

function hexText(value: unknown, size: number, name: string): string {
  if (typeof value !== 'string' || value !== value.toLowerCase() || fromHex(value)?.length !== size) return bad(name);
  return value;
}

export function readHello(body: string): LinkHello {
  const fields = fieldsOf(body, 'hello');
  return {
    boot: hexText(fields['boot'], 16, 'boot'),
    acknowledged: uint(fields, 'acknowledged'),
    warning: textOrNull(fields, 'warning'),
  };
}

export function readChallenge(body: string): LinkChallenge {
  const fields = fieldsOf(body, 'challenge');
  const path = fields['noncePath'];
  if (!Array.isArray(path) || path.length > MAX_PATH) return bad('noncePath');
  const nonceIndex = uint(fields, 'nonceIndex');
  if (nonceIndex >= MAX_CHALLENGES) bad('nonceIndex');
  return {
    entry: uint(fields, 'entry'),
    nonceIndex,
    noncePath: path.map((hash) => hexText(hash, 32, 'noncePath')),
    reportData: hexText(fields['reportData'], 64, 'reportData'),
  };
}

export function readStatus(body: string): LinkStatus {
  const fields = fieldsOf(body, 'status');
  const models = fields['models'];
  if (!Array.isArray(models)) return bad('models');
  return {
    boot: hexText(fields['boot'], 16, 'boot'),
    platform: text(fields, 'platform'),
    warning: textOrNull(fields, 'warning'),
    size: uint(fields, 'size'),
    committed: uint(fields, 'committed'),
    evidenceAgeMs: fields['evidenceAgeMs'] === null ? null : uint(fields, 'evidenceAgeMs'),
    tickError: textOrNull(fields, 'tickError'),
    sealingError: textOrNull(fields, 'sealingError'),
    models: models.map((model: unknown) => {
      if (typeof model !== 'object' || model === null) return bad('models');
      const facts = model as Fields;
      return { name: text(facts, 'name'), version: textOrNull(facts, 'version'), code: textOrNull(facts, 'code') };
    }),
  };
}

/** The enclave's refusal, under its own code where it names one. */
export function linkRefusal(status: number, code: string | undefined, what: string): ServiceError {
  if (code !== undefined && isCode(code)) return new ServiceError(code, `the enclave refused ${what}: ${code}`);
  return new ServiceError('ENCLAVE_UNREACHABLE', `the enclave answered ${what} with status ${status}`);
}
