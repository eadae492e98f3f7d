import { CodedError, type Json, parseJson, ServiceError, shown } from '@veritee/protocol';

/**
 * `config.json` of a version folder: optional, for people and catalogues. It changes nothing about how the model is
 * served; the graph itself says what goes in and out. It counts into the model digest like every file of the folder.
 *
 *     { "description": "Handwritten digits, 28×28 grey", "labels": { "owner": "vision", "licence": "Apache-2.0" } }
 */
export interface ModelConfig {
  readonly description: string | null;
  readonly labels: ReadonlyMap<string, string>;
}

const MAX_BYTES = 64 << 10;
const MAX_DESCRIPTION = 4096;
const MAX_LABELS = 64;
const MAX_LABEL = 256;

/**
 * @param where the file as messages name it
 * @throws ServiceError MODEL_CONFIG_INVALID not JSON, an unknown member, or a member of the wrong type or size
 */
export function parseModelConfig(file: Uint8Array, where: string): ModelConfig {
  const invalid = (member: string, reason: string): never => {
    const field = member === '' ? where : `${where}: ${member}`;
    throw new ServiceError('MODEL_CONFIG_INVALID', `${field}: ${reason}`, { field });
  };
  if (file.length > MAX_BYTES) invalid('', `larger than ${MAX_BYTES} bytes`);
  let json: Json;
  try {
    json = parseJson(new Uint8Array(file), where);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw new ServiceError('MODEL_CONFIG_INVALID', error.message, { field: where, cause: error });
  }
  if (!(json instanceof Map)) return invalid('', 'want an object');
  for (const member of json.keys()) {
    if (member !== 'description' && member !== 'labels') invalid(shown(member), 'unknown member');
  }
  const text = (value: Json | undefined, member: string, atMost: number): string => {
    if (typeof value !== 'string') return invalid(member, 'want text');
    return value.length <= atMost ? value : invalid(member, `longer than ${atMost} characters`);
  };
  const labels: unknown = json.get('labels') ?? new Map();
  if (!(labels instanceof Map)) return invalid('labels', 'want an object of texts');
  if (labels.size > MAX_LABELS) invalid('labels', `more than ${MAX_LABELS}`);
  return {
    description: json.has('description') ? text(json.get('description'), 'description', MAX_DESCRIPTION) : null,
    labels: new Map(
      [...labels].map(([key, value]) => [
        text(key, 'labels', MAX_LABEL),
        text(value, `labels.${shown(key)}`, MAX_LABEL),
      ]),
    ),
  };
}
