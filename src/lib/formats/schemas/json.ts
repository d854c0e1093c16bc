import {
  canonicalJson,
  canonicalText,
  Pairs,
  type ParsedSchema,
  Problems,
  parseJson,
  SchemaError,
  type SchemaSource,
  type Steps,
  weighed,
} from './schema.js';

type Members = Record<string, unknown>;

/** A document, and those that it refers to. */
interface Document {
  root: unknown;
  references: ReadonlyMap<string, Document>;
}

/** A part of a document. Objects are unique to a document, so they identify a part. */
interface Part {
  schema: Members | boolean;
  document: Document;
}

interface ObjectPart extends Part {
  schema: Members;
}

class JsonSchema implements ParsedSchema {
  readonly type = 'JSON';

  constructor(
    readonly text: string,
    readonly canonical: string,
    readonly root: Part,
  ) {}

  problemsReading(writer: ParsedSchema, steps: Steps): string[] {
    const problems = new Problems();
    if (writer instanceof JsonSchema) new Comparison(steps).accepts(this.root, writer.root, '', problems);
    return problems.list;
  }
}

type Validator = {
  validateSchema(schema: Members): unknown;
  errorsText(errors: undefined, options: { dataVar: string }): string;
};
let validators: Record<'latest' | 'draft2019' | 'draft7', Validator> | undefined;

/** Returns a parser of JSON Schema: drafts 4 to 7, 2019-09 and 2020-12. */
export async function jsonSchemaParser(): Promise<(source: SchemaSource) => ParsedSchema> {
  const [{ Ajv }, { Ajv2019 }, { Ajv2020 }] = await Promise.all([
    import('ajv'),
    import('ajv/dist/2019.js'),
    import('ajv/dist/2020.js'),
  ]);
  const options = { strict: false, validateFormats: false, logger: false } as const;
  // Each compiles its metaschema once.
  validators ??= {
    ...{ latest: new Ajv2020(options), draft2019: new Ajv2019(options), draft7: new Ajv(options) },
  };
  const { latest, draft2019, draft7 } = validators;
  return ({ text, references }) => {
    const value = parseJson(text);
    const draft = isObject(value) && typeof value.$schema === 'string' ? value.$schema : '';
    if (typeof value !== 'boolean' && !isObject(value))
      throw new SchemaError('expected an object or a boolean');
    const validator = draft.includes('2020-12') ? latest : draft.includes('2019-09') ? draft2019 : draft7;
    // Draft 4 differs in `exclusiveMinimum`, which `constraints` converts.
    if (isObject(value) && !/draft-0[346]/.test(draft)) checkMeta(validator, value);
    const documents = new Map<string, Document>();
    for (const { name, text: other } of references) {
      const root = parseJson(other);
      const document = { root, references: documents };
      documents.set(name, document);
      if (isObject(root) && typeof root.$id === 'string') documents.set(root.$id, document);
    }
    const root = { schema: value as Members | boolean, document: { root: value, references: documents } };
    checkReferences(root);
    return new JsonSchema(text, canonicalText(text), root);
  };
}

/** @throws SchemaError, also if the metaschema is unknown */
function checkMeta(validator: Validator, value: Members): void {
  const { $schema, ...rest } = value;
  const known = typeof $schema === 'string' && /^https?:\/\/json-schema\.org\//.test($schema);
  let reason: string;
  try {
    if (validator.validateSchema(known ? rest : value) === true) return;
    reason = validator.errorsText(undefined, { dataVar: 'schema' });
  } catch (error) {
    if (error instanceof RangeError) throw error;
    reason = error instanceof Error ? error.message : String(error);
  }
  throw new SchemaError(reason.slice(0, 300));
}

const isObject = (value: unknown): value is Members =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** Keywords whose values are data, not schemas. */
const dataKeywords = new Set(['const', 'enum', 'default', 'examples']);

/** Every reference must lead to a schema. @throws SchemaError */
function checkReferences({ schema, document }: Part): void {
  const waiting: unknown[] = [schema];
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (Array.isArray(value)) waiting.push(...(value as unknown[]));
    if (!isObject(value)) continue;
    if (typeof value.$ref === 'string') target({ schema: value, document });
    for (const [keyword, member] of Object.entries(value))
      if (!dataKeywords.has(keyword)) waiting.push(member);
  }
}

/** The different references in a schema. */
function referencesIn(schema: Members): string[] {
  const found = new Set<string>();
  const waiting: unknown[] = [schema];
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    if (isObject(value) && typeof value.$ref === 'string') found.add(value.$ref);
    for (const member of Object.values(value)) waiting.push(member);
  }
  return [...found];
}

/** Maximum number of references that lead to one another. */
const mostHops = 50;

/** The schema that a part's $ref leads to. @throws SchemaError */
function target(part: Part): Part {
  let at = part;
  for (let hops = 0; hops < mostHops; hops++) {
    const { schema } = at;
    if (!isObject(schema) || typeof schema.$ref !== 'string') return at;
    at = follow(schema.$ref, at.document);
    if (isObject(at.schema) && Object.keys(constraints(at.schema)).length > 1) return at;
  }
  throw new SchemaError(`$ref: ${String((part.schema as Members).$ref).slice(0, 80)} leads to itself`);
}

function follow(reference: string, document: Document): Part {
  const [base = '', fragment = ''] = reference.split('#', 2);
  const own = isObject(document.root) && document.root.$id === base;
  const found = base === '' || own ? document : document.references.get(base);
  if (!found) throw new SchemaError(`$ref: unknown schema ${reference.slice(0, 80)}`);
  const schema =
    fragment === '' || fragment.startsWith('/')
      ? pointed(found.root, fragment)
      : anchorsOf(found).get(fragment);
  if (isObject(schema) || typeof schema === 'boolean') return { schema, document: found };
  throw new SchemaError(`$ref: ${reference.slice(0, 80)} leads to no schema`);
}

function pointed(root: unknown, pointer: string): unknown {
  let at = root;
  for (const part of pointer.split('/').slice(1)) {
    const name = safeDecode(part).replace(/~1/g, '/').replace(/~0/g, '~');
    if ((!isObject(at) && !Array.isArray(at)) || !Object.hasOwn(at, name)) return undefined;
    at = (at as Members)[name];
  }
  return at;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const anchors = new WeakMap<Document, ReadonlyMap<string, unknown>>();

/** The parts of a document with an anchor. */
function anchorsOf(document: Document): ReadonlyMap<string, unknown> {
  const known = anchors.get(document);
  if (known) return known;
  const found = new Map<string, unknown>();
  anchors.set(document, found);
  const waiting: unknown[] = [document.root];
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (Array.isArray(value)) waiting.push(...(value as unknown[]));
    if (!isObject(value)) continue;
    const { $anchor, $id } = value;
    if (typeof $anchor === 'string') found.set($anchor, value);
    if (typeof $id === 'string' && $id.startsWith('#')) found.set($id.slice(1), value);
    waiting.push(...Object.values(value));
  }
  return found;
}

/** Keywords that are compared by what they accept. All keywords that are in neither list do not restrict values. */
const compared = new Set([
  ...['type', 'enum', 'const', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  ...['minLength', 'maxLength', 'pattern', 'minItems', 'maxItems', 'uniqueItems', 'items', 'prefixItems'],
  ...['additionalItems', 'properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'],
  ...['allOf', 'anyOf', 'oneOf', '$ref', 'patternProperties'],
]);

/** Other keywords that restrict values must be equal in both schemas. `then` and `else` belong to `if`. */
const exact = new Set([
  ...['not', 'if', 'then', 'else', 'contains', 'minContains', 'maxContains', 'propertyNames', 'dependencies'],
  ...['dependentRequired', 'dependentSchemas', 'unevaluatedProperties', 'unevaluatedItems', '$dynamicRef'],
  '$recursiveRef',
]);

const restrictions = new WeakMap<Members, Members>();

/** The keywords of a schema that restrict values. They are remembered, because a schema may have many other members. */
function constraints(schema: Members): Members {
  const known = restrictions.get(schema);
  if (known) return known;
  const found: Members = {};
  for (const keyword of Object.keys(schema))
    if (compared.has(keyword) || exact.has(keyword)) found[keyword] = schema[keyword];
  // In draft 4, a boolean excludes the other limit itself.
  for (const [inclusive, exclusive] of [
    ['minimum', 'exclusiveMinimum'],
    ['maximum', 'exclusiveMaximum'],
  ] as const) {
    const excluded = found[exclusive];
    if (typeof excluded !== 'boolean') continue;
    delete found[exclusive];
    if (!excluded || found[inclusive] === undefined) continue;
    found[exclusive] = found[inclusive];
    delete found[inclusive];
  }
  restrictions.set(schema, found);
  restrictions.set(found, found);
  return found;
}

/** Names, values and patterns of a schema itself, each of which takes time. */
function sizeOf(schema: Members): number {
  const { type, required, enum: values, properties, patternProperties } = schema;
  const lists = [type, required, values].reduce<number>((sum, value) => sum + listOf(value).length, 0);
  return [properties, patternProperties].reduce<number>(
    (sum, value) => sum + (isObject(value) ? Object.keys(value).length : 0),
    lists,
  );
}

/** Maximum depth of a difference between two schemas that makes them disjoint. */
const deepestDifference = 10;

const allTypes = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];

/** Whether one schema accepts every value of another. If that cannot be decided, the answer is no. */
class Comparison {
  private readonly pairs: Pairs<Members>;

  constructor(private readonly steps: Steps) {
    this.pairs = new Pairs(steps);
  }

  accepts(reader: Part, writer: Part, path: string, problems: Problems): boolean {
    this.steps.take();
    const [own, other] = [reader.schema, writer.schema];
    if (own === true || other === false || (isObject(own) && Object.keys(constraints(own)).length === 0))
      return true;
    if (own === false) {
      problems.add('NOT_ALLOWED', path, 'the reader allows no value');
      return false;
    }
    const written = other === true ? anything : other;
    return this.pairs.compare(own, written, () =>
      this.compare({ ...reader, schema: own }, { ...writer, schema: written }, path, problems),
    );
  }

  private compare(reader: ObjectPart, writer: ObjectPart, path: string, problems: Problems): boolean {
    const { allOf, anyOf, oneOf, $ref, ...rest } = constraints(reader.schema);
    this.steps.take(weighed(4 * listOf(allOf).length));
    const parts = [
      ...(typeof $ref === 'string' ? [target({ ...reader, schema: { $ref } })] : []),
      ...listOf(allOf).map((schema) => ({ ...reader, schema })),
    ];
    if (parts.length > 0 && !every(parts, (part) => this.accepts(part, writer, path, problems))) return false;
    const plain = this.flat(writer);
    const isSame =
      oneOf !== undefined &&
      this.same(
        { ...reader, schema: { oneOf } },
        { ...plain, schema: { oneOf: plain.schema.oneOf } },
        new Map(),
      );
    // Keywords of the reader that have not been compared yet.
    const left = {
      ...reader,
      schema: { ...rest, ...(anyOf ? { anyOf } : {}), ...(oneOf && !isSame ? { oneOf } : {}) },
    };
    const choice = plain.schema.anyOf ?? plain.schema.oneOf;
    if (Array.isArray(choice)) {
      const { anyOf: _any, oneOf: _one, ...base } = plain.schema;
      // The branches are narrower than the rest of the writer's schema, so either may suffice.
      if (this.compare(left, { ...plain, schema: base }, path, new Problems())) return true;
      return every(listOf(choice), (schema, i) => {
        const branch = this.flat({ ...plain, schema: { allOf: [base, schema] } });
        return this.compare(left, branch, `${path}/${i}`, problems);
      });
    }
    for (const choices of [left.schema.anyOf, left.schema.oneOf]) {
      this.steps.take(weighed(listOf(choices).length));
      const branches = listOf(choices).map((schema) => ({ ...reader, schema }));
      if (branches.length === 0) continue;
      const fitting = branches.findIndex((branch) => this.accepts(branch, plain, path, new Problems()));
      if (fitting < 0) {
        problems.add('UNION_NARROWED', path, 'no branch of the reader accepts all values of the writer');
        return false;
      }
      // Values must match exactly one branch.
      const others = choices === oneOf ? branches.filter((_, i) => i !== fitting) : [];
      if (others.every((other) => this.disjoint(other, plain, 0))) continue;
      problems.add('ONEOF_OVERLAP', path, 'several branches of the reader may accept a value of the writer');
      return false;
    }
    return this.plainly({ ...reader, schema: rest }, plain, path, problems);
  }

  /** Whether two schemas are equal, with all that they refer to. */
  private same(one: ObjectPart, other: ObjectPart, seen: Map<Members, Members>): boolean {
    const [text, otherText] = [canonicalOf(one.schema), canonicalOf(other.schema)];
    this.steps.take(weighed(text.length));
    if (text !== otherText || /"\$(?:dynamicRef|recursiveRef)":/.test(text)) return false;
    if (one.document === other.document || !text.includes('"$ref":')) return true;
    seen.set(one.schema, other.schema);
    return referencesIn(one.schema).every((reference) => {
      const [next, otherNext] = [follow(reference, one.document), follow(reference, other.document)];
      const [schema, otherSchema] = [next.schema, otherNext.schema];
      if (!isObject(schema) || !isObject(otherSchema)) return schema === otherSchema;
      if (seen.get(schema) === otherSchema) return true;
      return this.same({ ...next, schema }, { ...otherNext, schema: otherSchema }, seen);
    });
  }

  /** Whether no value matches both schemas. If that cannot be decided, the answer is no. */
  private disjoint(one: Part, other: Part, depth: number): boolean {
    this.steps.take();
    if (one.schema === false || other.schema === false) return true;
    if (!isObject(one.schema) || !isObject(other.schema) || depth > deepestDifference) return false;
    const parts = [this.flat({ ...one, schema: one.schema }), this.flat({ ...other, schema: other.schema })];
    for (const [part, against] of [parts, parts.toReversed()] as [ObjectPart, ObjectPart][]) {
      const { anyOf, oneOf, ...base } = part.schema;
      const branches = listOf(anyOf ?? oneOf);
      if (branches.length === 0) continue;
      return branches.every((branch) =>
        this.disjoint({ ...part, schema: { allOf: [base, branch] } }, against, depth + 1),
      );
    }
    const [own, written] = parts as [ObjectPart, ObjectPart];
    this.steps.take(weighed(sizeOf(own.schema) + sizeOf(written.schema)));
    const types = typesOf(own.schema).filter((type) => typesOf(written.schema).includes(type));
    if (types.length === 0) return true;
    const [values, otherValues] = [valuesOf(own.schema), valuesOf(written.schema)];
    const texts = new Set(values?.map(canonicalOf));
    if (values && otherValues?.every((value) => !texts.has(canonicalOf(value)))) return true;
    if (types.some((type) => type !== 'object')) return false;
    const [properties, otherProperties] = [propertiesOf(own.schema), propertiesOf(written.schema)];
    const required = new Set(
      [...listOf(own.schema.required), ...listOf(written.schema.required)].map(String),
    );
    return [...required].some(
      (name) =>
        Object.hasOwn(properties, name) &&
        Object.hasOwn(otherProperties, name) &&
        this.disjoint(
          { ...own, schema: schemaOf(properties[name]) },
          { ...written, schema: schemaOf(otherProperties[name]) },
          depth + 1,
        ),
    );
  }

  /** The writer's schema without $ref and allOf. Keywords that cannot be combined are left out, which makes it wider. */
  private flat(writer: ObjectPart): ObjectPart {
    this.steps.take();
    const schema = constraints(writer.schema);
    const { allOf, $ref, ...rest } = schema;
    this.steps.take(weighed(4 * listOf(allOf).length));
    const others: Part[] = listOf(allOf).map((schema) => ({ ...writer, schema }));
    if (typeof $ref === 'string') others.push(target({ ...writer, schema: { $ref } }));
    if (others.length === 0) return { ...writer, schema };
    let { document } = writer;
    let merged = rest;
    for (const other of others) {
      if (!isObject(other.schema)) continue;
      const flat = this.flat({ ...other, schema: other.schema });
      // References inside of a part of another document are resolved there.
      if (Object.keys(merged).length === 0) document = flat.document;
      else if (flat.document !== document) continue;
      this.steps.take(weighed(8 * (sizeOf(merged) + sizeOf(flat.schema))));
      merged = merge(merged, flat.schema);
    }
    return { schema: merged, document };
  }

  private plainly(reader: ObjectPart, writer: ObjectPart, path: string, problems: Problems): boolean {
    const [own, other] = [reader.schema, writer.schema];
    const fail = (code: string, reason: string) => problems.add(code, path, reason);
    let ok = true;
    this.steps.take(weighed(sizeOf(own) + sizeOf(other)));
    for (const keyword of exact) {
      if (own[keyword] === undefined) continue;
      const [before, now] = [canonicalOf(other[keyword]), canonicalOf(own[keyword])];
      this.steps.take(weighed(now.length));
      // References in them may lead to different schemas.
      if (before === now && !/"\$(?:ref|dynamicRef|recursiveRef)":/.test(now)) continue;
      fail('KEYWORD_CHANGED', `${keyword} differs`);
      ok = false;
    }
    const types = typesOf(other);
    const accepted = typeof own.type === 'undefined' ? allTypes : typesOf({ type: own.type });
    const refused = types.filter((type) => !accepted.includes(type));
    if (refused.length > 0) {
      fail('TYPE_NARROWED', `the reader does not accept ${refused.join(', ')}`);
      return false;
    }
    ok = this.values(own, other, fail) && ok;
    if (types.includes('number') || types.includes('integer')) ok = numbers(own, other, types, fail) && ok;
    if (types.includes('string')) ok = strings(own, other, fail) && ok;
    if (types.includes('array')) ok = this.arrays(reader, writer, path, problems) && ok;
    if (types.includes('object')) ok = this.objects(reader, writer, path, problems) && ok;
    return ok;
  }

  private values(own: Members, other: Members, fail: Fail): boolean {
    const allowed = valuesOf(own);
    if (allowed === null) return true;
    const written = valuesOf(other);
    this.steps.take(4 * weighed(allowed.length + (written?.length ?? 0)));
    const texts = new Set(allowed.map(canonicalOf));
    if (written?.every((value) => texts.has(canonicalOf(value)))) return true;
    fail('ENUM_NARROWED', 'the reader lists fewer values than the writer');
    return false;
  }

  private arrays(reader: ObjectPart, writer: ObjectPart, path: string, problems: Problems) {
    const [own, other] = [reader.schema, writer.schema];
    const fail: Fail = (code, reason) => problems.add(code, path, reason);
    let ok = bounds(own, other, 'minItems', 'maxItems', fail);
    if (own.uniqueItems === true && other.uniqueItems !== true) {
      fail('UNIQUE_ITEMS_ADDED', 'the reader requires unique items');
      ok = false;
    }
    const [ownItems, otherItems] = [itemsOf(own), itemsOf(other)];
    const longest = Math.max(ownItems.first.length, otherItems.first.length);
    for (let i = 0; i <= longest; i++) {
      const part = { ...reader, schema: ownItems.first[i] ?? ownItems.rest };
      const written = { ...writer, schema: otherItems.first[i] ?? otherItems.rest };
      ok = this.accepts(part, written, `${path}/items`, problems) && ok;
    }
    return ok;
  }

  private objects(reader: ObjectPart, writer: ObjectPart, path: string, problems: Problems) {
    const [own, other] = [reader.schema, writer.schema];
    const fail: Fail = (code, reason) => problems.add(code, path, reason);
    let ok = bounds(own, other, 'minProperties', 'maxProperties', fail);
    this.steps.take(weighed(listOf(own.required).length + listOf(other.required).length));
    const given = new Set(listOf(other.required));
    for (const name of listOf(own.required)) {
      if (given.has(name)) continue;
      fail('REQUIRED_PROPERTY_ADDED', `the reader requires ${String(name)}`);
      ok = false;
    }
    const [ownProperties, otherProperties] = [propertiesOf(own), propertiesOf(other)];
    const [ownRest, otherRest] = [schemaOf(own.additionalProperties), schemaOf(other.additionalProperties)];
    const otherPatterns = Object.values(propertiesOf({ properties: other.patternProperties })).map(schemaOf);
    for (const name of new Set([...Object.keys(ownProperties), ...Object.keys(otherProperties)])) {
      const isOwn = Object.hasOwn(ownProperties, name);
      const isOther = Object.hasOwn(otherProperties, name);
      const part = { ...reader, schema: isOwn ? schemaOf(ownProperties[name]) : ownRest };
      // A name that the writer does not list may match any of its patterns.
      const schemas = isOther
        ? [schemaOf(otherProperties[name])]
        : [otherRest, ...(isOwn ? otherPatterns : [])];
      const place = `${path}/${name}`;
      const accepted = (found: Problems) =>
        every(schemas, (schema) => this.accepts(part, { ...writer, schema }, place, found));
      if (isOwn && isOther) ok = accepted(problems) && ok;
      else if (!accepted(new Problems())) {
        if (isOwn)
          problems.add(
            'PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL',
            place,
            `the writer allows any value of ${name}, which the reader restricts`,
          );
        else
          problems.add(
            'PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL',
            place,
            `the reader does not allow ${name}`,
          );
        ok = false;
      }
    }
    const patterns = propertiesOf({ properties: own.patternProperties });
    const written = propertiesOf({ properties: other.patternProperties });
    for (const [pattern, schema] of Object.entries(patterns)) {
      const part = { ...reader, schema: schemaOf(schema) };
      if (Object.hasOwn(written, pattern)) {
        ok =
          this.accepts(
            part,
            { ...writer, schema: schemaOf(written[pattern]) },
            `${path}/${pattern}`,
            problems,
          ) && ok;
      } else if (!this.accepts(part, { ...writer, schema: true }, `${path}/${pattern}`, problems)) ok = false;
    }
    for (const [pattern, schema] of Object.entries(written)) {
      if (Object.hasOwn(patterns, pattern)) continue;
      const place = `${path}/${pattern}`;
      ok =
        this.accepts(
          { ...reader, schema: ownRest },
          { ...writer, schema: schemaOf(schema) },
          place,
          problems,
        ) && ok;
    }
    if (
      !this.accepts({ ...reader, schema: ownRest }, { ...writer, schema: otherRest }, path, new Problems())
    ) {
      fail('ADDITIONAL_PROPERTIES_NARROWED', 'the reader allows fewer additional properties');
      ok = false;
    }
    return ok;
  }
}

type Fail = (code: string, reason: string) => void;

/** The schema of any value, as an object that identifies it. */
const anything: Members = {};

const canonicals = new WeakMap<object, string>();

/** Canonical JSON, which is remembered, because a part may be compared many times. */
function canonicalOf(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value !== 'object' || value === null) return canonicalJson(value);
  const known = canonicals.get(value) ?? canonicalJson(value);
  canonicals.set(value, known);
  return known;
}

const listOf = (value: unknown) => (Array.isArray(value) ? (value as (Members | boolean)[]) : []);
const schemaOf = (value: unknown): Members | boolean =>
  isObject(value) || typeof value === 'boolean' ? value : true;
const propertiesOf = ({ properties }: Members): Members => (isObject(properties) ? properties : {});

/** Same as `Array.every`, but all items are visited. */
function every<T>(items: readonly T[], test: (item: T, index: number) => boolean): boolean {
  return items.map(test).every(Boolean);
}

function valuesOf(schema: Members): unknown[] | null {
  const listed = Array.isArray(schema.enum) ? (schema.enum as unknown[]) : null;
  if (!('const' in schema)) return listed;
  const constant = canonicalOf(schema.const);
  return listed?.every((value) => canonicalOf(value) !== constant) ? [] : [schema.const];
}

/** Types of the values of a schema. A number includes integers. */
function typesOf(schema: Members): string[] {
  const { type } = schema;
  const values = valuesOf(schema);
  const named = type === undefined ? null : new Set([type].flat().map(String));
  if (named?.has('number')) named.add('integer');
  const found = values && new Set(values.map(typeOf));
  return allTypes.filter((each) => (named?.has(each) ?? true) && (found?.has(each) ?? true));
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

const numberIn = (value: unknown) => (typeof value === 'number' ? value : undefined);

function bounds(own: Members, other: Members, least: string, most: string, fail: Fail): boolean {
  const [low, high] = [numberIn(own[least]), numberIn(own[most])];
  const [otherLow, otherHigh] = [numberIn(other[least]), numberIn(other[most])];
  const isLow = low === undefined || low <= 0 || (otherLow !== undefined && otherLow >= low);
  const isHigh = high === undefined || (otherHigh !== undefined && otherHigh <= high);
  if (!isLow) fail('BOUND_NARROWED', `${least} is ${low}, and ${otherLow ?? 'absent'} in the writer`);
  if (!isHigh) fail('BOUND_NARROWED', `${most} is ${high}, and ${otherHigh ?? 'absent'} in the writer`);
  return isLow && isHigh;
}

function numbers(own: Members, other: Members, types: readonly string[], fail: Fail): boolean {
  let ok = true;
  const values = valuesOf(other)?.filter((value) => typeof value === 'number');
  for (const [sign, inclusive, exclusive] of [
    [1, 'minimum', 'exclusiveMinimum'],
    [-1, 'maximum', 'exclusiveMaximum'],
  ] as const) {
    const [closed, open] = [numberIn(own[inclusive]), numberIn(own[exclusive])];
    const [otherClosed, otherOpen] = [numberIn(other[inclusive]), numberIn(other[exclusive])];
    const within = (bound: number, isOpen: boolean) => {
      const reached = (value: number | undefined, excludes: boolean) =>
        value !== undefined &&
        (isOpen && !excludes ? sign * value > sign * bound : sign * value >= sign * bound);
      return values
        ? values.every((value) => reached(value, false))
        : reached(otherClosed, false) || reached(otherOpen, true);
    };
    if ((closed === undefined || within(closed, false)) && (open === undefined || within(open, true)))
      continue;
    fail('BOUND_NARROWED', `${closed === undefined ? exclusive : inclusive} is stricter in the reader`);
    ok = false;
  }
  const step = numberIn(own.multipleOf);
  if (step === undefined) return ok;
  const otherStep = numberIn(other.multipleOf) ?? (types.includes('number') ? undefined : 1);
  if (otherStep !== undefined && Number.isInteger(otherStep / step)) return ok;
  fail('MULTIPLE_OF_NARROWED', `the reader requires multiples of ${step}`);
  return false;
}

function strings(own: Members, other: Members, fail: Fail): boolean {
  let ok = bounds(own, other, 'minLength', 'maxLength', fail);
  if (own.pattern !== undefined && own.pattern !== other.pattern) {
    fail('PATTERN_CHANGED', 'the reader has another pattern');
    ok = false;
  }
  return ok;
}

/** Schemas of the first items, and of the rest. */
function itemsOf(schema: Members): { first: (Members | boolean)[]; rest: Members | boolean } {
  if (Array.isArray(schema.prefixItems))
    return { first: listOf(schema.prefixItems), rest: schemaOf(schema.items) };
  if (Array.isArray(schema.items))
    return { first: listOf(schema.items), rest: schemaOf(schema.additionalItems) };
  return { first: [], rest: schemaOf(schema.items) };
}

/** Keywords whose meanings depend on one another, so those of two schemas cannot be mixed. */
const groups = [['items', 'prefixItems', 'additionalItems'], [...exact]];

/** Keywords of two schemas that both apply. */
function merge(one: Members, other: Members): Members {
  const merged: Members = { ...one };
  const left = groups.filter((group) => group.some((keyword) => one[keyword] !== undefined)).flat();
  for (const [keyword, value] of Object.entries(other)) {
    if (left.includes(keyword)) continue;
    const before = merged[keyword];
    if (before === undefined) merged[keyword] = value;
    else if (keyword === 'required') merged[keyword] = [...new Set([...listOf(before), ...listOf(value)])];
    else if (keyword === 'properties' || keyword === 'patternProperties')
      merged[keyword] = mergedProperties(before as Members, value as Members);
    else if (keyword === 'type') {
      const both = typesOf({ type: before }).filter((type) => typesOf({ type: value }).includes(type));
      merged[keyword] = both;
    } else if (keyword === 'additionalProperties' && value === false) merged[keyword] = false;
    else if (typeof before !== 'number' || typeof value !== 'number') continue;
    else if (/^(?:exclusiveM|m)in/.test(keyword)) merged[keyword] = Math.max(before, value);
    else if (/^(?:exclusiveM|m)ax/.test(keyword)) merged[keyword] = Math.min(before, value);
  }
  return merged;
}

function mergedProperties(one: Members, other: Members): Members {
  const merged = { ...one };
  for (const [name, schema] of Object.entries(other))
    merged[name] = Object.hasOwn(merged, name) ? { allOf: [merged[name], schema] } : schema;
  return merged;
}
