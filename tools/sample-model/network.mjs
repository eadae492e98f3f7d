/** A small multilayer perceptron: ReLU inside, softmax out, cross-entropy, Adam. Every sum runs in a fixed order. */
import { exp, ln, Random } from './math.mjs';

const BATCH = 64;
const RATE = 0.004; // falls in a straight line to 0
const BETA1 = 0.9;
const BETA2 = 0.999;

class Layer {
  /** Weights by output row, each row the inputs: `weights[o * inputs + i]`. He's uniform start. */
  constructor(inputs, outputs, random) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.weights = new Float64Array(inputs * outputs);
    this.biases = new Float64Array(outputs);
    const bound = Math.sqrt(6 / inputs);
    for (let i = 0; i < this.weights.length; i++) this.weights[i] = random.uniform(-bound, bound);
    this.values = new Float64Array(outputs); // of the last forward pass
    this.errors = new Float64Array(outputs); // d loss / d value before the activation
    this.parameters = [this.weights, this.biases].map((values) => ({
      values,
      gradient: new Float64Array(values.length),
      mean: new Float64Array(values.length),
      square: new Float64Array(values.length),
    }));
  }

  forward(x, relu) {
    const { inputs, outputs, weights, biases, values } = this;
    for (let o = 0, w = 0; o < outputs; o++) {
      let sum = biases[o];
      for (let i = 0; i < inputs; i++) sum += weights[w++] * x[i];
      values[o] = relu && sum < 0 ? 0 : sum;
    }
    return values;
  }

  /** Adds this sample's gradient; fills the errors of the layer below, which has ReLU. */
  backward(x, below) {
    const { inputs, outputs, weights, errors } = this;
    const [{ gradient: gradW }, { gradient: gradB }] = this.parameters;
    if (below) below.errors.fill(0);
    for (let o = 0; o < outputs; o++) {
      const error = errors[o];
      if (error === 0) continue;
      const row = o * inputs;
      gradB[o] += error;
      for (let i = 0; i < inputs; i++) gradW[row + i] += error * x[i];
      if (below) for (let i = 0; i < inputs; i++) below.errors[i] += error * weights[row + i];
    }
    if (below) for (let i = 0; i < inputs; i++) if (x[i] <= 0) below.errors[i] = 0;
  }

  step(rate, correction1, correction2) {
    for (const { values, gradient, mean, square } of this.parameters) {
      for (let i = 0; i < values.length; i++) {
        const g = gradient[i] / BATCH;
        gradient[i] = 0;
        mean[i] = BETA1 * mean[i] + (1 - BETA1) * g;
        square[i] = BETA2 * square[i] + (1 - BETA2) * g * g;
        values[i] -= (rate * (mean[i] / correction1)) / (Math.sqrt(square[i] / correction2) + 1e-8);
      }
    }
  }
}

function softmaxInPlace(values) {
  let top = values[0];
  for (const v of values) if (v > top) top = v;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    values[i] = exp(Math.max(values[i] - top, -600));
    sum += values[i];
  }
  for (let i = 0; i < values.length; i++) values[i] /= sum;
}

function forward(layers, x) {
  let values = x;
  layers.forEach((layer, depth) => {
    values = layer.forward(values, depth < layers.length - 1);
  });
  softmaxInPlace(values);
  return values;
}

/** Mean and standard deviation of each column, rounded to FP32 as the file will hold them. */
function scaling(readings, count, width) {
  const offset = new Float32Array(width);
  const scale = new Float32Array(width);
  for (let column = 0; column < width; column++) {
    let sum = 0;
    for (let row = 0; row < count; row++) sum += readings[row * width + column];
    const mean = sum / count;
    let squares = 0;
    for (let row = 0; row < count; row++) {
      const away = readings[row * width + column] - mean;
      squares += away * away; // not `** 2`: engines may differ in it
    }
    offset[column] = mean;
    scale[column] = Math.sqrt(squares / count);
  }
  return { offset, scale };
}

/**
 * @param {{ count: number, readings: Float32Array, categories: Uint8Array }} data
 * @param {{ seed: number, epochs: number, hidden: readonly number[], outputs: number,
 *   onEpoch?: (epoch: number, loss: number, accuracy: number) => void }} options
 * @returns {{ offset: Float32Array, scale: Float32Array,
 *   layers: { inputs: number, outputs: number, weights: Float32Array, biases: Float32Array }[] }}
 */
export function train({ count, readings, categories }, { seed, epochs, hidden, outputs, onEpoch }) {
  const random = new Random(seed);
  const width = readings.length / count;
  const { offset, scale } = scaling(readings, count, width);
  const scaled = new Float64Array(readings.length);
  for (let i = 0; i < readings.length; i++) scaled[i] = (readings[i] - offset[i % width]) / scale[i % width];

  const sizes = [width, ...hidden, outputs];
  const layers = sizes.slice(1).map((size, depth) => new Layer(sizes[depth], size, random));
  const last = layers.length - 1;
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const steps = epochs * Math.floor(count / BATCH);
  let power1 = 1;
  let power2 = 1;
  let done = 0;
  for (let epoch = 1; epoch <= epochs; epoch++) {
    random.shuffle(order);
    let loss = 0;
    let right = 0;
    for (let start = 0; start + BATCH <= count; start += BATCH) {
      for (let n = start; n < start + BATCH; n++) {
        const row = order[n];
        const x = scaled.subarray(row * width, (row + 1) * width);
        const wanted = categories[row];
        const probabilities = forward(layers, x);
        loss -= ln(Math.max(probabilities[wanted], 1e-30));
        if (highest(probabilities) === wanted) right++;
        for (let o = 0; o < outputs; o++) layers[last].errors[o] = probabilities[o] - (o === wanted ? 1 : 0);
        for (let d = last; d > 0; d--) layers[d].backward(layers[d - 1].values, layers[d - 1]);
        layers[0].backward(x, undefined);
      }
      power1 *= BETA1;
      power2 *= BETA2;
      const rate = RATE * (1 - done++ / steps);
      for (const layer of layers) layer.step(rate, 1 - power1, 1 - power2);
    }
    const seen = count - (count % BATCH);
    onEpoch?.(epoch, loss / seen, right / seen);
  }
  return {
    offset,
    scale,
    layers: layers.map(({ inputs, outputs: size, weights, biases }) => ({
      inputs,
      outputs: size,
      weights: Float32Array.from(weights),
      biases: Float32Array.from(biases),
    })),
  };
}

/** Index of the largest; the first of equals, as ONNX ArgMax. */
export function highest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** The trained network over rows of readings. @returns {Float64Array[]} one row of probabilities each */
export function predict({ offset, scale, layers }, readings) {
  const width = offset.length;
  const rows = [];
  for (let start = 0; start < readings.length; start += width) {
    let values = Float64Array.from(offset, (mean, i) => (readings[start + i] - mean) / scale[i]);
    layers.forEach(({ inputs, outputs, weights, biases }, depth) => {
      const next = new Float64Array(outputs);
      for (let o = 0; o < outputs; o++) {
        let sum = biases[o];
        for (let i = 0; i < inputs; i++) sum += weights[o * inputs + i] * values[i];
        next[o] = depth < layers.length - 1 && sum < 0 ? 0 : sum;
      }
      values = next;
    });
    softmaxInPlace(values);
    rows.push(values);
  }
  return rows;
}
