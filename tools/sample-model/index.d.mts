/** The types of index.mjs, for tests. */
export interface Reading {
  readonly name: string;
  readonly meaning: string;
  readonly low: number;
  readonly high: number;
}
export interface Data {
  readonly count: number;
  readonly readings: Float32Array;
  readonly categories: Uint8Array;
  readonly near: number;
}
export interface Weather {
  readonly airC: number;
  readonly humidityPercent: number;
  readonly pressureHPa: number;
  readonly windMS: number;
  readonly solarWM2: number;
  readonly directShare: number;
  readonly sunHeight: number;
}
export interface ModelFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}
export declare const NAME: string;
export declare const READINGS: readonly Reading[];
export declare const CATEGORIES: readonly { readonly label: string; readonly workMinutes: number }[];
export declare function makeData(seed: number, count: number, options?: { readonly even?: boolean }): Data;
export declare function formulaCategory(row: ArrayLike<number>): number;
export declare function limitC(metabolicW: number, acclimatised: boolean): number;
export declare function wetBulbGlobe(
  weather: Weather,
  globeDiameterM?: number,
): { readonly globeC: number; readonly naturalWetBulbC: number; readonly wbgtC: number };
export declare function differences(files: readonly ModelFile[], folder: string): string[];
export declare function makeSampleModel(progress: (line: string) => void): {
  readonly files: readonly ModelFile[];
  readonly report: string;
};
