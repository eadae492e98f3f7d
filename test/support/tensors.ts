import { expect } from 'vitest';
import type { Tensor } from '../../protocol/tensor.ts';
import { tensorTexts, tensorValues } from '../../protocol/tensor-values.ts';

/** Same name is not asked for: ONNX test files need not carry one. Floats within rtol and atol, all else exactly. */
export function expectTensor(actual: Tensor, expected: Tensor, tolerance: { rtol: number; atol: number }): void {
  expect(actual.datatype).toBe(expected.datatype);
  expect([...actual.shape]).toEqual([...expected.shape]);
  if (actual.datatype === 'BYTES' && expected.datatype === 'BYTES') {
    expect(tensorTexts(actual)).toEqual(tensorTexts(expected));
    return;
  }
  if (actual.datatype !== 'FP32' && actual.datatype !== 'FP64') {
    expect(actual.data).toEqual(expected.data);
    return;
  }
  const got = Array.from(tensorValues(actual) as Float32Array | Float64Array);
  const want = Array.from(tensorValues(expected) as Float32Array | Float64Array);
  expect(got).toHaveLength(want.length);
  for (const [i, value] of got.entries()) {
    const reference = want[i] as number;
    const close =
      Object.is(value, reference) ||
      Math.abs(value - reference) <= tolerance.atol + tolerance.rtol * Math.abs(reference);
    expect(close, `element ${i}: ${value} is not ${reference}`).toBe(true);
  }
}
