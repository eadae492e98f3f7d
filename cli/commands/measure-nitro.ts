import path from 'node:path';
import { CodedError, EvidenceError, hex, type Json, parseJson } from '@veritee/protocol';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { print, printJson, readInput } from '../io.ts';
import { type Eif, parseEif } from '../measure/nitro/eif.ts';
import { readPemCertificate, verifyEifSignature } from '../measure/nitro/eif-signature.ts';
import { type EnclaveParts, measureEnclave, measureSigner } from '../measure/nitro/pcrs.ts';
import { printReference, row, visible } from '../measure/print.ts';

export interface MeasureNitroOptions {
  readonly kernel?: string;
  readonly cmdline?: string;
  readonly ramdisk: readonly string[];
  readonly signingCert?: string;
  readonly name?: string;
  readonly json: boolean;
}

/** PCR0, 1, 2 and 8 of an enclave image, or of one yet to be built from these parts. */
export async function measureNitro(file: string | undefined, options: MeasureNitroOptions): Promise<number> {
  const image = file === undefined ? await readParts(options) : await readImage(file, options);
  const { pcr0, pcr1, pcr2 } = image.pcrs;
  const referenceValue = {
    name: options.name ?? image.name,
    pcr0: hex(pcr0),
    pcr1: hex(pcr1),
    pcr2: hex(pcr2),
    pcr8: hex(measureSigner(image.signer?.raw ?? null)),
  };
  const signer = image.signer && {
    subject: image.signer.subject,
    notBefore: new Date(image.signer.validFrom).toISOString(),
    notAfter: new Date(image.signer.validTo).toISOString(),
  };
  if (options.json) printJson({ platform: 'nitro', referenceValue, signer, image: image.about });
  else {
    print(`${referenceValue.name}: Nitro enclave image`);
    for (const register of ['pcr0', 'pcr1', 'pcr2', 'pcr8'] as const)
      row(register.toUpperCase(), referenceValue[register]);
    row('signed by', signer ? `${visible(signer.subject)}, until ${signer.notAfter}` : 'nobody');
    for (const [part, text] of Object.entries(image.about ?? {})) row(part, visible(String(text)));
    printReference('nitro', referenceValue);
  }
  return EXIT.done;
}

interface Image {
  readonly name: string;
  readonly pcrs: ReturnType<typeof measureEnclave>;
  readonly signer: ReturnType<typeof readPemCertificate>;
  /** What the file says beside the measured parts; null before it is built. */
  readonly about: { readonly [name: string]: unknown } | null;
}

async function readImage(file: string, options: MeasureNitroOptions): Promise<Image> {
  for (const flag of ['kernel', 'cmdline', 'signingCert'] as const)
    if (options[flag] !== undefined)
      throw usage(flag === 'signingCert' ? 'signing-cert' : flag, 'an image or its parts, not both');
  if (options.ramdisk.length > 0) throw usage('ramdisk', 'an image or its parts, not both');
  const eif = parseEif(await readInput(file));
  const pcrs = measureEnclave(eif);
  return {
    name: path.basename(file),
    pcrs,
    signer: eif.signature && verifyEifSignature(eif.signature, pcrs.pcr0),
    about: {
      version: eif.version,
      architecture: eif.architecture,
      ramdisks: eif.ramdisks.length,
      cmdline: Buffer.from(eif.cmdline).toString(),
      ...readMetadata(eif),
    },
  };
}

/** Labels that anyone may change; shown so that a person finds the build. */
function readMetadata({ metadata }: Eif): {
  readonly imageName?: string | null;
  readonly imageVersion?: string | null;
} {
  if (!metadata) return {};
  const read = metadataJson(metadata);
  const label = (name: string): string | null => {
    const value = read instanceof Map ? read.get(name) : null;
    return typeof value === 'string' ? value : null;
  };
  return { imageName: label('ImageName'), imageVersion: label('ImageVersion') };
}

function metadataJson(metadata: Uint8Array): Json {
  try {
    return parseJson(metadata, 'eif.metadata');
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new EvidenceError('EVIDENCE_MALFORMED', cause.message, { cause, field: 'eif.metadata' });
  }
}

async function readParts(options: MeasureNitroOptions): Promise<Image> {
  const { kernel, cmdline } = options;
  const [boot, ...application] = options.ramdisk;
  if (kernel === undefined || cmdline === undefined || boot === undefined)
    throw usage('kernel', 'an image, or --kernel, --cmdline and at least one --ramdisk');
  const parts: EnclaveParts = {
    kernel: await readInput(kernel),
    cmdline: Buffer.from(cmdline),
    ramdisks: [await readInput(boot), ...(await Promise.all(application.map(readInput)))],
  };
  return {
    name: path.basename(kernel),
    pcrs: measureEnclave(parts),
    signer: options.signingCert === undefined ? null : await readSigner(options.signingCert),
    about: null,
  };
}

async function readSigner(file: string): Promise<Image['signer']> {
  const certificate = readPemCertificate(Buffer.from(await readInput(file)).toString('latin1'));
  if (!certificate) throw usage('signing-cert', 'a certificate in PEM');
  return certificate;
}
