import { createRequire } from 'node:module';
import type protobuf from 'protobufjs';
import type { ParsedFile } from './protobuf.js';
import { deepestSchema, SchemaError } from './schema.js';

/** A FileDescriptorProto (google/protobuf/descriptor.proto), as far as schemas use it. Types of fields are written as in .proto files. */
export interface FileProto {
  package: string;
  syntax: string;
  dependency: string[];
  publicDependency: number[];
  messageType: MessageProto[];
  enumType: EnumProto[];
  service: ServiceProto[];
  /** Options by their names in descriptors, such as `javaPackage`. */
  options?: Record<string, unknown> | undefined;
}

export interface MessageProto {
  name: string;
  field: FieldProto[];
  nestedType: MessageProto[];
  enumType: EnumProto[];
  oneofDecl: { name: string }[];
  reservedRange: { start: number; end: number }[];
  reservedName: string[];
  options?: { mapEntry?: boolean | undefined } | undefined;
}

export interface FieldProto {
  name: string;
  number: number;
  label: 'optional' | 'required' | 'repeated';
  type: string;
  /** Full name of the message or enum, with a dot in front; empty for other types. */
  typeName: string;
  oneofIndex?: number | undefined;
  proto3Optional?: boolean | undefined;
  defaultValue?: string | undefined;
  jsonName?: string | undefined;
  options?: { packed?: boolean | undefined; deprecated?: boolean | undefined } | undefined;
}

/** Maximum number of fields and values in a file. */
export const mostFields = 2000;

interface EnumProto {
  name: string;
  value: { name: string; number: number }[];
  options?: { allowAlias?: boolean | undefined } | undefined;
}

interface ServiceProto {
  name: string;
  method: {
    name: string;
    inputType: string;
    outputType: string;
    clientStreaming?: boolean | undefined;
    serverStreaming?: boolean | undefined;
  }[];
}

/**
 * Scalar types by encoding: a reader decodes the values of any type of the same kind (protobuf.dev, "Updating A Message Type"). Enums are
 * encoded as integers.
 */
export const fieldKinds: Readonly<Record<string, string>> = {
  ...{
    int32: 'integer',
    int64: 'integer',
    uint32: 'integer',
    uint64: 'integer',
    bool: 'integer',
    enum: 'integer',
  },
  ...{ sint32: 'zigzag', sint64: 'zigzag', fixed32: 'fixed32', sfixed32: 'fixed32' },
  ...{
    fixed64: 'fixed64',
    sfixed64: 'fixed64',
    string: 'text',
    bytes: 'text',
    float: 'float',
    double: 'double',
  },
};

export interface ProtoLibrary {
  root(): protobuf.Root;
  /** Adds a .proto file to a root. */
  parse(root: protobuf.Root, text: string, name: string): ParsedFile;
  /** Adds one of Google's files; false if there is no such file. */
  addCommon(root: protobuf.Root, name: string): boolean;
  describe(file: ParsedFile, root: protobuf.Root): FileProto;
  encode(file: FileProto): Uint8Array;
  decode(bytes: Uint8Array): FileProto;
}

type Descriptors = { FileDescriptorProto: protobuf.Type };

const load = createRequire(import.meta.url);

/** Loads protobufjs. */
export async function protoLibrary(): Promise<ProtoLibrary> {
  const { default: library } = await import('protobufjs');
  // The extension is CommonJS, whose exports Node finds only in part.
  const extension = (await import('protobufjs/ext/descriptor.js')) as unknown as { default: Descriptors };
  const { FileDescriptorProto } = extension.default;
  return {
    root: () => new library.Root(),
    parse(root, text, name) {
      const before = new Set(objectsIn(library, root));
      const parser = library.parse(text, root, { keepCase: true });
      const syntax = /^[ \t]*syntax\s*=\s*["'](proto2|proto3)["']/m.exec(text)?.[1] ?? 'proto2';
      if (/^[ \t]*edition\s*=/m.test(text)) throw new SchemaError(`${name}: editions are not supported`);
      const imports = [...(parser.imports ?? []), ...(parser.weakImports ?? [])];
      const isPublic = new Set(
        Array.from(text.matchAll(/\bimport\s+public\s+["']([^"'\n]+)["']/g), ([, one]) => one),
      );
      return {
        package: parser.package ?? '',
        imports,
        publicImports: imports.filter((one) => isPublic.has(one)),
        syntax: syntax as ParsedFile['syntax'],
        objects: objectsIn(library, root).filter((object) => !before.has(object)),
      };
    },
    addCommon(root, name) {
      const file = /^google\/protobuf\/(api|descriptor|source_context|type)\.proto$/.exec(name)?.[1];
      const common = file
        ? (load(`protobufjs/google/protobuf/${file}.json`) as protobuf.INamespace)
        : library.common.get(name);
      if (!common) return false;
      addMissing(library, root, common.nested ?? {});
      return true;
    },
    describe: (file) => describeFile(library, file),
    encode: (file) => FileDescriptorProto.encode(FileDescriptorProto.fromObject(numbered(file))).finish(),
    decode: (bytes) =>
      named(
        FileDescriptorProto.toObject(FileDescriptorProto.decode(bytes), {
          ...{ enums: String, longs: Number, arrays: true, defaults: false },
        }) as RawFile,
      ),
  };
}

/** Adds objects to a namespace. The library's files contain the objects that they import, so some may exist already. */
function addMissing(
  library: typeof protobuf,
  space: protobuf.NamespaceBase,
  nested: NonNullable<protobuf.INamespace['nested']>,
): void {
  for (const [name, json] of Object.entries(nested)) {
    const existing = space.get(name);
    const inner = (json as protobuf.INamespace).nested;
    const isSpace = !('fields' in json) && !('values' in json);
    if (existing instanceof library.Namespace && isSpace && inner) addMissing(library, existing, inner);
    else if (!existing) space.addJSON({ [name]: json });
  }
}

/** Top-level messages, enums and services. */
function objectsIn(library: typeof protobuf, space: protobuf.NamespaceBase): protobuf.ReflectionObject[] {
  return space.nestedArray.flatMap((object) => {
    const isLeaf =
      object instanceof library.Type || object instanceof library.Enum || object instanceof library.Service;
    return !isLeaf && object instanceof library.Namespace ? objectsIn(library, object) : [object];
  });
}

function describeFile(library: typeof protobuf, file: ParsedFile): FileProto {
  const messageType: MessageProto[] = [];
  const enumType: EnumProto[] = [];
  const service: ServiceProto[] = [];
  for (const object of file.objects) {
    if (object instanceof library.Type) messageType.push(describeMessage(library, object));
    else if (object instanceof library.Enum) enumType.push(describeEnum(object));
    else if (object instanceof library.Service) service.push(describeService(object));
  }
  return {
    ...{ package: file.package, syntax: file.syntax, dependency: file.imports },
    publicDependency: file.publicImports.map((name) => file.imports.indexOf(name)),
    ...{ messageType, enumType, service },
  };
}

function describeMessage(library: typeof protobuf, type: protobuf.Type): MessageProto {
  const oneofs = type.oneofsArray.filter((oneof) => !isSynthetic(oneof));
  // Synthetic ones come last, as compilers write them.
  const all = [...oneofs, ...type.oneofsArray.filter(isSynthetic)];
  const nestedType = type.nestedArray.flatMap((nested) =>
    nested instanceof library.Type ? [describeMessage(library, nested)] : [],
  );
  const field = type.fieldsArray.map((each): FieldProto => {
    const isMap = each instanceof library.MapField;
    if (isMap) nestedType.push(mapEntry(library, each));
    const [name, typeName] = typeOf(library, each);
    const { options } = each;
    const packed: unknown = options?.packed;
    const deprecated: unknown = options?.deprecated;
    return {
      ...{ name: each.name, number: each.id, type: isMap ? 'message' : name },
      label: each.required ? 'required' : each.repeated || isMap ? 'repeated' : 'optional',
      typeName: isMap ? `${type.fullName}.${entryName(each.name)}` : typeName,
      oneofIndex: each.partOf ? all.indexOf(each.partOf) : undefined,
      proto3Optional: each.partOf && isSynthetic(each.partOf) ? true : undefined,
      defaultValue: options?.default === undefined ? undefined : String(options.default),
      options: {
        packed: typeof packed === 'boolean' ? packed : undefined,
        deprecated: deprecated === true ? true : undefined,
      },
    };
  });
  const reserved = type.reserved ?? [];
  return {
    ...{ name: type.name, field, nestedType },
    enumType: type.nestedArray.flatMap((nested) =>
      nested instanceof library.Enum ? [describeEnum(nested)] : [],
    ),
    oneofDecl: all.map(({ name }) => ({ name })),
    reservedRange: reserved.flatMap((one) =>
      typeof one === 'string' ? [] : [{ start: one[0]!, end: one[1]! + 1 }],
    ),
    reservedName: reserved.filter((one) => typeof one === 'string'),
  };
}

/** Whether a oneof represents `optional` in proto3. */
const isSynthetic = (oneof: protobuf.OneOf) => oneof.isProto3Optional;

function typeOf(
  library: typeof protobuf,
  field: Pick<protobuf.Field, 'type' | 'resolvedType'>,
): [type: string, typeName: string] {
  const { resolvedType } = field;
  if (resolvedType === null) return [field.type, ''];
  return [resolvedType instanceof library.Enum ? 'enum' : 'message', resolvedType.fullName];
}

const entryName = (name: string) =>
  `${name.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())}Entry`;

function mapEntry(library: typeof protobuf, field: protobuf.MapField): MessageProto {
  const [type, typeName] = typeOf(library, field);
  const part = (name: string, number: number, kind: string, full: string): FieldProto => ({
    ...{ name, number, label: 'optional' as const, type: kind, typeName: full },
  });
  return {
    name: entryName(field.name),
    field: [part('key', 1, field.keyType, ''), part('value', 2, type, typeName)],
    ...{ nestedType: [], enumType: [], oneofDecl: [], reservedRange: [], reservedName: [] },
    options: { mapEntry: true },
  };
}

function describeEnum(type: protobuf.Enum): EnumProto {
  const alias = type.options?.allow_alias === true;
  return {
    name: type.name,
    value: Object.entries(type.values).map(([name, number]) => ({ name, number })),
    options: alias ? { allowAlias: true } : undefined,
  };
}

function describeService(service: protobuf.Service): ServiceProto {
  return {
    name: service.name,
    method: service.methodsArray.map((method) => ({
      name: method.name,
      inputType: method.resolvedRequestType?.fullName ?? method.requestType,
      outputType: method.resolvedResponseType?.fullName ?? method.responseType,
      clientStreaming: method.requestStream === true ? true : undefined,
      serverStreaming: method.responseStream === true ? true : undefined,
    })),
  };
}

/** A descriptor with the library's names of types and labels, all of whose members may be absent. */
type RawFile = Partial<Record<keyof FileProto, unknown>> & { options?: unknown };

/** Changes the names of types and labels, such as `string` to `TYPE_STRING`. */
function numbered(file: FileProto): RawFile {
  const message = (one: MessageProto): object => ({
    ...one,
    nestedType: one.nestedType.map(message),
    field: one.field.map((field) => ({
      ...field,
      type: `TYPE_${field.type.toUpperCase()}`,
      // An empty name makes a descriptor invalid for Google's libraries.
      typeName: field.typeName === '' ? undefined : field.typeName,
      label: `LABEL_${field.label.toUpperCase()}`,
    })),
  });
  const { package: space, messageType, ...rest } = file;
  const syntax = file.syntax === 'proto3' ? 'proto3' : undefined;
  return {
    ...rest,
    messageType: messageType.map(message),
    ...(space === '' ? {} : { package: space }),
    ...(syntax ? { syntax } : { syntax: undefined }),
  };
}

function named(raw: RawFile): FileProto {
  const plain = (text: unknown, prefix: string) => String(text).replace(prefix, '').toLowerCase();
  let fields = 0;
  const message = (one: MessageProto, depth: number): MessageProto => {
    fields += one.field.length + one.oneofDecl.length;
    if (fields > mostFields) throw new SchemaError(`expected at most ${mostFields} fields in a file`);
    if (depth > deepestSchema) throw new SchemaError(`expected at most ${deepestSchema} levels of nesting`);
    return {
      ...{ name: one.name, oneofDecl: one.oneofDecl, options: one.options },
      nestedType: one.nestedType.map((nested) => message(nested, depth + 1)),
      ...{ enumType: one.enumType, reservedRange: one.reservedRange, reservedName: one.reservedName },
      field: one.field.map((field) => ({
        ...field,
        typeName: field.typeName ?? '',
        type: plain(field.type, 'TYPE_'),
        label: plain(field.label, 'LABEL_') as FieldProto['label'],
      })),
    };
  };
  const file = raw as Partial<FileProto>;
  const messages = file.messageType ?? [];
  if (messages.length === 0 && (file.enumType ?? []).length === 0)
    throw new SchemaError('expected a .proto file, or a FileDescriptorProto in base64');
  return {
    ...{ package: file.package ?? '', syntax: file.syntax ?? 'proto2', dependency: file.dependency ?? [] },
    ...{
      publicDependency: file.publicDependency ?? [],
      enumType: file.enumType ?? [],
      service: file.service ?? [],
    },
    messageType: messages.map((one) => message(one, 0)),
    options: file.options,
  };
}

/** Prints a .proto file. */
export function printProto(file: FileProto): string {
  const blocks = [
    `syntax = "${file.syntax}";`,
    ...(file.package === '' ? [] : [`package ${file.package};`]),
    ...file.dependency.map(
      (name, i) => `import ${file.publicDependency.includes(i) ? 'public ' : ''}${quote(name)};`,
    ),
    ...printOptions(file.options ?? {}),
    ...file.messageType.map((message) => printMessage(message, file.syntax).join('\n')),
    ...file.enumType.map((each) => printEnum(each).join('\n')),
    ...file.service.map((each) => printService(each).join('\n')),
  ];
  return `${blocks.join('\n\n')}\n`;
}

/** Options of a file. Enums are printed by name; uninterpreted options are left out. */
function printOptions(options: Record<string, unknown>): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const shown = name === 'optimizeFor' ? String(value) : JSON.stringify(value);
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return typeof value === 'object' ? [] : [`option ${snake} = ${shown};`];
  });
}

/** The JSON name that a field has by default. */
const jsonNameOf = (name: string) => name.replace(/_+(.?)/g, (_, letter: string) => letter.toUpperCase());

const quote = (text: string) => JSON.stringify(text);
const indent = (lines: readonly string[]) => lines.map((line) => `  ${line}`);

/** The fields of each oneof, by its index. A synthetic oneof has none. */
export function branchesOf({ field }: MessageProto): Map<number, FieldProto[]> {
  const found = new Map<number, FieldProto[]>();
  for (const each of field) {
    if (each.oneofIndex === undefined || each.proto3Optional) continue;
    const fields = found.get(each.oneofIndex) ?? [];
    found.set(each.oneofIndex, fields);
    fields.push(each);
  }
  return found;
}

function printMessage(message: MessageProto, syntax: string): string[] {
  const entries = new Map(
    message.nestedType.flatMap((nested) =>
      nested.options?.mapEntry ? [[nested.name, nested] as const] : [],
    ),
  );
  const line = (field: FieldProto) => printField(field, entries, syntax);
  const alone = message.field.filter((field) => field.oneofIndex === undefined || field.proto3Optional);
  const branches = branchesOf(message);
  const oneofs = message.oneofDecl.flatMap((oneof, index) => {
    const fields = branches.get(index) ?? [];
    return fields.length === 0 ? [] : [`oneof ${oneof.name} {`, ...indent(fields.map(line)), '}'];
  });
  const ranges = message.reservedRange.map(({ start, end }) =>
    end === start + 1 ? `${start}` : `${start} to ${end - 1}`,
  );
  return [
    `message ${message.name} {`,
    ...indent([
      ...(ranges.length === 0 ? [] : [`reserved ${ranges.join(', ')};`]),
      ...(message.reservedName.length === 0
        ? []
        : [`reserved ${message.reservedName.map(quote).join(', ')};`]),
      ...alone.map(line),
      ...oneofs,
      ...message.nestedType
        .filter((nested) => !entries.has(nested.name))
        .flatMap((nested) => printMessage(nested, syntax)),
      ...message.enumType.flatMap(printEnum),
    ]),
    '}',
  ];
}

function printField(field: FieldProto, entries: ReadonlyMap<string, MessageProto>, syntax: string): string {
  const { name, number, label, options } = field;
  const entry = field.type === 'message' ? entries.get(field.typeName.split('.').at(-1) ?? '') : undefined;
  const type = ({ typeName, type: scalar }: FieldProto) => (typeName === '' ? scalar : typeName);
  const isInOneof = field.oneofIndex !== undefined && !field.proto3Optional;
  const prefix =
    isInOneof || entry || (label === 'optional' && syntax === 'proto3' && !field.proto3Optional)
      ? ''
      : `${label} `;
  const [key, value] = entry?.field ?? [];
  const shown = key && value ? `map<${key.type}, ${type(value)}>` : type(field);
  const isText = field.type === 'string' || field.type === 'bytes';
  const settings = [
    ...(field.defaultValue === undefined || field.defaultValue === ''
      ? []
      : [`default = ${isText ? quote(field.defaultValue) : field.defaultValue}`]),
    ...(field.jsonName === undefined || field.jsonName === jsonNameOf(name)
      ? []
      : [`json_name = ${quote(field.jsonName)}`]),
    ...(options?.packed === undefined ? [] : [`packed = ${options.packed}`]),
    ...(options?.deprecated ? ['deprecated = true'] : []),
  ];
  return `${prefix}${shown} ${name} = ${number}${settings.length === 0 ? '' : ` [${settings.join(', ')}]`};`;
}

function printEnum({ name, value, options }: EnumProto): string[] {
  return [
    `enum ${name} {`,
    ...indent([
      ...(options?.allowAlias ? ['option allow_alias = true;'] : []),
      ...value.map((each) => `${each.name} = ${each.number ?? 0};`),
    ]),
    '}',
  ];
}

function printService({ name, method }: ServiceProto): string[] {
  const methods = method.map(({ name: own, inputType, outputType, clientStreaming, serverStreaming }) => {
    const stream = (is: boolean | undefined) => (is ? 'stream ' : '');
    return `rpc ${own} (${stream(clientStreaming)}${inputType}) returns (${stream(serverStreaming)}${outputType});`;
  });
  return [`service ${name} {`, ...indent(methods), '}'];
}
