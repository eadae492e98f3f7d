import { type Bytes, isZero, modelDigest, modelPathProblem } from '@veritee/protocol';
import { type SnpProduct, type Tcb, tcbLayoutOf } from '../snp/tcb.ts';
import {
  type AppraisalPolicy,
  type ModelBinding,
  type ModelRule,
  mintPolicy,
  type NitroPolicy,
  type NitroReferenceValue,
  POLICY_PROFILE,
  type PolicyAnchor,
  type ReferenceValue,
  type SnpPolicy,
  type TcbFloor,
} from './policy.ts';
import { type Fields, Item, refusePolicy } from './policy-fields.ts';

const MAX_DAYS = 36_500;
const SECONDS_PER_DAY = 86_400;
const MAX_WAIT_SECONDS = 86_400;
const BYTE = 0xff;
const RESERVED_ID = 'builtin:';

/**
 * Check a policy, as JSON already read.
 *
 * @throws CodedError POLICY_INVALID a field that is missing, unknown or out of its domain; `field` is its path
 */
export function parsePolicy(json: unknown): AppraisalPolicy {
  const policy = new Item(json, 'policy').object();
  const fields = {
    profile: policy.item('profile').word(POLICY_PROFILE),
    id: readId(policy.item('id')),
    anchors: policy.item('anchors').list(1).map(readAnchor),
    sevSnp: refused(policy.item('sevSnp')) ?? readSnp(policy.item('sevSnp').object()),
    nitro: refused(policy.item('nitro')) ?? readNitro(policy.item('nitro').object()),
    deniedMeasurements: readMeasurements(policy.item('deniedMeasurements'), 0),
    models: anything(policy.item('models')) ?? policy.item('models').list(1).map(readModel),
    freshness: policy.item('freshness').word('nonce-required', 'not-required'),
    existedBy: policy.item('existedBy').word('required', 'not-required'),
    strength: policy.item('strength').word('hardware-committed', 'session-signed'),
    maxWaitSeconds: policy.item('maxWaitSeconds').integer(0, MAX_WAIT_SECONDS),
  };
  policy.end();
  return mintPolicy(fields);
}

const refused = (item: Item): 'refuse' | null => (item.is('refuse') ? 'refuse' : null);
const anything = (item: Item): 'any' | null => (item.is('any') ? 'any' : null);

function readId(item: Item): string {
  const id = item.text();
  if (id.startsWith(RESERVED_ID)) item.refuse(`an id that does not begin with ${RESERVED_ID}`);
  return id;
}

function readAnchor(item: Item): PolicyAnchor {
  const anchor = item.object();
  if (anchor.has('builtin')) {
    const builtin = anchor.item('builtin').word('amd', 'aws');
    anchor.end();
    return { builtin };
  }
  const facts = {
    name: anchor.item('name').text(),
    platform: anchor.item('platform').word('snp', 'nitro', 'simulated-snp', 'simulated-nitro'),
    publicKey: anchor.item('publicKey').base64(),
    fingerprint: anchor.item('fingerprint').hex(32),
    notBefore: anchor.item('notBefore').date(),
    notAfter: anchor.item('notAfter').date(),
  };
  anchor.end();
  if (facts.notAfter < facts.notBefore) refusePolicy(`${anchor.path}.notAfter`, 'a time after notBefore');
  return facts;
}

function readSnp(snp: Fields): SnpPolicy {
  const required = (name: string) => snp.item(name).word('require', 'not-required');
  const allowed = (name: string) => snp.item(name).word('forbid', 'allow');
  const policy: SnpPolicy = {
    referenceValues: readReferenceValues(snp.item('referenceValues')),
    products: snp.item('products').list(1).map(readProduct),
    minimumTcb: anything(snp.item('minimumTcb')) ?? readFloors(snp.item('minimumTcb')),
    minimumLaunchTcb: readLaunchFloors(snp.item('minimumLaunchTcb')),
    debug: snp.item('debug').word('forbid', 'allow-debug-no-confidentiality'),
    migration: allowed('migration'),
    smt: allowed('smt'),
    cxl: allowed('cxl'),
    singleSocket: required('singleSocket'),
    ciphertextHiding: required('ciphertextHiding'),
    memAes256Xts: required('memAes256Xts'),
    raplDisabled: required('raplDisabled'),
    pageSwapDisabled: required('pageSwapDisabled'),
    provisionalFirmware: allowed('provisionalFirmware'),
    aliasCheck: required('aliasCheck'),
    unknownPlatformInfo: allowed('unknownPlatformInfo'),
    chips:
      anything(snp.item('chips')) ??
      snp
        .item('chips')
        .list(1)
        .map((chip) => chip.hex(64)),
    maskedChipId: allowed('maskedChipId'),
    vlek: readVlek(snp.item('vlek')),
    crl: readCrl(snp.item('crl')),
    modelBinding: readModelBinding(snp.item('modelBinding')),
  };
  snp.end();
  return policy;
}

function readNitro(nitro: Fields): NitroPolicy {
  const values = nitro.item('referenceValues');
  const age = nitro.item('maxDocumentAgeSeconds');
  const policy: NitroPolicy = {
    referenceValues: values.is('any-unidentified-program')
      ? 'any-unidentified-program'
      : values.list(1).map(readNitroReferenceValue),
    debug: nitro.item('debug').word('forbid', 'allow-debug-no-confidentiality'),
    maxDocumentAgeSeconds: anything(age) ?? age.integer(1, MAX_DAYS * SECONDS_PER_DAY),
    modelBinding: readModelBinding(nitro.item('modelBinding')),
  };
  nitro.end();
  return policy;
}

export function readNitroReferenceValue(item: Item): NitroReferenceValue {
  const value = item.object();
  const pcr = (name: string, zeros: 'refused' | 'allowed'): Bytes<48> | 'unused' => {
    const part = value.item(name);
    if (part.is('unused')) return 'unused';
    const measured = part.hex(48);
    if (zeros === 'refused' && isZero(measured)) part.refuse('no zeros: that is every enclave in debug mode');
    return measured;
  };
  const reference = {
    name: value.item('name').text(),
    pcr0: pcr('pcr0', 'refused'),
    pcr1: pcr('pcr1', 'refused'),
    pcr2: pcr('pcr2', 'refused'),
    pcr8: pcr('pcr8', 'allowed'),
    notAfter: value.has('notAfter') ? value.item('notAfter').date() : null,
  };
  value.end();
  const unsigned = reference.pcr8 === 'unused' || isZero(reference.pcr8);
  if (reference.pcr0 === 'unused' && unsigned) {
    refusePolicy(`${item.path}.pcr0`, 'the image, or in pcr8 its signer: the rest identifies no program');
  }
  return reference;
}

function readReferenceValues(item: Item): SnpPolicy['referenceValues'] {
  if (item.is('any-unidentified-program')) return 'any-unidentified-program';
  return item.list(1).map(readReferenceValue);
}

export const readMeasurements = (item: Item, least: number): readonly Bytes<48>[] =>
  item.list(least).map((one) => one.hex(48));

export function readReferenceValue(item: Item): ReferenceValue {
  const value = item.object();
  const unusedOr = <N extends number>(name: string, n: N): Bytes<N> | 'unused' => {
    const part = value.item(name);
    return part.is('unused') ? 'unused' : part.hex(n);
  };
  const reference = {
    name: value.item('name').text(),
    measurements: value.has('measurements')
      ? readMeasurements(value.item('measurements'), 1)
      : [value.item('measurement').hex(48)],
    hostData: unusedOr('hostData', 32),
    vmpl: value.item('vmpl').integer(0, 3),
    idKeyDigest: unusedOr('idKeyDigest', 48),
    authorKeyDigest: unusedOr('authorKeyDigest', 48),
    notAfter: value.has('notAfter') ? value.item('notAfter').date() : null,
  };
  value.end();
  return reference;
}

const readProduct = (item: Item): SnpProduct => item.word('Milan', 'Genoa', 'Turin');

function readFloors(item: Item): readonly TcbFloor[] {
  const floors = item.list(1).map(readFloor);
  for (const [i, floor] of floors.entries()) {
    // Two floors for one processor would leave it to their order which one counts.
    if (floors.slice(0, i).some((earlier) => overlap(earlier, floor))) {
      refusePolicy(`${item.path}[${i}]`, 'one floor for each product and CPUID model');
    }
  }
  return floors;
}

/** A floor for named models goes before the product's general one, so only equals collide. */
function overlap({ product, cpuidModels: a }: TcbFloor, { product: other, cpuidModels: b }: TcbFloor): boolean {
  if (product !== other) return false;
  return a === 'any' || b === 'any' ? a === b : a.some((model) => b.includes(model));
}

function readFloor(item: Item): TcbFloor {
  const floor = item.object();
  const part = (name: string): number => floor.item(name).integer(0, BYTE);
  const product = readProduct(floor.item('product'));
  const models = floor.item('cpuidModels');
  const cpuidModels = anything(models) ?? models.list(1).map((model) => model.integer(0, BYTE));
  const parts = {
    bootloader: part('bootloader'),
    tee: part('tee'),
    snp: part('snp'),
    microcode: part('microcode'),
  };
  const layout = tcbLayoutOf(product);
  const tcb: Tcb = layout === 'turin' ? { layout, fmc: part('fmc'), ...parts } : { layout, ...parts };
  floor.end();
  return { product, cpuidModels, tcb };
}

function readLaunchFloors(item: Item): SnpPolicy['minimumLaunchTcb'] {
  if (item.is('same-as-reported')) return 'same-as-reported';
  return anything(item) ?? readFloors(item);
}

function readVlek(item: Item): SnpPolicy['vlek'] {
  if (item.is('forbid')) return 'forbid';
  if (item.is('allow')) return 'allow';
  const vlek = item.object();
  const cspIds = vlek
    .item('cspIds')
    .list(1)
    .map((id) => id.text());
  vlek.end();
  return { cspIds };
}

function readCrl(item: Item): SnpPolicy['crl'] {
  if (item.is('not-required')) return 'not-required';
  const crl = item.object();
  const maxAgeDays = crl.item('maxAgeDays').integer(1, MAX_DAYS);
  crl.end();
  return { maxAgeDays };
}

function readModelBinding(item: Item): ModelBinding {
  if (item.is('not-required')) return 'not-required';
  const binding = item.object();
  const modelSets = binding
    .item('modelSets')
    .list(1)
    .map((set) => set.list(1).map((digest) => digest.hex(32)));
  binding.end();
  return { modelSets };
}

function readModel(item: Item): ModelRule {
  const model = item.object();
  const label = (name: string): string | null => (model.has(name) ? model.item(name).text() : null);
  const rule = {
    name: label('name'),
    version: label('version'),
    digest: model.has('files') ? filesDigest(model.item('files')) : model.item('digest').hex(32),
  };
  model.end();
  return rule;
}

function filesDigest(item: Item): Bytes<32> {
  const files = item.object().items();
  if (files.length === 0) item.refuse('at least one file');
  for (const [path, { path: place }] of files) {
    const problem = modelPathProblem(path);
    if (problem !== null) refusePolicy(place, `a relative path; this one has ${problem}`);
  }
  return modelDigest(new Map(files.map(([path, digest]) => [path, digest.hex(32)])));
}
