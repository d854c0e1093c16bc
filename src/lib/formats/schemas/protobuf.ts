import type protobuf from 'protobufjs';
import {
  branchesOf,
  type FileProto,
  fieldKinds,
  type MessageProto,
  mostFields,
  type ProtoLibrary,
  printProto,
  protoLibrary,
} from './proto-file.js';
import { Pairs, type ParsedSchema, Problems, SchemaError, type SchemaSource, type Steps } from './schema.js';

class ProtobufSchema implements ParsedSchema {
  readonly type = 'PROTOBUF';
  /** Messages of the file and of its references, by full name. */
  readonly messages = new Map<string, MessageProto>();
  private readonly own = new Set<string>();

  constructor(
    readonly text: string,
    readonly canonical: string,
    /** A FileDescriptorProto, which clients for Python use in place of the text. */
    readonly descriptor: Uint8Array,
    file: FileProto,
    references: readonly FileProto[],
  ) {
    const add = (message: MessageProto, parent: string) => {
      const name = `${parent}.${message.name}`;
      this.messages.set(name, message);
      for (const nested of message.nestedType) add(nested, name);
    };
    for (const each of [file, ...references]) {
      for (const message of each.messageType) add(message, each.package === '' ? '' : `.${each.package}`);
      if (each === file) for (const name of this.messages.keys()) this.own.add(name);
    }
  }

  problemsReading(writer: ParsedSchema, steps: Steps): string[] {
    const problems = new Problems();
    if (!(writer instanceof ProtobufSchema)) return [];
    const pairs = new Pairs<MessageProto>(steps);
    for (const [name, message] of writer.messages) {
      if (message.options?.mapEntry) continue;
      const own = this.messages.get(name);
      if (own)
        pairs.compare(own, message, () =>
          compareMessages(own, message, { path: name.slice(1), problems, steps, reader: this, writer }),
        );
      // Fields with a removed message of a reference have another type, too.
      else if (writer.own.has(name))
        problems.add('MESSAGE_REMOVED', name.slice(1), 'the reader does not have this message');
    }
    return problems.list;
  }
}

/** The text of a schema as a base64 FileDescriptorProto; null if it is not a Protobuf schema. */
export function descriptorOf(schema: ParsedSchema): string | null {
  return schema instanceof ProtobufSchema ? Buffer.from(schema.descriptor).toString('base64') : null;
}

/** Returns a parser of .proto files (proto2 and proto3), as text or as a base64 FileDescriptorProto. */
export async function protobufParser(): Promise<(source: SchemaSource) => ParsedSchema> {
  const library = await protoLibrary();
  return ({ text, references }) => {
    try {
      const readable = textOf(library, text);
      const { root, own, others } = rootOf(library, readable, references);
      const file = library.describe(own, root);
      const referred = others.map((other) => library.describe(other, root));
      return new ProtobufSchema(readable, canonicalOf(readable), library.encode(file), file, referred);
    } catch (error) {
      if (error instanceof SchemaError || error instanceof RangeError) throw error;
      throw new SchemaError((error instanceof Error ? error.message : String(error)).slice(0, 300), {
        cause: error,
      });
    }
  };
}

/** A descriptor is converted to text. */
function textOf(library: ProtoLibrary, text: string): string {
  if (!/^[A-Za-z0-9+/\s]+={0,2}$/.test(text.trimEnd())) return text;
  return printProto(library.decode(Buffer.from(text, 'base64')));
}

/** A parsed .proto file. */
export interface ParsedFile {
  package: string;
  imports: string[];
  publicImports: string[];
  syntax: 'proto2' | 'proto3';
  objects: protobuf.ReflectionObject[];
}

function rootOf(library: ProtoLibrary, text: string, references: SchemaSource['references']) {
  const root = library.root();
  const known = new Map(references.map((reference) => [reference.name, reference.text]));
  const loaded = new Set<string>();
  let squares = 0;
  const others: ParsedFile[] = [];
  const parse = (text: string, name: string) => {
    // The library must see the same tokens that are counted.
    const file = withoutComments(text);
    squares += sizeOf(tokensOf(file)) ** 2;
    if (squares > mostFields ** 2)
      throw new SchemaError(`expected at most ${mostFields} fields, values and reserved numbers in a file`);
    return library.parse(root, file, name);
  };
  const load = (name: string) => {
    if (loaded.has(name)) return;
    loaded.add(name);
    const other = known.get(name);
    if (other === undefined) {
      if (!library.addCommon(root, name))
        throw new SchemaError(`the import ${name} is not one of the references`);
      return;
    }
    const file = parse(textOf(library, other), name);
    others.push(file);
    for (const each of file.imports) load(each);
  };
  const own = parse(text, 'schema.proto');
  for (const name of own.imports) load(name);
  root.resolveAll();
  return { root, own, others };
}

const parts = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"[^"\\]*(?:\\[\s\S][^"\\]*)*"|'[^'\\]*(?:\\[\s\S][^'\\]*)*'/g;

/** A .proto file without comments, with the same lines. */
function withoutComments(text: string): string {
  return text.replace(parts, (part) => (part.startsWith('/') ? ` ${part.replace(/[^\n]/g, '')}` : part));
}

/** Texts, words and signs. */
const tokensOf = (text: string): string[] =>
  text.match(/"[^"\\]*(?:\\[\s\S][^"\\]*)*"|'[^'\\]*(?:\\[\s\S][^'\\]*)*'|[\w.]+|[^\s]/g) ?? [];

/**
 * Fields and values, each of which has an equals sign, and reserved numbers and names. The library's time grows with the square of their
 * number.
 */
function sizeOf(tokens: readonly string[]): number {
  let size = 0;
  let isList = false;
  for (const token of tokens) {
    if (token === '=') size++;
    else if (token === 'reserved' || token === 'extensions') isList = true;
    else if (token === ';') isList = false;
    else if (token === ',' && isList) size++;
  }
  return size;
}

/** The text without comments and layout. All else may matter to programs, such as options. */
const canonicalOf = (text: string) => JSON.stringify(tokensOf(withoutComments(text)));

interface Context {
  path: string;
  problems: Problems;
  steps: Steps;
  reader: ProtobufSchema;
  writer: ProtobufSchema;
}

/** Whether the reader's message decodes all messages of the writer without losing or misreading a field that both have. */
function compareMessages(own: MessageProto, other: MessageProto, context: Context): boolean {
  const { path, problems, steps } = context;
  const fail = (code: string, name: string, reason: string) => {
    problems.add(code, `${path}.${name}`, reason);
    ok = false;
  };
  let ok = true;
  const written = new Map(other.field.map((field) => [field.number, field]));
  const ownNumbers = new Map(own.field.map((field) => [field.number, field]));
  for (const field of own.field) {
    steps.take();
    const found = written.get(field.number);
    if (field.label === 'required' && found?.label !== 'required')
      fail('REQUIRED_FIELD_ADDED', field.name, 'the reader requires the field, which the writer may omit');
    if (!found) continue;
    const [kind, otherKind] = [kindOf(field, context.reader), kindOf(found, context.writer)];
    if (kind !== otherKind)
      fail(
        'FIELD_KIND_CHANGED',
        field.name,
        `the number ${field.number} is ${describe(field.typeName, field.type)}, and ${describe(found.typeName, found.type)} in the writer`,
      );
    else if (
      (field.label === 'repeated') !== (found.label === 'repeated') &&
      !labelMayChange.has(kind.split(' ')[0] ?? '')
    )
      fail(
        'FIELD_LABEL_CHANGED',
        field.name,
        `the number ${field.number} is repeated in only one of the schemas`,
      );
  }
  const [branches, otherBranches] = [branchesOf(own), branchesOf(other)];
  other.oneofDecl.forEach((oneof, index) => {
    const fields = otherBranches.get(index) ?? [];
    for (const field of fields)
      if (!ownNumbers.has(field.number))
        fail(
          'ONEOF_FIELD_REMOVED',
          `${oneof.name}.${field.name}`,
          'the reader cannot tell that this field was set',
        );
  });
  own.oneofDecl.forEach((oneof, index) => {
    const fields = branches.get(index) ?? [];
    const before = fields.flatMap((field) => written.get(field.number) ?? []);
    const groups = new Set(
      before.map((field) => (field.proto3Optional ? undefined : field.oneofIndex) ?? `field ${field.number}`),
    );
    if (groups.size > 1)
      fail(
        'FIELDS_MOVED_TO_ONEOF',
        oneof.name,
        'the writer may set several fields of this oneof, of which the reader keeps one',
      );
  });
  return ok;
}

/** Kinds whose fields may become repeated or singular: the last element counts. Numbers may be packed, so they are not among them. */
const labelMayChange = new Set(['text', 'message']);

const describe = (typeName: string, type: string) => (typeName === '' ? type : typeName.slice(1));

/** Fields of the same kind have compatible encodings. Maps and messages are the same if their types are. */
function kindOf(field: MessageProto['field'][number], schema: ProtobufSchema): string {
  if (field.type !== 'message') return fieldKinds[field.type] ?? field.type;
  const entry = schema.messages.get(field.typeName);
  if (!entry?.options?.mapEntry) return `message ${field.typeName}`;
  return `map ${entry.field.map((part) => kindOf(part, schema)).join(' ')}`;
}
