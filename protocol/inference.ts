/**
 * Inference requests and responses of the Open Inference Protocol v2 (REST), with Triton's binary tensor data extension.
 *
 * With binary data the body is JSON ‖ tensors in the order the JSON lists them, and the header
 * `Inference-Header-Content-Length` gives the length of the JSON part:
 *
 *   {"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]} ‖ 8 bytes
 *
 * @see https://github.com/kserve/open-inference-protocol
 * @see https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
 */
import { concat, utf8 } from './bytes.ts';
import { type Code, CodedError, ServiceError } from './errors.ts';
import { type Json, type JsonInput, type JsonObject, parseJson, shown, writeJson } from './json.ts';
import { DATATYPES, elementCount, isDatatype, type Tensor, type TensorSpec } from './tensor.ts';
import { tensorFromBinary, tensorToBinary } from './tensor-binary.ts';
import { type JsonFaults, type Spend, tensorFromJson, tensorToJson } from './tensor-json.ts';
import { readShape, refuseTensor, type TensorPlace } from './tensor-values.ts';

export const JSON_LENGTH_HEADER = 'Inference-Header-Content-Length';
export const MEDIA_TYPE_JSON = 'application/json';
export const MEDIA_TYPE_BINARY = 'application/octet-stream';

export type ParameterValue = string | number | bigint | boolean;
export type InferParameters = ReadonlyMap<string, ParameterValue>;

export interface RequestedOutput {
  readonly name: string;
  /** The caller wants it as binary data. */
  readonly binary: boolean;
}

export interface InferRequest {
  readonly id?: string;
  /** Given by some clients although the path names the model; the two must agree. */
  readonly modelName?: string;
  readonly parameters: InferParameters;
  readonly inputs: readonly Tensor[];
  /** Null asks for every output. */
  readonly outputs: readonly RequestedOutput[] | null;
  /** The form of outputs that are not asked for one by one. */
  readonly binaryOutput: boolean;
}

export interface InferResponse {
  readonly modelName: string;
  readonly modelVersion?: string;
  readonly id?: string;
  readonly outputs: readonly Tensor[];
}

/** A body ready to send; `jsonLength` goes into the header, null when all is JSON. */
export interface EncodedBody {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly jsonLength: number | null;
  readonly contentType: typeof MEDIA_TYPE_JSON | typeof MEDIA_TYPE_BINARY;
}

export interface ReadLimits {
  /** Memory for all tensors together, in bytes; a BYTES element counts as BYTES_ELEMENT_COST. */
  readonly maxTensorBytes?: number;
}

/** What a short byte string takes in memory, about. */
export const BYTES_ELEMENT_COST = 200;

function refuseField(field: string, reason: string, code: Code = 'REQUEST_FIELD_INVALID'): never {
  throw new ServiceError(code, `${field}: ${reason}`, { field });
}

/** Reads the header that says how long the JSON part is; null when it is absent. */
export function parseJsonLength(header: string | null | undefined): number | null {
  if (header === null || header === undefined) return null;
  if (!/^\d{1,15}$/.test(header)) {
    refuseField(JSON_LENGTH_HEADER, 'want a length in decimal digits', 'REQUEST_HEADER_INVALID');
  }
  return Number(header);
}

/** The members of one object, each asked for with its type. */
class Members {
  readonly field: string;
  readonly #members: JsonObject;

  constructor(value: Json | undefined, field: string) {
    this.field = field;
    if (!(value instanceof Map)) refuseField(field || 'body', 'want an object');
    this.#members = value;
  }

  at(name: string): string {
    return this.field === '' ? name : `${this.field}.${name}`;
  }

  get(name: string): Json | undefined {
    return this.#members.get(name);
  }

  text(name: string): string {
    const value = this.get(name);
    return typeof value === 'string' ? value : refuseField(this.at(name), 'want a string');
  }

  optionalText(name: string): string | undefined {
    return this.get(name) === undefined ? undefined : this.text(name);
  }

  array(name: string): readonly Json[] {
    const value = this.get(name);
    return Array.isArray(value) ? value : refuseField(this.at(name), 'want an array');
  }

  /** Refuses members that nobody asked for: what is not understood may change what is meant. */
  only(...names: readonly string[]): void {
    for (const name of this.#members.keys()) {
      if (!names.includes(name)) refuseField(this.at(shown(name)), 'unknown member');
    }
  }

  /** Unknown parameters are ignored, except those known elsewhere to change the meaning of a request. */
  parameters(): InferParameters {
    const value = this.get('parameters');
    if (value === undefined) return new Map();
    const parameters = new Members(value, this.at('parameters'));
    for (const [name, item] of parameters.#members) {
      const field = parameters.at(shown(name));
      if (item === null || typeof item === 'object') refuseField(field, 'want a string, number or boolean');
      if (CHANGES_MEANING.has(name)) refuseField(field, 'not supported', 'REQUEST_PARAMETER_UNSUPPORTED');
    }
    return parameters.#members as InferParameters;
  }
}

/** Triton's classification, sequence and shared memory extensions. */
const CHANGES_MEANING: ReadonlySet<string> = new Set([
  'classification',
  'sequence_id',
  'sequence_start',
  'sequence_end',
  'shared_memory_region',
  'shared_memory_offset',
  'shared_memory_byte_size',
]);

function flag(parameters: InferParameters, name: string, field: string): boolean | undefined {
  const value = parameters.get(name);
  if (value !== undefined && typeof value !== 'boolean') refuseField(`${field}.${name}`, 'want true or false');
  return value;
}

/** @throws ServiceError BINARY_TRUNCATED the body ends before its JSON part does */
function splitBody(body: Uint8Array, jsonLength: number | null): { json: Uint8Array; binary: Uint8Array | null } {
  if (jsonLength === null) return { json: body, binary: null };
  if (!Number.isSafeInteger(jsonLength) || jsonLength < 0) throw new TypeError('jsonLength is a length or null');
  if (jsonLength > body.length) {
    refuseField(JSON_LENGTH_HEADER, `JSON part of ${jsonLength} bytes in ${body.length}`, 'BINARY_TRUNCATED');
  }
  return { json: body.subarray(0, jsonLength), binary: body.subarray(jsonLength) };
}

/** A tensor's description: its data is either JSON or the next `data` bytes of the binary part. */
interface TensorHead {
  readonly place: TensorPlace;
  readonly data: readonly Json[] | number;
}

function readHead(tensor: Members): TensorHead {
  const name = tensor.text('name');
  const datatype = tensor.text('datatype');
  if (!isDatatype(datatype)) {
    refuseField(tensor.at('datatype'), `"${shown(name)}": unknown "${shown(datatype)}"`, 'TENSOR_DATATYPE_UNKNOWN');
  }
  const shape = readShape(tensor.get('shape'), tensor.at('shape'));
  const place: TensorPlace = { field: tensor.field, name, datatype, shape };
  const size = tensor.parameters().get('binary_data_size');
  if (size === undefined) {
    if (tensor.get('data') === undefined) refuseTensor('REQUEST_FIELD_INVALID', place, '.data', 'no data');
    return { place, data: tensor.array('data') };
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    refuseField(tensor.at('parameters.binary_data_size'), 'want a size in bytes');
  }
  if (tensor.get('data') !== undefined) {
    refuseTensor('REQUEST_FIELD_INVALID', place, '.data', 'data and binary_data_size exclude each other');
  }
  return { place, data: size };
}

function readTensors(heads: readonly TensorHead[], binary: Uint8Array | null, limits: ReadLimits): Tensor[] {
  const sizes = heads.flatMap(({ data }) => (typeof data === 'number' ? [data] : []));
  if (binary === null && sizes.length > 0) {
    refuseField(JSON_LENGTH_HEADER, 'missing, although there is binary data', 'REQUEST_HEADER_INVALID');
  }
  const want = sizes.reduce((sum, size) => sum + size, 0);
  const rest = binary ?? new Uint8Array(0);
  if (want !== rest.length) {
    const code = want > rest.length ? 'BINARY_TRUNCATED' : 'BINARY_SIZE_MISMATCH';
    refuseField('body', `${rest.length} bytes of binary data, the tensors declare ${want}`, code);
  }

  const spend = tensorMemory(limits.maxTensorBytes ?? Number.POSITIVE_INFINITY);
  let offset = 0;
  return heads.map(({ place, data }) => {
    if (typeof data !== 'number') return tensorFromJson(place, data, spend);
    const part = rest.subarray(offset, offset + data);
    offset += data;
    return tensorFromBinary(place, part, spend);
  });
}

function tensorMemory(limit: number): Spend {
  let spent = 0;
  return (place, count) => {
    spent += count * (DATATYPES[place.datatype] ?? BYTES_ELEMENT_COST);
    if (spent > limit) refuseTensor('INPUT_MEMORY_EXCEEDED', place, '', `the tensors take more than ${limit} bytes`);
  };
}

/**
 * Read an inference request. Shape and values only: `checkInputs` and `checkOutputs` compare it with the model.
 *
 * @param body exactly as received
 * @param jsonLength from the header, see `parseJsonLength`; null when all of the body is JSON
 * @throws ServiceError with the place at fault as `field`, for example `inputs[0].datatype`; never content
 */
export function parseInferRequest(body: Uint8Array, jsonLength: number | null, limits: ReadLimits = {}): InferRequest {
  const { json, binary } = splitBody(body, jsonLength);
  const request = new Members(parseJson(json), '');
  request.only('id', 'model_name', 'parameters', 'inputs', 'outputs');
  const id = request.optionalText('id');
  const modelName = request.optionalText('model_name');
  const parameters = request.parameters();
  const binaryOutput = flag(parameters, 'binary_data_output', 'parameters') ?? false;

  const outputs = (request.get('outputs') === undefined ? [] : request.array('outputs')).map((item, i) => {
    const output = new Members(item, `outputs[${i}]`);
    output.only('name', 'parameters');
    const binaryData = flag(output.parameters(), 'binary_data', output.at('parameters'));
    return { name: output.text('name'), binary: binaryData ?? binaryOutput };
  });
  const heads = request.array('inputs').map((item, i) => {
    const input = new Members(item, `inputs[${i}]`);
    input.only('name', 'shape', 'datatype', 'parameters', 'data');
    return readHead(input);
  });
  return {
    ...(id === undefined ? {} : { id }),
    ...(modelName === undefined ? {} : { modelName }),
    parameters,
    inputs: readTensors(heads, binary, limits),
    outputs: outputs.length === 0 ? null : outputs, // as other servers read an empty list
    binaryOutput,
  };
}

/**
 * Read an inference response; members and parameters we do not know are ignored, as servers add their own.
 *
 * @throws ServiceError SERVICE_ANSWER_INVALID; its cause is the exact fault
 */
export function parseInferResponse(body: Uint8Array, jsonLength: number | null): InferResponse {
  try {
    const { json, binary } = splitBody(body, jsonLength);
    const response = new Members(parseJson(json), '');
    const modelName = response.text('model_name');
    const modelVersion = response.optionalText('model_version');
    const id = response.optionalText('id');
    const heads = response.array('outputs').map((item, i) => readHead(new Members(item, `outputs[${i}]`)));
    refuseDuplicates(
      heads.map(({ place }) => place),
      'outputs',
    );
    return {
      modelName,
      ...(modelVersion === undefined ? {} : { modelVersion }),
      ...(id === undefined ? {} : { id }),
      outputs: readTensors(heads, binary, {}),
    };
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    const field = cause.field ?? 'body';
    throw new ServiceError('SERVICE_ANSWER_INVALID', `inference response: ${cause.message}`, { field, cause });
  }
}

function refuseDuplicates(items: readonly { readonly name: string }[], list: string): void {
  const seen = new Set<string>();
  for (const [i, { name }] of items.entries()) {
    if (seen.has(name)) refuseField(`${list}[${i}].name`, `"${shown(name)}" twice`, 'TENSOR_NAME_DUPLICATE');
    seen.add(name);
  }
}

function refuseUnknown(field: string, name: string, specs: readonly TensorSpec[]): never {
  const known = specs.map((spec) => `"${shown(spec.name)}"`).join(', ');
  refuseField(field, `"${shown(name)}" is not one of ${known}`, 'TENSOR_NAME_UNKNOWN');
}

/** The inputs must be exactly those the model declares, in any order, each of its datatype and shape. */
export function checkInputs(inputs: readonly Tensor[], specs: readonly TensorSpec[]): void {
  refuseDuplicates(inputs, 'inputs');
  for (const [i, input] of inputs.entries()) {
    const place: TensorPlace = { ...input, field: `inputs[${i}]` };
    const spec = specs.find(({ name }) => name === input.name);
    if (!spec) refuseUnknown(`${place.field}.name`, input.name, specs);
    if (input.datatype !== spec.datatype) {
      refuseTensor('TENSOR_DATATYPE_MISMATCH', place, '.datatype', `the model declares ${spec.datatype}`);
    }
    const { shape } = input;
    if (shape.length !== spec.shape.length || spec.shape.some((size, d) => size !== -1 && size !== shape[d])) {
      const reason = `shape [${shape}] does not fit [${spec.shape}]`;
      refuseTensor('TENSOR_SHAPE_MISMATCH', place, '.shape', reason);
    }
  }
  const missing = specs.find(({ name }) => !inputs.some((input) => input.name === name));
  if (missing) refuseField('inputs', `"${shown(missing.name)}" (${missing.datatype}) is missing`, 'TENSOR_MISSING');
}

/** Outputs asked for by name must exist, each asked for once. */
export function checkOutputs(outputs: readonly RequestedOutput[] | null, specs: readonly TensorSpec[]): void {
  if (outputs === null) return;
  refuseDuplicates(outputs, 'outputs');
  for (const [i, { name }] of outputs.entries()) {
    if (!specs.some((spec) => spec.name === name)) refuseUnknown(`outputs[${i}].name`, name, specs);
  }
}

/** The list of tensors under `list`, and the bytes that follow the JSON. */
function encodeBody(
  head: { readonly [name: string]: JsonInput | undefined },
  list: 'inputs' | 'outputs',
  tensors: readonly Tensor[],
  binary: (name: string) => boolean,
  faults: JsonFaults,
): EncodedBody {
  const parts: Uint8Array[] = [];
  const items = tensors.map((tensor, i) => {
    const { name, shape, datatype } = tensor;
    const length = elementCount(shape) * (DATATYPES[datatype] ?? 1);
    if (tensor.data.length !== length) throw new TypeError(`tensor "${shown(name)}": data does not fit its shape`);
    if (!binary(name)) return { name, shape, datatype, data: tensorToJson(tensor, `${list}[${i}]`, faults) };
    const part = tensorToBinary(tensor);
    parts.push(part);
    return { name, shape, datatype, parameters: { binary_data_size: part.length } };
  });
  const json = utf8(writeJson({ ...head, [list]: items }));
  if (parts.length === 0) return { body: json, jsonLength: null, contentType: MEDIA_TYPE_JSON };
  return { body: concat(json, ...parts), jsonLength: json.length, contentType: MEDIA_TYPE_BINARY };
}

/**
 * @param request.outputs the outputs wanted; every one when absent
 * @param request.binary send the inputs as binary data, and ask for outputs in the same form unless they say otherwise
 * @throws ServiceError JSON_NUMBER_NOT_FINITE, TENSOR_VALUE_INVALID (bytes that are not text) or
 *   TENSOR_DATATYPE_BINARY_ONLY: the input can only go as binary data
 */
export function encodeInferRequest(request: {
  readonly inputs: readonly Tensor[];
  readonly id?: string;
  readonly outputs?: readonly RequestedOutput[];
  readonly binary: boolean;
}): EncodedBody {
  const outputs = request.outputs?.map(({ name, binary }) => ({ name, parameters: { binary_data: binary } }));
  const parameters = request.binary ? { binary_data_output: true } : undefined;
  return encodeBody({ id: request.id, parameters, outputs }, 'inputs', request.inputs, () => request.binary, {
    notFinite: 'JSON_NUMBER_NOT_FINITE',
    notText: 'TENSOR_VALUE_INVALID',
    advice: 'send this input as binary data',
  });
}

/**
 * @param response.id repeated from the request, only when it had one
 * @param response.binary whether this output goes as binary data
 * @throws ServiceError OUTPUT_NOT_FINITE, OUTPUT_NOT_TEXT or TENSOR_DATATYPE_BINARY_ONLY: the output was asked for as
 *   JSON and can only go as binary data
 */
export function encodeInferResponse(response: {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id?: string;
  readonly outputs: readonly Tensor[];
  readonly binary: (name: string) => boolean;
}): EncodedBody {
  const head = { model_name: response.modelName, model_version: response.modelVersion, id: response.id };
  return encodeBody(head, 'outputs', response.outputs, response.binary, {
    notFinite: 'OUTPUT_NOT_FINITE',
    notText: 'OUTPUT_NOT_TEXT',
    advice: 'ask for this output as binary data',
  });
}
