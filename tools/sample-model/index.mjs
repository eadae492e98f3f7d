/** Makes the sample model from nothing: data, training, file, report. */
import { report, score } from './evaluate.mjs';
import { CATEGORIES, makeData, NAME, READINGS } from './heat-stress.mjs';
import { train } from './network.mjs';
import { writeOnnx } from './onnx.mjs';

export { differences } from './differences.mjs';
export { CATEGORIES, formulaCategory, limitC, makeData, NAME, READINGS } from './heat-stress.mjs';
export { wetBulbGlobe } from './wbgt.mjs';

const DESCRIPTION =
  'How much rest heat calls for at work outdoors, by NIOSH limits on WBGT, from weather-station readings. ' +
  'Learnt from generated data. An example, not a safety device.';

const SEEDS = { training: 1, heldOut: 2, even: 3, network: 4 };

/**
 * @param {(line: string) => void} progress
 * @returns {{ files: { name: string, bytes: Uint8Array }[], report: string }} files of the model's version folder
 */
export function makeSampleModel(progress) {
  progress('making data');
  const training = makeData(SEEDS.training, 80_000);
  const network = train(training, {
    seed: SEEDS.network,
    epochs: 24,
    hidden: [24, 24],
    outputs: CATEGORIES.length,
    onEpoch: (epoch, loss, accuracy) =>
      progress(`epoch ${epoch}: loss ${loss.toFixed(4)}, accuracy ${accuracy.toFixed(4)}`),
  });
  const onnx = writeOnnx(network, { name: NAME, description: DESCRIPTION, readings: READINGS, categories: CATEGORIES });
  const labels = Object.fromEntries(CATEGORIES.map(({ label }, i) => [`category.${i}`, label]));
  const config = { description: DESCRIPTION, labels };
  progress('evaluating');
  const held = score(network, makeData(SEEDS.heldOut, 20_000));
  const even = score(network, makeData(SEEDS.even, 20_000, { even: true }));
  return {
    files: [
      { name: 'model.onnx', bytes: onnx },
      { name: 'config.json', bytes: new TextEncoder().encode(`${JSON.stringify(config, undefined, 2)}\n`) },
    ],
    report: report(held, even),
  };
}
