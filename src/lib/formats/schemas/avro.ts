import {
  canonicalText,
  Pairs,
  type ParsedSchema,
  Problems,
  parseJson,
  SchemaError,
  type SchemaSource,
  Steps,
  weighed,
} from './schema.js';

const primitives = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'];
type Primitive = { kind: 'primitive'; name: string };
type Named = { name: string; aliases: string[] };
interface Field {
  name: string;
  aliases: string[];
  type: Type;
  hasDefault: boolean;
}
type RecordType = Named & { kind: 'record'; fields: Field[] };
type EnumType = Named & { kind: 'enum'; symbols: Set<string>; hasDefault: boolean };
type FixedType = Named & { kind: 'fixed'; size: number };
type Type =
  | Primitive
  | RecordType
  | EnumType
  | FixedType
  | { kind: 'array'; items: Type }
  | { kind: 'map'; values: Type }
  | { kind: 'union'; branches: Type[] };

class AvroSchema implements ParsedSchema {
  readonly type = 'AVRO';

  constructor(
    readonly text: string,
    readonly canonical: string,
    readonly root: Type,
  ) {}

  problemsReading(writer: ParsedSchema, steps: Steps): string[] {
    const problems = new Problems();
    if (writer instanceof AvroSchema) new Resolution(steps).resolve(this.root, writer.root, '', problems);
    return problems.list;
  }
}

/** Parses an Avro schema (specification 1.11). The references' named types are known to it. @throws SchemaError */
export function parseAvro({ text, references }: SchemaSource): ParsedSchema {
  const parser = new Parser();
  for (const reference of references) parser.type(parseJson(reference.text), '', reference.name);
  // A bare name of a primitive type is a schema too, with or without quotation marks.
  const json = primitives.includes(text.trim()) ? JSON.stringify(text.trim()) : text;
  const root = parser.type(parseJson(json), '', '');
  parser.checkDefaults();
  return new AvroSchema(json, canonicalText(json), root);
}

const nameForm = /^[A-Za-z_][A-Za-z0-9_]*$/;
const fullNameForm = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$/;

type Members = Record<string, unknown>;

class Parser {
  private readonly named = new Map<string, Type>();
  private readonly defaults: { type: Type; value: unknown; path: string }[] = [];

  type(value: unknown, namespace: string, path: string): Type {
    if (typeof value === 'string') return this.byName(value, namespace, path);
    if (Array.isArray(value)) return this.union(value, namespace, path);
    if (value === null || typeof value !== 'object') throw at(path, 'expected a type');
    const schema = value as Members;
    switch (schema.type) {
      case 'record':
      case 'error':
        return this.record(schema, namespace, path);
      case 'enum':
        return this.enumeration(schema, namespace, path);
      case 'fixed': {
        const size = schema.size;
        if (!Number.isSafeInteger(size) || (size as number) < 0) throw at(path, 'size: expected an integer');
        const fixed: FixedType = {
          ...this.nameOf(schema, namespace, path),
          kind: 'fixed',
          size: size as number,
        };
        this.define(fixed, path);
        return fixed;
      }
      case 'array':
        return { kind: 'array', items: this.type(schema.items, namespace, `${path}/items`) };
      case 'map':
        return { kind: 'map', values: this.type(schema.values, namespace, `${path}/values`) };
      default:
        // {"type": "long", "logicalType": …}, or a nested type.
        return this.type(schema.type, namespace, `${path}/type`);
    }
  }

  /** Checks defaults once all types are complete, because a type may contain itself. @throws SchemaError */
  checkDefaults(): void {
    const steps = new Steps();
    for (const { type, value, path } of this.defaults)
      if (!fits(type, value, steps)) throw at(path, `the default does not fit the type: ${show(value)}`);
  }

  private byName(name: string, namespace: string, path: string): Type {
    if (primitives.includes(name)) return { kind: 'primitive', name };
    const type = this.named.get(fullName(name, namespace)) ?? this.named.get(name);
    if (type) return type;
    throw at(path, `unknown type ${show(name)}`);
  }

  private union(value: readonly unknown[], namespace: string, path: string): Type {
    const branches = value.map((branch, i) => this.type(branch, namespace, `${path}/${i}`));
    const seen = new Set<string>();
    for (const branch of branches) {
      const key = 'name' in branch ? branch.name : branch.kind;
      if (branch.kind === 'union') throw at(path, 'a union cannot contain another union directly');
      if (seen.has(key)) throw at(path, `the union contains ${key} twice`);
      seen.add(key);
    }
    return { kind: 'union', branches };
  }

  private record(schema: Members, namespace: string, path: string): Type {
    const { name, aliases } = this.nameOf(schema, namespace, path);
    const record: RecordType = { kind: 'record', name, aliases, fields: [] };
    this.define(record, path);
    const fields = schema.fields;
    if (!Array.isArray(fields)) throw at(path, 'fields: expected a list');
    const inner = name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : '';
    const seen = new Set<string>();
    for (const field of fields as unknown[]) {
      const members = (field ?? {}) as Members;
      const own = members.name;
      if (typeof own !== 'string' || !nameForm.test(own)) throw at(path, `invalid field name ${show(own)}`);
      if (seen.has(own)) throw at(path, `the field ${own} exists twice`);
      seen.add(own);
      const place = `${path}/${own}`;
      const type = this.type(members.type, inner, place);
      const hasDefault = 'default' in members;
      if (hasDefault) this.defaults.push({ type, value: members.default, path: place });
      record.fields.push({ name: own, aliases: texts(members.aliases, place), type, hasDefault });
    }
    return record;
  }

  private enumeration(schema: Members, namespace: string, path: string): Type {
    const named = this.nameOf(schema, namespace, path);
    const symbols = texts(schema.symbols, `${path}/symbols`);
    const unique = new Set(symbols);
    if (!Array.isArray(schema.symbols) || unique.size !== symbols.length)
      throw at(path, 'symbols: expected a list of different names');
    const wrong = symbols.find((symbol) => !nameForm.test(symbol));
    if (wrong !== undefined) throw at(path, `invalid symbol ${show(wrong)}`);
    const hasDefault = 'default' in schema;
    if (hasDefault && !unique.has(schema.default as string))
      throw at(path, 'the default is not one of the symbols');
    const type: EnumType = { ...named, kind: 'enum', symbols: unique, hasDefault };
    this.define(type, path);
    return type;
  }

  private nameOf(schema: Members, namespace: string, path: string): Named {
    const {
      name,
      namespace: own,
      aliases,
    } = schema as { name: unknown; namespace: unknown; aliases: unknown };
    if (typeof name !== 'string' || !fullNameForm.test(name)) throw at(path, `invalid name ${show(name)}`);
    if (
      own !== undefined &&
      own !== null &&
      (typeof own !== 'string' || (own !== '' && !fullNameForm.test(own)))
    )
      throw at(path, `invalid namespace ${show(own)}`);
    const full = fullName(name, typeof own === 'string' ? own : namespace);
    const inner = full.includes('.') ? full.slice(0, full.lastIndexOf('.')) : '';
    return { name: full, aliases: texts(aliases, path).map((alias) => fullName(alias, inner)) };
  }

  private define(type: RecordType | EnumType | FixedType, path: string): void {
    if (this.named.has(type.name) || primitives.includes(type.name))
      throw at(path, `the type ${type.name} is defined twice`);
    this.named.set(type.name, type);
  }
}

const fullName = (name: string, namespace: string) =>
  name.includes('.') || namespace === '' ? name : `${namespace}.${name}`;

function texts(value: unknown, path: string): string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value as string[];
  throw at(path, 'expected a list of names');
}

const show = (value: unknown) => String(JSON.stringify(value)).slice(0, 80);
const at = (path: string, reason: string) => new SchemaError(`${path || '/'}: ${reason}`);

/** Whether a default in JSON fits a type. Since Avro 1.12, it may belong to any branch of a union. */
function fits(type: Type, value: unknown, steps: Steps): boolean {
  steps.take();
  switch (type.kind) {
    case 'primitive':
      return fitsPrimitive(type.name, value);
    case 'fixed':
      return typeof value === 'string' && value.length === type.size;
    case 'enum':
      return typeof value === 'string' && type.symbols.has(value);
    case 'array':
      return Array.isArray(value) && value.every((item) => fits(type.items, item, steps));
    case 'map':
      return isObject(value) && Object.values(value).every((item) => fits(type.values, item, steps));
    case 'union':
      return type.branches.some((branch) => fits(branch, value, steps));
    case 'record':
      return (
        isObject(value) &&
        type.fields.every((field) =>
          field.name in value ? fits(field.type, value[field.name], steps) : field.hasDefault,
        )
      );
  }
}

const isObject = (value: unknown): value is Members =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

function fitsPrimitive(name: string, value: unknown): boolean {
  switch (name) {
    case 'null':
      return value === null;
    case 'boolean':
      return typeof value === 'boolean';
    case 'int':
      return Number.isInteger(value) && Math.abs((value as number) + 0.5) < 2 ** 31;
    case 'long':
      return Number.isInteger(value);
    case 'float':
    case 'double':
      return typeof value === 'number' || value === 'NaN' || value === 'Infinity' || value === '-Infinity';
    default:
      return typeof value === 'string';
  }
}

/** Writer's type → types that read it besides itself. Specification 1.11, "Schema Resolution". */
const promotions: Readonly<Record<string, readonly string[]>> = {
  int: ['long', 'float', 'double'],
  long: ['float', 'double'],
  float: ['double'],
  string: ['bytes'],
  bytes: ['string'],
};

/** Resolves writers' schemas with readers' schemas. */
class Resolution {
  private readonly pairs: Pairs<Type>;

  constructor(private readonly steps: Steps) {
    this.pairs = new Pairs(steps);
  }

  /** Whether `reader` reads all data of `writer`; otherwise adds the reasons. */
  resolve(reader: Type, writer: Type, path: string, problems: Problems): boolean {
    return this.pairs.compare(reader, writer, () => this.compare(reader, writer, path, problems));
  }

  private compare(reader: Type, writer: Type, path: string, problems: Problems): boolean {
    if (writer.kind === 'union')
      return every(writer.branches, (branch, i) => this.resolve(reader, branch, `${path}/${i}`, problems));
    if (reader.kind === 'union') {
      const fitting = reader.branches.some((branch) => this.resolve(branch, writer, path, new Problems()));
      if (!fitting)
        problems.add('MISSING_UNION_BRANCH', path, `the reader's union has no branch for ${label(writer)}`);
      return fitting;
    }
    if (reader.kind === 'primitive' && writer.kind === 'primitive') {
      if (reader.name === writer.name || promotions[writer.name]?.includes(reader.name)) return true;
      return mismatch(reader, writer, path, problems);
    }
    if (reader.kind === 'array' && writer.kind === 'array')
      return this.resolve(reader.items, writer.items, `${path}/items`, problems);
    if (reader.kind === 'map' && writer.kind === 'map')
      return this.resolve(reader.values, writer.values, `${path}/values`, problems);
    if (reader.kind === 'record' && writer.kind === 'record')
      return this.records(reader, writer, path, problems);
    if (reader.kind === 'enum' && writer.kind === 'enum') {
      this.steps.take(weighed(writer.symbols.size));
      return enums(reader, writer, path, problems);
    }
    if (reader.kind === 'fixed' && writer.kind === 'fixed') {
      if (!sameName(reader, writer, path, problems)) return false;
      if (reader.size === writer.size) return true;
      problems.add('FIXED_SIZE_MISMATCH', path, `expected the size ${reader.size}, got ${writer.size}`);
      return false;
    }
    return mismatch(reader, writer, path, problems);
  }

  private records(reader: RecordType, writer: RecordType, path: string, problems: Problems): boolean {
    if (!sameName(reader, writer, path, problems)) return false;
    this.steps.take(weighed(reader.fields.length + writer.fields.length));
    const written = new Map(writer.fields.map((field) => [field.name, field]));
    return every(reader.fields, (field) => {
      const names = [field.name, ...field.aliases];
      const found = names.map((name) => written.get(name)).find((one) => one !== undefined);
      const place = `${path}/${field.name}`;
      if (found) return this.resolve(field.type, found.type, place, problems);
      if (field.hasDefault) return true;
      problems.add(
        'READER_FIELD_MISSING_DEFAULT_VALUE',
        place,
        `the reader's field ${field.name} has no default, and the writer does not have the field`,
      );
      return false;
    });
  }
}

/** Same as `Array.every`, but all items are visited. */
function every<T>(items: readonly T[], test: (item: T, index: number) => boolean): boolean {
  return items.map(test).every(Boolean);
}

function enums(reader: EnumType, writer: EnumType, path: string, problems: Problems): boolean {
  if (!sameName(reader, writer, path, problems)) return false;
  const missing = [...writer.symbols].filter((symbol) => !reader.symbols.has(symbol));
  if (missing.length === 0 || reader.hasDefault) return true;
  problems.add(
    'MISSING_ENUM_SYMBOLS',
    path,
    `the reader lacks ${missing.slice(0, 5).join(', ')} and has no default`,
  );
  return false;
}

/** Names match without their namespaces, as in the specification; aliases are full names. */
function sameName(reader: Named, writer: Named, path: string, problems: Problems): boolean {
  const short = (name: string) => name.slice(name.lastIndexOf('.') + 1);
  if (short(reader.name) === short(writer.name) || reader.aliases.includes(writer.name)) return true;
  problems.add('NAME_MISMATCH', path, `expected the name ${reader.name}, got ${writer.name}`);
  return false;
}

const label = (type: Type) => ('name' in type ? type.name : type.kind);

function mismatch(reader: Type, writer: Type, path: string, problems: Problems): boolean {
  problems.add('TYPE_MISMATCH', path, `the reader's ${label(reader)} cannot read ${label(writer)}`);
  return false;
}
