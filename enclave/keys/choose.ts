/** Which provider the settings name. The libraries of each are loaded only when it is the one. */
import { CodedError } from '@veritee/protocol';
import type { KeyRequester } from '../attester/attester.ts';
import type { AwsCredentials, KmsRequester } from './kms.ts';
import type { KeyProvider } from './provider.ts';
import type { KeySettings } from './settings.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws CodedError USAGE no AWS credentials; PLATFORM_UNAVAILABLE a platform that KMS cannot read */
export async function keyProvider(
  settings: KeySettings | null,
  platform: KeyRequester | (KeyRequester & KmsRequester),
  models: string,
  environment: Environment,
): Promise<KeyProvider | null> {
  if (settings === null) return null;
  if (settings.kind === 'broker') {
    const { BrokerKeys } = await import('./broker.ts');
    return new BrokerKeys(settings.url, platform);
  }
  if (!('attestToKms' in platform))
    throw new CodedError('PLATFORM_UNAVAILABLE', '--kms: want a Nitro platform', { field: 'kms' });
  const { KmsKeys } = await import('./kms.ts');
  return new KmsKeys(settings.kms, credentials(environment), platform, models);
}

function credentials(environment: Environment): AwsCredentials {
  const accessKeyId = environment['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY'];
  const sessionToken = environment['AWS_SESSION_TOKEN'];
  if (!accessKeyId || !secretAccessKey) {
    throw new CodedError('USAGE', '--kms: want AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment', {
      field: 'kms',
    });
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}
