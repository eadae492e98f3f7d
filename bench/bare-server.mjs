// What people write without Veritee: Express, express.json and onnxruntime-node, in one process.
import { readFile } from 'node:fs/promises';
import express from 'express';
import ort from 'onnxruntime-node';

const session = await ort.InferenceSession.create(await readFile(process.argv[2]), { intraOpNumThreads: 1 });
const app = express().set('etag', false).disable('x-powered-by');
app.post('/v2/models/:name/infer', express.json(), async (req, res) => {
  const [input] = req.body.inputs;
  const data = Float32Array.from(input.data.flat(Number.POSITIVE_INFINITY));
  const results = await session.run({ [input.name]: new ort.Tensor('float32', data, input.shape) });
  res.json({
    model_name: req.params.name,
    outputs: Object.entries(results).map(([name, tensor]) => ({
      name,
      shape: tensor.dims,
      datatype: { float32: 'FP32', int64: 'INT64', bool: 'BOOL' }[tensor.type],
      data: Array.from(tensor.data, (value) => (typeof value === 'bigint' ? Number(value) : value)),
    })),
  });
});
const server = app.listen(0, '127.0.0.1', () => process.send({ url: `http://127.0.0.1:${server.address().port}` }));
process.once('disconnect', () => process.exit(0));
