/** The part of JSON Schema 2020-12 that policy.schema.json uses; any other keyword is an error, never ignored. */
type Schema = Readonly<Record<string, unknown>>;

const ANNOTATIONS = new Set(['$schema', '$id', '$defs', 'title', 'description']);

export function conforms(value: unknown, schema: Schema, root: Schema = schema): boolean {
  return Object.entries(schema).every(([keyword, rule]) => {
    if (ANNOTATIONS.has(keyword)) return true;
    const check = KEYWORDS[keyword];
    if (!check) throw new Error(`json-schema.ts does not know the keyword ${keyword}`);
    return check(value, rule as never, schema, root);
  });
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isType: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  integer: Number.isInteger,
};

type Check = (value: unknown, rule: never, schema: Schema, root: Schema) => boolean;

const KEYWORDS: Readonly<Record<string, Check>> = {
  $ref: (value, rule: string, _, root) =>
    conforms(value, (root['$defs'] as Record<string, Schema>)[rule.replace('#/$defs/', '')]!, root),
  type: (value, rule: string) => isType[rule]!(value),
  const: (value, rule: unknown) => value === rule,
  enum: (value, rule: readonly unknown[]) => rule.includes(value),
  oneOf: (value, rule: readonly Schema[], _, root) => rule.filter((one) => conforms(value, one, root)).length === 1,
  minimum: (value, rule: number) => typeof value !== 'number' || value >= rule,
  maximum: (value, rule: number) => typeof value !== 'number' || value <= rule,
  minLength: (value, rule: number) => typeof value !== 'string' || [...value].length >= rule,
  maxLength: (value, rule: number) => typeof value !== 'string' || [...value].length <= rule,
  pattern: (value, rule: string) => typeof value !== 'string' || new RegExp(rule, 'u').test(value),
  minItems: (value, rule: number) => !Array.isArray(value) || value.length >= rule,
  items: (value, rule: Schema, _, root) => !Array.isArray(value) || value.every((item) => conforms(item, rule, root)),
  minProperties: (value, rule: number) => !isObject(value) || Object.keys(value).length >= rule,
  required: (value, rule: readonly string[]) => !isObject(value) || rule.every((name) => Object.hasOwn(value, name)),
  properties: (value, rule: Readonly<Record<string, Schema>>, _, root) =>
    !isObject(value) ||
    Object.entries(value).every(([name, item]) => !Object.hasOwn(rule, name) || conforms(item, rule[name]!, root)),
  additionalProperties: (value, rule: false | Schema, schema, root) =>
    !isObject(value) ||
    Object.entries(value).every(
      ([name, item]) =>
        Object.hasOwn(schema['properties'] as object, name) || (rule !== false && conforms(item, rule, root)),
    ),
};
