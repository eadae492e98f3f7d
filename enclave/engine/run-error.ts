import { shown } from '@veritee/protocol';

const MAX_LOAD_MESSAGE = 300;

/**
 * What may be told of a failed run. onnxruntime's own message can quote the payload (an index out of bounds, a text
 * that is not a number), so nothing of it is passed on but what names a part of the model.
 */
export function describeRunFailure(message: string): string {
  const node = /running (\w{1,64}) node\. Name:'([^']{0,200})'/.exec(message);
  const where = node ? ` in the ${node[1]} node "${shown(node[2] ?? '')}"` : '';
  if (/bad[_ ]alloc|allocate memory/i.test(message)) return `the model ran out of memory${where}`;
  const input = /^(?:Got invalid dimensions|Invalid rank|Unexpected input data type)[^:]*: ?([^ .]{1,200})/.exec(
    message,
  );
  if (input) return `the runtime refused the shape or type of input "${shown(input[1] ?? '')}"`;
  return node ? `the model failed${where}` : 'the runtime refused the run';
}

/** A load message speaks of the model only; it is shortened and made safe for a log line. */
export function describeLoadFailure(message: string): string {
  const line = message.replaceAll(/[\p{C}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();
  return line.length > MAX_LOAD_MESSAGE ? `${line.slice(0, MAX_LOAD_MESSAGE)}…` : line;
}
