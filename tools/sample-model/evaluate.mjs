/** How well the model does, as text. Numbers come from the FP32 weights that the file holds. */
import { CATEGORIES, formulaCategory, READINGS } from './heat-stress.mjs';
import { ln } from './math.mjs';
import { highest, predict } from './network.mjs';

const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
const CONFIDENCE_EDGES = [0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1];

/** @param {Parameters<typeof predict>[0]} network @param {{ count: number, readings: Float32Array, categories: Uint8Array, near: number }} data */
export function score(network, { count, readings, categories, near }) {
  const probabilities = predict(network, readings);
  const confusion = CATEGORIES.map(() => CATEGORIES.map(() => 0));
  const bins = CONFIDENCE_EDGES.slice(1).map((to, i) => ({
    from: CONFIDENCE_EDGES[i],
    to,
    rows: 0,
    stated: 0,
    right: 0,
  }));
  const rows = [];
  let logLoss = 0;
  probabilities.forEach((row, i) => {
    const said = highest(row);
    const truth = categories[i];
    confusion[truth][said]++;
    logLoss -= ln(row[truth]) / count;
    const bin = bins.find(({ to }) => row[said] < to) ?? bins[bins.length - 1];
    bin.rows++;
    bin.stated += row[said];
    if (said === truth) bin.right++;
    rows.push({ said, truth, reading: readings.subarray(i * READINGS.length, (i + 1) * READINGS.length) });
  });
  const sum = (wanted) => rows.filter(wanted).length;
  return {
    count,
    near,
    confusion,
    logLoss,
    bins,
    right: sum(({ said, truth }) => said === truth),
    formulaRight: sum(({ reading, truth }) => formulaCategory(reading) === truth),
    tooLenient: sum(({ said, truth }) => said < truth),
    farTooLenient: sum(({ said, truth }) => said < truth - 1),
    calibrationError: bins.reduce((total, bin) => total + Math.abs(bin.stated - bin.right), 0) / count,
    /** Share right among the rows that `wanted` picks, as text. */
    among: (wanted) => {
      const picked = rows.filter(({ reading }) => wanted(reading));
      return percent(picked.filter(({ said, truth }) => said === truth).length, picked.length);
    },
  };
}

/** @param {ReturnType<typeof score>} held @param {ReturnType<typeof score>} even */
export function report(held, even) {
  const cell = (value) => String(value).padStart(6);
  const bins = held.bins.filter(({ rows }) => rows > 0);
  return [
    `held-out rows: ${held.count}, ${percent(held.near, held.count)} of them within 3 °C of a limit`,
    `right: ${percent(held.right, held.count)}; the formula on the same readings: ${percent(held.formulaRight, held.count)}; log loss ${held.logLoss.toFixed(3)}`,
    `too lenient: ${percent(held.tooLenient, held.count)}; by two categories or more: ${percent(held.farTooLenient, held.count)}`,
    `right in near-still air (below 0.5 m/s): ${held.among(([, , wind]) => wind < 0.5)}; in dry air (below 15 %): ${held.among(([, humidity]) => humidity < 15)}`,
    `rows drawn evenly instead: ${even.count}, ${percent(even.near, even.count)} near; right: ${percent(even.right, even.count)}; the formula: ${percent(even.formulaRight, even.count)}`,
    `truth \\ said${CATEGORIES.map((_, i) => cell(i)).join('')}   found`,
    ...held.confusion.map(
      (row, i) =>
        `${String(i).padStart(12)}${row.map(cell).join('')}  ${percent(
          row[i],
          row.reduce((a, b) => a + b),
        )}`,
    ),
    `stated  ${bins.map((bin) => cell((bin.stated / bin.rows).toFixed(2))).join('')}   mean of the highest probability, by bins`,
    `right   ${bins.map((bin) => cell((bin.right / bin.rows).toFixed(2))).join('')}   expected calibration error ${held.calibrationError.toFixed(3)}`,
  ].join('\n');
}
