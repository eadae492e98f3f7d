import { encodeInferRequest } from '@veritee/protocol';
import { EXIT, InputError } from '../exit.ts';
import { print, readInput } from '../io.ts';
import { readTensorProto } from '../tensor-proto.ts';

/** `NAME=FILE.pb …` → the request JSON for these inputs, on stdout. */
export async function tensors(pairs: readonly string[]): Promise<number> {
  const inputs = await Promise.all(
    pairs.map(async (pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new InputError('USAGE', 'want NAME=FILE.pb', { field: 'name=file.pb' });
      return { ...readTensorProto(await readInput(pair.slice(at + 1)), pair.slice(at + 1)), name: pair.slice(0, at) };
    }),
  );
  print(new TextDecoder().decode(encodeInferRequest({ inputs, binary: false }).body));
  return EXIT.done;
}
