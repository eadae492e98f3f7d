import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { Engine } from '../../enclave/engine/engine.ts';
import { parseModelConfig } from '../../enclave/models/config.ts';
import { loadRepository } from '../../enclave/models/repository.ts';
import { parseInferRequest } from '../../protocol/inference.ts';
import {
  CATEGORIES,
  differences,
  formulaCategory,
  limitC,
  makeData,
  NAME,
  READINGS,
  wetBulbGlobe,
} from '../../tools/sample-model/index.mjs';
import { buildWorker } from './worker-url.ts';

const fromRoot = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const folder = fromRoot(`enclave/sample-models/${NAME}/1`);
const WIDTH = READINGS.length;
const FRESH_SEED = 20_260; // the script uses small seeds only

let session: InferenceSession;
beforeAll(async () => {
  session = await InferenceSession.create(join(folder, 'model.onnx'));
});

interface Answer {
  readonly category: readonly number[];
  readonly inRange: readonly boolean[];
  readonly probabilities: readonly (readonly number[])[];
}

async function infer(readings: Float32Array): Promise<Answer> {
  const rows = readings.length / WIDTH;
  const answer = await session.run({ readings: new Tensor('float32', readings, [rows, WIDTH]) });
  const flat = answer.probabilities!.data as Float32Array;
  return {
    category: Array.from(answer.category!.data as BigInt64Array, Number),
    inRange: Array.from(answer.in_range!.data as Uint8Array, Boolean),
    probabilities: Array.from({ length: rows }, (_, i) => [
      ...flat.subarray(i * CATEGORIES.length, (i + 1) * CATEGORIES.length),
    ]),
  };
}

describe('the script', () => {
  test('makes the committed files again, byte for byte, and the README quotes its report', async () => {
    const script = fromRoot('tools/train-sample-model.mjs');
    const { stdout } = await promisify(execFile)(process.execPath, [script, '--check']); // rejects on exit 1
    const report = stdout.trimEnd();
    expect(report.split('\n').length).toBeGreaterThan(5);
    expect(readFileSync(fromRoot('enclave/sample-models/README.md'), 'utf8')).toContain(`\`\`\`\n${report}\n\`\`\`\n`);
  }, 300_000);

  test('names a file that differs, is missing or is not its own', () => {
    const copy = mkdtempSync(join(tmpdir(), 'sample-model-'));
    try {
      cpSync(folder, copy, { recursive: true });
      const files = readdirSync(folder).map((name) => ({
        name,
        bytes: new Uint8Array(readFileSync(join(folder, name))),
      }));
      expect(differences(files, copy)).toEqual([]);

      const changed = readFileSync(join(copy, 'model.onnx'));
      changed[1000]! ^= 1;
      writeFileSync(join(copy, 'model.onnx'), changed);
      rmSync(join(copy, 'config.json'));
      writeFileSync(join(copy, 'extra'), '');
      expect(differences(files, copy).sort()).toEqual([
        'config.json: missing',
        'extra: not made by the script',
        'model.onnx: differs from byte 1000',
      ]);

      writeFileSync(join(copy, 'model.onnx'), readFileSync(join(folder, 'model.onnx')).subarray(0, 500));
      expect(differences(files, copy)).toContain('model.onnx: differs from byte 500');
    } finally {
      rmSync(copy, { recursive: true });
    }
  });
});

describe('the reference', () => {
  // Inputs, then globe, natural wet bulb and WBGT in °C as the C program WBGT 1.1 (Argonne National Laboratory) gives
  // them for its own 50.8 mm globe, its convergence limit lowered from 0.02 to 0.0005 K.
  const PROGRAM: readonly (readonly number[])[] = [
    [30, 50, 1013.25, 1, 800, 0.7, 0.8, 48.7, 25.27, 30.43],
    [40, 20, 1013.25, 3, 1000, 0.8, 0.95, 53.65, 23.62, 31.27],
    [25, 80, 1010, 0.5, 300, 0.1, 0.5, 35.58, 25.04, 27.14],
    [35, 60, 990, 0.2, 600, 0.5, 0.6, 60.41, 34.02, 39.39],
    [28, 70, 1013.25, 2, 0, 0, 1, 27.36, 23.61, 24.8],
    [20, 40, 1013.25, 5, 500, 0.6, 0.45, 27.81, 13.76, 17.19],
    [45, 10, 950, 4, 900, 0.75, 0.9, 56.17, 21.94, 31.09],
    [33, 95, 1013.25, 1.5, 150, 0, 0.7, 36.98, 32.79, 33.65],
    [15, 90, 1000, 8, 700, 0.8, 0.7, 22.66, 15.13, 16.63],
    [38, 35, 1013.25, 0.3, 0, 0, 1, 36.42, 25.38, 28.85],
  ];

  test.each(PROGRAM)('agrees with the Argonne program at %d °C, %d %%', (...row) => {
    const [airC, humidityPercent, pressureHPa, windMS, solarWM2, directShare, sunHeight, ...expected] = row as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const weather = { airC, humidityPercent, pressureHPa, windMS, solarWM2, directShare, sunHeight };
    const { globeC, naturalWetBulbC, wbgtC } = wetBulbGlobe(weather, 0.0508);
    const away = [globeC, naturalWetBulbC, wbgtC].map((value, i) => Math.abs(value - expected[i]!));
    expect(Math.max(...away)).toBeLessThan(0.02);
  });

  test('gives the limits of NIOSH 2016-106 table 5-1, which is in whole degrees', () => {
    // Upper end of light, moderate, heavy and very heavy work, in W.
    const limits = [234, 349, 465, 580].map((watts) => limitC(watts, true));
    [30, 28, 26, 25].forEach((published, i) => {
      expect(Math.abs(limits[i]! - published)).toBeLessThan(1);
    });
    expect(limitC(349, false)).toBeLessThan(limits[1]!);
  });
});

describe('the model', () => {
  test('declares its tensors, with an open batch, in a small file', () => {
    const shapes = (values: readonly InferenceSession.ValueMetadata[]) =>
      values.map((value) => (value.isTensor ? [value.name, value.type, value.shape] : value.name));
    expect(shapes(session.inputMetadata)).toEqual([['readings', 'float32', ['batch', WIDTH]]]);
    expect(shapes(session.outputMetadata)).toEqual([
      ['probabilities', 'float32', ['batch', CATEGORIES.length]],
      ['category', 'int64', ['batch']],
      ['in_range', 'bool', ['batch']],
    ]);
    expect(readFileSync(join(folder, 'model.onnx')).length).toBeLessThanOrEqual(64 << 10);
  });

  test('is right at least as often as the formula on readings it never saw, and as sure as it should be', async () => {
    const { count, readings, categories } = makeData(FRESH_SEED, 10_000);
    const { category, inRange, probabilities } = await infer(readings);
    const share = (right: (row: number) => boolean): number =>
      categories.reduce((sum, _, row) => sum + Number(right(row)), 0) / count;

    const accuracy = share((row) => category[row] === categories[row]);
    const formula = share(
      (row) => formulaCategory(readings.subarray(row * WIDTH, (row + 1) * WIDTH)) === categories[row],
    );
    expect(accuracy).toBeGreaterThan(0.87);
    expect(accuracy).toBeGreaterThanOrEqual(formula);
    expect(share((row) => category[row]! < categories[row]! - 1)).toBeLessThan(0.01);
    expect(inRange).not.toContain(false);

    const stated = probabilities.reduce((sum, row) => sum + Math.max(...row), 0) / count;
    expect(Math.abs(stated - accuracy)).toBeLessThan(0.01);
    probabilities.forEach((row, i) => {
      expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
      expect(row.indexOf(Math.max(...row))).toBe(category[i]);
    });
  });

  const middle = (column: number, instead: number): number[] =>
    READINGS.map(({ low, high }, i) => (i === column ? instead : (low + high) / 2));
  const outside = READINGS.flatMap(({ name, low, high }, column) => [
    { name, what: 'below', column, value: low - 1, edge: low },
    { name, what: 'above', column, value: high + 1, edge: high },
  ]);
  test.each(outside)('says so when $name is $what its range, and answers for the edge', async (reading) => {
    const rows = [reading.value, reading.edge].flatMap((value) => middle(reading.column, value));
    const { inRange, probabilities } = await infer(Float32Array.from(rows));
    expect(inRange).toEqual([false, true]);
    expect(probabilities[0]).toEqual(probabilities[1]);
  });

  test('says so when a reading is not a number', async () => {
    for (const column of READINGS.keys()) {
      expect((await infer(Float32Array.from(middle(column, Number.NaN)))).inRange).toEqual([false]);
    }
  });

  test.each([
    [
      'a row too short',
      { readings: new Tensor('float32', new Float32Array(6), [1, 6]) },
      /index: 1 Got: 6 Expected: 7/,
    ],
    ['no batch dimension', { readings: new Tensor('float32', new Float32Array(7), [7]) }, /Got: 1 Expected: 2/],
    ['another datatype', { readings: new Tensor('float64', new Float64Array(7), [1, 7]) }, /tensor\(double\)/],
    ['another name', { reading: new Tensor('float32', new Float32Array(7), [1, 7]) }, /'readings' is missing/],
  ])('refuses %s', async (_, feeds, reason) => {
    await expect(session.run(feeds)).rejects.toThrow(reason);
  });
});

describe('what lies beside it', () => {
  test('config.json is one the enclave reads, with a label for each category', () => {
    const { description, labels } = parseModelConfig(readFileSync(join(folder, 'config.json')), 'config.json');
    expect(description).toContain('not a safety device');
    expect([...labels]).toEqual(CATEGORIES.map(({ label }, i) => [`category.${i}`, label]));
  });

  test('the enclave serves the folder as it lies, without a warning', async () => {
    const engine = await Engine.start({ workerUrl: buildWorker() });
    try {
      const repository = await loadRepository(fromRoot('enclave/sample-models'), engine);
      expect(repository.warnings).toEqual([]);
      expect(repository.list().map(({ name, version, error }) => [name, version, error])).toEqual([[NAME, '1', null]]);
      const { inputs, outputs } = repository.get(NAME);
      expect(inputs).toEqual([{ name: 'readings', datatype: 'FP32', shape: [-1, WIDTH] }]);
      expect(outputs).toEqual([
        { name: 'probabilities', datatype: 'FP32', shape: [-1, CATEGORIES.length] },
        { name: 'category', datatype: 'INT64', shape: [-1] },
        { name: 'in_range', datatype: 'BOOL', shape: [-1] },
      ]);
    } finally {
      await engine.close();
    }
  });

  test('the example request holds one row for each category', async () => {
    const body = readFileSync(fromRoot('docs/examples/heat-stress-request.json'));
    const { inputs } = parseInferRequest(new Uint8Array(body), null);
    expect(inputs).toMatchObject([{ name: 'readings', datatype: 'FP32', shape: [CATEGORIES.length, WIDTH] }]);
    const bytes = inputs[0]!.data as Uint8Array<ArrayBuffer>;
    const { category, inRange } = await infer(new Float32Array(bytes.slice().buffer));
    expect(category).toEqual([0, 1, 2, 3]);
    expect(inRange).not.toContain(false);
  });
});
