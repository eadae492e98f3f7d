/**
 * The start of a policy: accepts what made one file and says, line by line, what that leaves open. A draft copies what
 * it saw; that the measurement is the build you meant is for you to establish.
 */
import { base64, hex, isZero } from '@veritee/protocol';
import { A_FILE } from '../kind.ts';
import { meetsTcb, type SnpProduct, type Tcb } from '../snp/tcb.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import type { NitroClaims, SnpClaims } from './claims.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { POLICY_PROFILE } from './policy.ts';
import type { Affirming } from './result.ts';

/** One tick of a slow platform, with room: a cloud may hold a report back for ten seconds. */
const MAX_WAIT_SECONDS = 60;

/** The JSON of a policy file, with explanations as `$comment`. */
export type PolicyDraft = JsonObject;

/**
 * @param result affirming under `builtin:authenticity`
 * @param anchors the anchors that the file was verified with beside the built-in ones; they are written into the draft
 * @throws TypeError a result without a platform's claims
 */
export function draftPolicy(result: Affirming, anchors: readonly TrustAnchor[]): PolicyDraft {
  const { platform, builtin, id } = platformDraft(result);
  return {
    $comment: [
      `Drafted from ${A_FILE[result.kind]}, verified at ${result.at.toISOString()}. It accepts the program that made this`,
      'file: compare its measurement with that of a build you trust before you rely on it.',
      'anchors: roots that may vouch. sevSnp, nitro: "refuse", or what is accepted from that platform.',
      'deniedMeasurements: builds withdrawn, refused whatever else lists them.',
      'models: "any", or a list; the digests decide.',
      'freshness: "nonce-required" refuses whatever does not bear your own nonce, so also every file from an archive.',
      'existedBy: "required" asks for a time proven by an outside clock: Nitro documents carry one, SNP reports none.',
      'strength: "hardware-committed" refuses answers until a hardware report covers them;',
      'maxWaitSeconds is how long a client waits for that.',
    ].join(' '),
    profile: POLICY_PROFILE,
    id: `draft-${id}`,
    anchors: [...builtin, ...anchors.map(draftAnchor)],
    ...platform,
    deniedMeasurements: [],
    models: draftModels(result),
    freshness: 'not-required',
    existedBy: 'not-required',
    strength: 'session-signed',
    maxWaitSeconds: MAX_WAIT_SECONDS,
  };
}

interface PlatformDraft {
  readonly platform: { readonly sevSnp: JsonValue; readonly nitro: JsonValue };
  readonly builtin: readonly JsonObject[];
  /** For the id of the draft. */
  readonly id: string;
}

/** One platform as this file has it, the other refused. */
function platformDraft({ claims }: Affirming): PlatformDraft {
  const real = (builtin: 'amd' | 'aws', $comment: string) =>
    claims.anchor?.platform.startsWith('simulated-') ? [] : [{ $comment, builtin }];
  if (claims.measurement) {
    const snp = claims as SnpClaims; // established together, by verifySnp
    const platform = { sevSnp: draftSnp(snp), nitro: 'refuse' };
    return { platform, builtin: real('amd', 'AMD’s own roots.'), id: head(snp.measurement) };
  }
  if (claims.pcrs) {
    const nitro = claims as NitroClaims; // likewise, by verifyNitro
    const platform = { sevSnp: 'refuse', nitro: draftNitro(nitro) };
    const { pcr0 } = registersOf(nitro);
    return {
      platform,
      builtin: real('aws', 'AWS’s own root.'),
      id: nitro.debug ? 'debug-enclave' : pcr0.slice(0, SHORT),
    };
  }
  throw new TypeError('draftPolicy: want an affirming result of SEV-SNP or Nitro evidence');
}

const MODEL_BINDING_COMMENT =
  'modelBinding: {"modelSets": [[<model digest>, …]]} asks that hardware measured one of these sets of models.';

const SHORT = 16;
const head = (measurement: Uint8Array): string => hex(measurement).slice(0, SHORT);

const seconds = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, 'Z');

const draftAnchor = ({ name, platform, publicKey, fingerprint, notBefore, notAfter }: TrustAnchor): JsonObject => ({
  ...(!platform.startsWith('simulated-')
    ? {}
    : { $comment: 'A SIMULATED platform’s root: software that signs whatever it is told.' }),
  name,
  platform,
  publicKey: base64(publicKey),
  fingerprint: hex(fingerprint),
  notBefore: seconds(notBefore),
  notAfter: seconds(notAfter),
});

const hexOrUnused = (digest: Uint8Array): string => (isZero(digest) ? 'unused' : hex(digest));
const requireIf = (bit: unknown): 'require' | 'not-required' => (bit === true ? 'require' : 'not-required');
const forbidUnless = (bit: unknown): 'forbid' | 'allow' => (bit === true ? 'allow' : 'forbid');

function draftSnp(claims: SnpClaims): JsonObject {
  const { guestPolicy, platformInfo, tcb, product, firmware } = claims;
  const debug = guestPolicy['debug'] === true;
  const provisional =
    !(meetsTcb(tcb.committed, tcb.current) && meetsTcb(tcb.current, tcb.committed)) ||
    firmware.committed !== firmware.current;
  const launchMeets = meetsTcb(tcb.launch, tcb.reported);
  return {
    $comment: [
      ...(debug ? ['THIS GUEST ALLOWS DEBUG: the host can read its memory.'] : []),
      'referenceValues: the builds you accept. products: the processors.',
      'minimumTcb: what the chip reports today; raise it as AMD publishes fixes, and add a floor for each further die.',
      'minimumLaunchTcb: the same for the firmware under which the guest was launched.',
      'debug, migration, smt, cxl: powers of the host, forbidden where this guest does without them.',
      'singleSocket to pageSwapDisabled: defences the guest’s owner can demand, required where this guest demands them.',
      'provisionalFirmware: "forbid" refuses hosts that load firmware or microcode without committing it, as clouds do at times.',
      'aliasCheck: whether the firmware has ruled out lying memory modules (BadRAM).',
      'unknownPlatformInfo: PLATFORM_INFO bits that this release has no name for.',
      'chips: "any", or the CHIP_IDs of machines you know. maskedChipId: reports that hide their chip.',
      'vlek: keys that a cloud provider holds. crl: {"maxAgeDays": 30} asks for a current revocation list at each check.',
      MODEL_BINDING_COMMENT,
    ].join(' '),
    referenceValues: [draftReferenceValue(claims)],
    products: [product],
    minimumTcb: [draftFloor(claims, tcb.reported)],
    minimumLaunchTcb: launchMeets ? 'same-as-reported' : [draftFloor(claims, tcb.launch)],
    debug: debug ? 'allow-debug-no-confidentiality' : 'forbid',
    migration: forbidUnless(guestPolicy['migrateMa']),
    smt: forbidUnless(guestPolicy['smt'] === true || platformInfo['smtEn'] === true),
    cxl: forbidUnless(guestPolicy['cxlAllow']),
    singleSocket: requireIf(guestPolicy['singleSocket']),
    ciphertextHiding: requireIf(guestPolicy['ciphertextHidingDram']),
    memAes256Xts: requireIf(guestPolicy['memAes256Xts']),
    raplDisabled: requireIf(guestPolicy['raplDis']),
    pageSwapDisabled: requireIf(guestPolicy['pageSwapDisable']),
    provisionalFirmware: provisional ? 'allow' : 'forbid',
    aliasCheck: requireIf(platformInfo['aliasCheckComplete']),
    unknownPlatformInfo: platformInfo['unknownBits'] === '0x0' ? 'forbid' : 'allow',
    chips: 'any',
    maskedChipId: 'forbid',
    vlek: claims.cspId === null ? 'forbid' : { cspIds: [claims.cspId] },
    crl: 'not-required',
    modelBinding: 'not-required',
  };
}

const draftReferenceValue = (claims: SnpClaims): JsonObject => ({
  $comment:
    'One build as launched; a report must match every part of one value. hostData "unused" leaves HOST_DATA uncompared: ' +
    'right only where the measurement covers the whole program. Name the build; "measurements": […] in place of ' +
    '"measurement" takes one for each shape it is launched in, and "notAfter": "2027-01-31T00:00:00Z" lets it expire.',
  name: `as seen: ${hex(claims.measurement).slice(0, 16)}`,
  measurement: hex(claims.measurement),
  hostData: hex(claims.hostData),
  vmpl: claims.vmpl,
  idKeyDigest: hexOrUnused(claims.idKeyDigest),
  authorKeyDigest: hexOrUnused(claims.authorKeyDigest),
});

function draftFloor(
  { product, cpuid }: { readonly product: SnpProduct; readonly cpuid: SnpClaims['cpuid'] },
  tcb: Tcb,
): JsonObject {
  const { layout: _, ...parts } = tcb;
  return {
    $comment: 'Microcode numbers are per die: a floor goes for the CPUID models it names, or for "any".',
    product,
    cpuidModels: cpuid ? [cpuid.model] : 'any',
    ...parts,
  };
}

/** A register the document lacks cannot be compared. */
function registersOf({ pcrs }: NitroClaims): Record<'pcr0' | 'pcr1' | 'pcr2' | 'pcr8', string> {
  const pcr = (index: number): string => {
    const value = pcrs[index];
    return value ? hex(value) : 'unused';
  };
  return { pcr0: pcr(0), pcr1: pcr(1), pcr2: pcr(2), pcr8: pcr(8) };
}

function draftNitro(claims: NitroClaims): JsonObject {
  const { debug } = claims;
  const registers = registersOf(claims);
  return {
    $comment: [
      ...(debug
        ? ['THIS ENCLAVE IS IN DEBUG MODE: its parent instance can read its console, and its PCRs measure nothing.']
        : []),
      'referenceValues: the builds you accept.',
      'debug: whether an enclave in debug mode will do.',
      'maxDocumentAgeSeconds: how long ago the document may have been signed. "any" because receipts are kept;',
      'a client that wants live answers sets a number or asks for its nonce.',
      MODEL_BINDING_COMMENT,
    ].join(' '),
    referenceValues: debug
      ? 'any-unidentified-program'
      : [
          {
            $comment:
              'One enclave image; a document must match every register of one value. pcr0: the whole image; pcr1: the ' +
              'kernel; pcr2: the application; pcr8: the certificate that signed the image, zeros where nobody did. ' +
              '"unused" leaves a register uncompared. Name the build; "notAfter": "2027-01-31T00:00:00Z" lets it expire.',
            name: `as seen: ${registers.pcr0.slice(0, SHORT)}`,
            ...registers,
          },
        ],
    debug: debug ? 'allow-debug-no-confidentiality' : 'forbid',
    maxDocumentAgeSeconds: 'any',
    modelBinding: 'not-required',
  };
}

/** A receipt shows which model ran; other files show none. */
function draftModels(result: Affirming): JsonValue {
  const model = result.kind === 'receipt' ? result.statement.model : null;
  if (!model) return 'any';
  return [
    {
      $comment:
        'The digest decides; name and version are labels. Instead of "digest" you may list "files": {path: SHA-256} and ' +
        'the digest is computed. Write "any" to allow every model this program serves.',
      name: model.name,
      version: model.version,
      digest: hex(model.digest),
    },
  ];
}
