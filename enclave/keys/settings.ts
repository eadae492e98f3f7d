import { CodedError } from '@veritee/protocol';
import type { KmsSettings } from './kms.ts';

export type KeySettings =
  | { readonly kind: 'broker'; readonly url: URL }
  | { readonly kind: 'kms'; readonly kms: KmsSettings };

export const KEY_HELP = `  --key-broker URL         where keys of encrypted models come from, by attestation: http(s)://HOST:PORT
  --kms REGION             the same from AWS KMS, on a Nitro platform; credentials from the environment, as AWS has them
  --kms-endpoint URL       of KMS: https, http on loopback alone (default https://kms.REGION.amazonaws.com)
  --kms-key ID             take keys wrapped by this KMS key only`;

export const KEY_OPTIONS = ['key-broker', 'kms', 'kms-endpoint', 'kms-key'] as const;

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * @param given the value of an option, if it was given
 * @throws CodedError USAGE
 */
export function parseKeySettings(given: (option: string) => string | undefined, platform: string): KeySettings | null {
  const broker = given('key-broker');
  const region = given('kms');
  if (broker !== undefined && region !== undefined) throw usage('kms', 'either --key-broker or --kms');
  if (broker !== undefined) return { kind: 'broker', url: readUrl(broker, 'key-broker') };
  if (region === undefined) {
    for (const option of KEY_OPTIONS) if (given(option) !== undefined) throw usage(option, '--kms with it');
    return null;
  }
  if (!/^[a-z]{2}(-[a-z]+)+-\d$/.test(region)) throw usage('kms', 'an AWS region such as eu-central-1');
  if (!platform.includes('nitro')) throw usage('kms', 'a Nitro platform: KMS reads no other evidence');
  const endpoint = readUrl(given('kms-endpoint') ?? `https://kms.${region}.amazonaws.com`, 'kms-endpoint');
  // The credentials' session token is in every request, and nothing but TLS says that an answer is from KMS.
  if (endpoint.protocol !== 'https:' && !LOOPBACK.test(endpoint.hostname)) throw usage('kms-endpoint', 'https://HOST');
  return { kind: 'kms', kms: { region, endpoint, keyId: given('kms-key') ?? null } };
}

function readUrl(text: string, option: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '')
    throw usage(option, 'http://HOST:PORT or https://HOST:PORT');
  return url;
}

const usage = (field: string, want: string): CodedError =>
  new CodedError('USAGE', `--${field}: want ${want}`, { field });
