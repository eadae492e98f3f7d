import type { Bytes } from '@veritee/protocol';

export type Product = 'Milan' | 'Genoa' | 'Turin';

interface TcbParts {
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}

/** TCB_VERSION in parts. Both layouts are eight bytes wide, so the layout is part of the type and follows the product. */
export type Tcb =
  | (TcbParts & { readonly layout: 'milan-genoa' })
  | (TcbParts & { readonly layout: 'turin'; readonly fmc: number });

export interface Cpuid {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
}

export interface Firmware {
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

interface ProductFacts {
  /** productName in the VCEK, AMD extension 1.2. */
  readonly certificateName: string;
  readonly structVersion: number;
  /** Bytes of hwID in the VCEK, and of CHIP_ID in the report before its zeros. */
  readonly chipIdLength: 64 | 8;
  readonly arkSerial: bigint;
  readonly askSerial: bigint;
  readonly arkNotBefore: Date;
  readonly askNotBefore: Date;
  readonly cpuid: Cpuid;
  readonly tcb: Tcb;
  readonly firmware: Firmware;
  /** PLATFORM_INFO of report versions 3 and later; version 2 has SMT_EN and TSME_EN only. */
  readonly platformInfo: bigint;
  readonly mitigationVector: bigint;
}

const milanGenoa = (bootloader: number, snp: number, microcode: number): Tcb => ({
  layout: 'milan-genoa',
  bootloader,
  tee: 0,
  snp,
  microcode,
});

/** Serial numbers and dates are those of AMD's own certificates; the other values were read from real version 5 reports. */
export const PRODUCTS: Readonly<Record<Product, ProductFacts>> = {
  Milan: {
    certificateName: 'Milan-B0',
    structVersion: 0,
    chipIdLength: 64,
    arkSerial: 0x10000n,
    askSerial: 0x10001n,
    arkNotBefore: new Date('2020-10-22T17:23:05Z'),
    askNotBefore: new Date('2020-10-22T18:24:20Z'),
    cpuid: { family: 0x19, model: 0x01, stepping: 1 },
    tcb: milanGenoa(4, 27, 222),
    firmware: { major: 1, minor: 55, build: 35 },
    platformInfo: 0x25n,
    mitigationVector: 0x0bn,
  },
  Genoa: {
    certificateName: 'Genoa',
    structVersion: 0,
    chipIdLength: 64,
    arkSerial: 0x20000n,
    askSerial: 0x20002n,
    arkNotBefore: new Date('2022-01-26T15:34:37Z'),
    askNotBefore: new Date('2022-10-31T13:33:48Z'),
    cpuid: { family: 0x19, model: 0x11, stepping: 1 },
    tcb: milanGenoa(10, 25, 84),
    firmware: { major: 1, minor: 55, build: 43 },
    platformInfo: 0x25n,
    mitigationVector: 0x01n,
  },
  Turin: {
    certificateName: 'Turin',
    structVersion: 1,
    chipIdLength: 8,
    arkSerial: 0x30000n,
    askSerial: 0x30001n,
    arkNotBefore: new Date('2023-05-15T20:03:12Z'),
    askNotBefore: new Date('2023-05-15T20:25:21Z'),
    cpuid: { family: 0x1a, model: 0x02, stepping: 1 },
    tcb: { layout: 'turin', fmc: 1, bootloader: 1, tee: 1, snp: 4, microcode: 81 },
    firmware: { major: 1, minor: 55, build: 65 },
    platformInfo: 0x65n,
    mitigationVector: 0x3fn,
  },
};

export const isProduct = (text: string): text is Product => Object.hasOwn(PRODUCTS, text);

/** The eight bytes of TCB_VERSION, byte 0 first. */
export function encodeTcb(tcb: Tcb): Bytes<8> {
  const { bootloader, tee, snp, microcode } = tcb;
  const parts =
    tcb.layout === 'turin'
      ? [tcb.fmc, bootloader, tee, snp, 0, 0, 0, microcode]
      : [bootloader, tee, 0, 0, 0, 0, snp, microcode];
  for (const part of parts) {
    if (!Number.isInteger(part) || part < 0 || part > 255) throw new RangeError(`TCB_VERSION: ${part} is not a byte`);
  }
  return Uint8Array.from(parts) as Bytes<8>;
}

/** @throws TypeError when the parts are laid out for another product */
export function requireLayout(product: Product, tcb: Tcb): void {
  if (tcb.layout !== PRODUCTS[product].tcb.layout) throw new TypeError(`${product} has no TCB layout ${tcb.layout}`);
}
