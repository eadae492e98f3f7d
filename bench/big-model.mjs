// A model of 50 MB, three dense layers 1024 → 3072 → 3072 → 10, as ONNX bytes: large enough that the weights' arithmetic,
// not the protocol around it, is the work. Field numbers: onnx.proto3 of ONNX 1.17.
import protobuf from 'protobufjs/light.js';

const LAYERS = [1024, 3072, 3072, 10];
const FLOAT = 1;
const OPSET = 17;

const { Writer } = protobuf;
const sub = (writer, field, write) => {
  write(writer.uint32((field << 3) | 2).fork());
  return writer.ldelim();
};
const text = (writer, field, value) => writer.uint32((field << 3) | 2).string(value);
const number = (writer, field, value) => writer.uint32(field << 3).int64(value);

function valueInfo(writer, name, dims) {
  text(writer, 1, name);
  sub(writer, 2, (type) =>
    sub(type, 1, (tensor) => {
      number(tensor, 1, FLOAT);
      sub(tensor, 2, (shape) => {
        for (const dim of dims) sub(shape, 1, (one) => number(one, 1, dim));
      });
    }),
  );
}

/** Small weights from a fixed generator, so that every run serves the same bytes. */
function weights(count) {
  const values = new Float32Array(count);
  let state = 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    values[i] = (state / 2 ** 32 - 0.5) / 32;
  }
  return new Uint8Array(values.buffer);
}

function initializer(writer, name, dims) {
  for (const dim of dims) number(writer, 1, dim);
  number(writer, 2, FLOAT);
  text(writer, 8, name);
  writer.uint32((9 << 3) | 2).bytes(weights(dims.reduce((a, b) => a * b)));
}

function node(writer, type, inputs, output) {
  for (const input of inputs) text(writer, 1, input);
  text(writer, 2, output);
  text(writer, 4, type);
}

export function bigModel() {
  const model = Writer.create();
  number(model, 1, 8); // IR version
  sub(model, 7, (graph) => {
    let from = 'input';
    LAYERS.slice(1).forEach((_width, layer) => {
      const last = layer === LAYERS.length - 2;
      const sum = last ? 'output' : `sum${layer}`;
      sub(graph, 1, (one) => node(one, 'MatMul', [from, `w${layer}`], `product${layer}`));
      sub(graph, 1, (one) => node(one, 'Add', [`product${layer}`, `b${layer}`], sum));
      if (!last) sub(graph, 1, (one) => node(one, 'Relu', [sum], `layer${layer}`));
      from = `layer${layer}`;
    });
    text(graph, 2, 'dense');
    LAYERS.slice(1).forEach((width, layer) => {
      sub(graph, 5, (one) => initializer(one, `w${layer}`, [LAYERS[layer], width]));
      sub(graph, 5, (one) => initializer(one, `b${layer}`, [width]));
    });
    sub(graph, 11, (one) => valueInfo(one, 'input', [1, LAYERS[0]]));
    sub(graph, 12, (one) => valueInfo(one, 'output', [1, LAYERS.at(-1)]));
  });
  sub(model, 8, (opset) => number(opset, 2, OPSET));
  return model.finish();
}

export const bigRequest = () =>
  Buffer.from(
    JSON.stringify({
      inputs: [
        {
          name: 'input',
          datatype: 'FP32',
          shape: [1, LAYERS[0]],
          data: Array.from({ length: LAYERS[0] }, (_, i) => Math.round(Math.sin(i) * 1000) / 1000),
        },
      ],
    }),
  );
