import type { Issuer } from '../certificate.ts';
import {
  decodePair,
  encodePair,
  loadPlatform,
  type PlatformFolder,
  rootPem,
  type StoredPair,
  savePlatform,
} from '../platform-folder.ts';
import { SIMULATED_NITRO_PEM_COMMENT, SIMULATED_NITRO_WARNING } from '../warning.ts';

/** The root's key. All keys below live for hours or days, are made anew at every start and never written. */
export const KEY_FILE = 'simulated-nitro.key';
/** The root certificate: what a person passes as a trust anchor. */
export const ROOT_FILE = 'simulated-nitro-root.pem';

/** What outlasts a simulated enclave: the root above it and the instance it runs on. */
export interface NitroState {
  readonly region: string;
  readonly instanceId: string;
  readonly root: Issuer;
}

interface StoredNitro {
  readonly region: string;
  readonly instanceId: string;
  readonly root: StoredPair;
}

export const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;
const INSTANCE_ID = /^i-[0-9a-f]{17}$/;

function decode(stored: unknown): NitroState {
  const { region, instanceId, root } = stored as StoredNitro;
  if (!REGION.test(region) || !INSTANCE_ID.test(instanceId)) throw new TypeError('not a Nitro platform');
  return { region, instanceId, root: decodePair(root) };
}

const NITRO: PlatformFolder<NitroState> = {
  keyFile: KEY_FILE,
  rootFile: ROOT_FILE,
  format: 'veritee/simulated-nitro/v1',
  warning: SIMULATED_NITRO_WARNING,
  member: 'nitro',
  encode: ({ region, instanceId, root }): StoredNitro => ({ region, instanceId, root: encodePair(root) }),
  decode,
  rootOf: ({ root }) => root.certificate,
  pemComment: SIMULATED_NITRO_PEM_COMMENT,
};

export const nitroRootPem = (state: NitroState): string => rootPem(NITRO, state);
export const saveNitro = (folder: string, state: NitroState): Promise<void> => savePlatform(folder, NITRO, state);
export const loadNitro = (folder: string): Promise<NitroState | null> => loadPlatform(folder, NITRO);
