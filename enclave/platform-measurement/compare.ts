/** The enclave's own measurement against the builds that clients know; what differs is said in the fields' own names. */
import { equalBytes, hex } from '@veritee/protocol';
import type { NitroMeasurement, OwnMeasurement, SnpMeasurement } from '../attester/attester.ts';
import type { Builds, NitroBuild, SnpBuild } from './builds.ts';

type Fields = readonly (readonly [
  field: string,
  wanted: readonly Uint8Array[] | number | null,
  own: Uint8Array | number,
])[];

/** @returns null when a client with this file would know the build; otherwise how the closest build differs */
export function difference(own: OwnMeasurement, builds: Builds, at: Date): string | null {
  const measured = own.platform === 'nitro' ? [own.pcr0, own.pcr1, own.pcr2] : [own.measurement];
  const denied = measured.find((one) => builds.denied.some((other) => equalBytes(one, other)));
  if (denied) return `${hex(denied)} is one of deniedMeasurements`;
  const candidates =
    own.platform === 'nitro'
      ? builds.nitro.map((build) => ({ build, fields: nitroFields(own, build) }))
      : builds.sevSnp.map((build) => ({ build, fields: snpFields(own, build) }));
  if (candidates.length === 0) return 'the reference file names no build of this platform';
  const differing = candidates.map(({ build, fields }) => ({
    build,
    differences: [
      ...fields.filter(([, wanted, actual]) => !meets(wanted, actual)).map(shown),
      ...(build.notAfter !== null && at > build.notAfter ? [`expired at ${build.notAfter.toISOString()}`] : []),
    ],
  }));
  const closest = differing.reduce((a, b) => (b.differences.length < a.differences.length ? b : a));
  if (closest.differences.length === 0) return null;
  return `not ${JSON.stringify(closest.build.name)}: ${closest.differences.join('; ')}`;
}

const orAny = (value: Uint8Array | null): readonly Uint8Array[] | null => (value ? [value] : null);

const snpFields = (own: SnpMeasurement, build: SnpBuild): Fields => [
  ['MEASUREMENT', build.measurements, own.measurement],
  ['HOST_DATA', orAny(build.hostData), own.hostData],
  ['VMPL', build.vmpl, own.vmpl],
  ['ID_KEY_DIGEST', orAny(build.idKeyDigest), own.idKeyDigest],
  ['AUTHOR_KEY_DIGEST', orAny(build.authorKeyDigest), own.authorKeyDigest],
];

const nitroFields = (own: NitroMeasurement, build: NitroBuild): Fields => [
  ['PCR0', orAny(build.pcr0), own.pcr0],
  ['PCR1', orAny(build.pcr1), own.pcr1],
  ['PCR2', orAny(build.pcr2), own.pcr2],
  ['PCR8', orAny(build.pcr8), own.pcr8],
];

function meets(wanted: Fields[number][1], own: Uint8Array | number): boolean {
  if (wanted === null) return true;
  if (typeof wanted === 'number') return wanted === own;
  return typeof own !== 'number' && wanted.some((one) => equalBytes(one, own));
}

function shown([field, wanted, own]: Fields[number]): string {
  const text = (value: Uint8Array | number): string => (typeof value === 'number' ? String(value) : hex(value));
  const want = wanted === null || typeof wanted === 'number' ? String(wanted) : wanted.map(text).join(' or ');
  return `${field} is ${text(own)}, the file has ${want}`;
}
