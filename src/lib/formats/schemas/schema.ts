/** Formats of schemas, by Confluent's names. */
export const schemaTypes = ['AVRO', 'PROTOBUF', 'JSON'] as const;
export type SchemaType = (typeof schemaTypes)[number];

/** Limits that keep the checks of any schema below a second: characters, nesting depth, and steps of one comparison. */
export const largestSchema = 256 * 1024;
export const deepestSchema = 100;
const mostSteps = 200_000;

/** A schema that cannot be used, with the reason. */
export class SchemaError extends Error {
  override name = 'SchemaError';
}

/** A schema as it was sent, and those that it refers to, by the names that it uses for them. */
export interface SchemaSource {
  type: SchemaType;
  text: string;
  references: readonly { name: string; text: string }[];
}

/** A valid schema. */
export interface ParsedSchema {
  type: SchemaType;
  /** The text as clients get it. */
  text: string;
  /** Equal for schemas that differ only in layout. */
  canonical: string;
  /**
   * Reasons why data of the schema `writer` may be unreadable with this one; none = all of it is readable.
   * @throws SchemaError if the schemas are too complex to compare
   */
  problemsReading(writer: ParsedSchema, steps: Steps): string[];
}

/** Counts the steps of a comparison. */
export class Steps {
  private left = mostSteps;

  /** @throws SchemaError */
  take(count = 1): void {
    this.left -= count;
    if (this.left < 0) throw new SchemaError('the schemas are too complex to compare');
  }
}

/** Steps for work on many small items, such as names. */
export const weighed = (items: number) => Math.ceil(items / 20);

/** Results of comparisons of a reader's part with a writer's part. A pair that is being compared counts as readable, so recursive schemas end. */
export class Pairs<Part extends object> {
  private readonly known = new Map<Part, Map<Part, boolean>>();
  private readonly trail: [Part, Part][] = [];

  constructor(private readonly steps: Steps) {}

  /** @throws SchemaError */
  compare(reader: Part, writer: Part, compare: () => boolean): boolean {
    this.steps.take();
    const results = this.known.get(reader) ?? new Map<Part, boolean>();
    this.known.set(reader, results);
    const before = results.get(writer);
    // Unreadable pairs are compared again for their reasons, which differ by place.
    if (before === true) return true;
    results.set(writer, true);
    const start = this.trail.push([reader, writer]) - 1;
    if (compare()) return true;
    // Results since then may rest on the assumption that this pair is readable.
    for (const [one, other] of this.trail.splice(start)) this.known.get(one)?.delete(other);
    return false;
  }
}

/** Maximum number of reasons of one comparison. */
const mostProblems = 20;

/** Collects reasons, each with the place in the schema. */
export class Problems {
  readonly list: string[] = [];

  add(code: string, path: string, reason: string): void {
    if (this.list.length < mostProblems) this.list.push(`${code} at ${path || '/'}: ${reason}`);
  }
}

/** Parses a schema with limits. @throws SchemaError */
export async function parseSchema(source: SchemaSource): Promise<ParsedSchema> {
  checkSize(source);
  const parse = await parserOf(source.type);
  return bounded(() => parse(source));
}

/** Reports parts that are nested too deeply through their names. @throws SchemaError */
function bounded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError)
      throw new SchemaError('the schema is nested too deeply', { cause: error });
    throw error;
  }
}

function checkSize(source: SchemaSource): void {
  const all = source.references.reduce((sum, { text }) => sum + text.length, source.text.length);
  if (source.text.length > largestSchema || all > 4 * largestSchema)
    throw new SchemaError(
      `expected at most ${largestSchema} characters, and ${4 * largestSchema} with references`,
    );
  for (const text of [source.text, ...source.references.map((reference) => reference.text)])
    if (nestingOf(text) > deepestSchema)
      throw new SchemaError(`expected at most ${deepestSchema} levels of nesting`);
}

async function parserOf(type: SchemaType): Promise<(source: SchemaSource) => ParsedSchema> {
  switch (type) {
    case 'AVRO':
      return (await import('./avro.js')).parseAvro;
    case 'PROTOBUF':
      return (await import('./protobuf.js')).protobufParser();
    case 'JSON':
      return (await import('./json.js')).jsonSchemaParser();
  }
}

/** Nesting depth of braces and brackets outside of double-quoted texts. */
function nestingOf(text: string): number {
  let [depth, deepest, inText] = [0, 0, false];
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (inText) {
      if (char === '\\') i++;
      else if (char === '"' || char === '\n') inText = false;
    } else if (char === '"') inText = true;
    else if (char === '{' || char === '[') deepest = Math.max(deepest, ++depth);
    else if (char === '}' || char === ']') depth--;
  }
  return deepest;
}

/** Parses a schema that is JSON. @throws SchemaError */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SchemaError(`expected JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** JSON without layout: members are sorted. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`;
}

/** A JSON text without layout. Numbers that JavaScript cannot represent stay different. */
export function canonicalText(text: string): string {
  // Marks keep texts and numbers apart.
  const marked = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g, (token) =>
    token.startsWith('"') ? `"'${token.slice(1)}` : `"${plainNumber(token)}"`,
  );
  return canonicalJson(JSON.parse(marked));
}

/** A number in JSON as its digits and exponent: equal for equal numbers. */
function plainNumber(source: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(source) ?? [];
  const padded = `${whole}${fraction}`.replace(/^0+/, '');
  const digits = trimmedZeros(padded);
  if (digits === '') return '0';
  // Beyond this, sums of exponents would not be exact.
  if (exponent.length > 15) return source;
  return `${sign}${digits}e${Number(exponent) - fraction.length + padded.length - digits.length}`;
}

/** Same as replacing /0+$/, whose time grows with the square of the number of zeros. */
function trimmedZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === '0') end--;
  return digits.slice(0, end);
}

export const compatibilityLevels = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
] as const;
export type CompatibilityLevel = (typeof compatibilityLevels)[number];

/**
 * Reasons why a new schema violates a compatibility level. Backward: the new schema reads data of the earlier ones. Forward: they read its data.
 * @param earlier oldest first
 */
export function incompatibilities(
  level: CompatibilityLevel,
  next: ParsedSchema,
  earlier: readonly { version: number; schema: ParsedSchema }[],
): string[] {
  if (level === 'NONE') return [];
  const steps = new Steps();
  const compared = level.endsWith('_TRANSITIVE') ? earlier.toReversed() : earlier.slice(-1);
  for (const { version, schema } of compared) {
    if (schema.type !== next.type)
      return [`TYPE_CHANGED at /: version ${version} is ${schema.type}, and this schema is ${next.type}`];
    const found = bounded(() => [
      ...(level.startsWith('FORWARD') ? [] : next.problemsReading(schema, steps)),
      ...(level.startsWith('BACKWARD') ? [] : schema.problemsReading(next, steps)),
    ]);
    if (found.length > 0) return found.map((problem) => `${problem} (version ${version})`);
  }
  return [];
}
