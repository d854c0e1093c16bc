import type protobuf from 'protobufjs';
import { AiotError } from '../../core/errors.js';
import { requireFile } from '../../core/files.js';
import { type DecoderOptions, plain, undecoded } from './values.js';

/** Options of `toObject`: unset fields get their default values, and enums become names. `plain` converts 64-bit numbers and bytes. */
const asObject = { defaults: true, enums: String, oneofs: false } as const;

/**
 * Protobuf with a .proto file, which may import other files in the same folder.
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function protobufDecoder(options: DecoderOptions): Promise<(bytes: Buffer) => unknown> {
  const { schema } = options;
  if (schema === undefined) throw new AiotError('AIOT_USAGE', '--decode protobuf needs --schema FILE.proto');
  await requireFile(schema);
  const { default: library } = await import('protobufjs');
  const type = chosen(library, await load(library, schema), schema, options.type);
  return (bytes) => {
    try {
      return plain(type.toObject(type.decode(bytes), asObject));
    } catch (error) {
      throw undecoded(
        `a ${type.fullName.slice(1)}`,
        error instanceof Error ? error.message : String(error),
        error,
      );
    }
  };
}

async function load(library: typeof protobuf, schema: string): Promise<protobuf.Root> {
  try {
    return await new library.Root().load(schema, { keepCase: true });
  } catch (error) {
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${schema}: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}

function chosen(
  library: typeof protobuf,
  root: protobuf.Root,
  schema: string,
  wanted: string | undefined,
): protobuf.Type {
  root.resolveAll();
  const types = typesIn(library, root);
  const names = types.map(({ fullName }) => fullName.slice(1));
  const found = wanted === undefined ? types : types.filter((_, index) => matches(names[index]!, wanted));
  if (found.length === 1) return found[0]!;
  const got = wanted === undefined ? `${types.length} message types` : `no type ${wanted}`;
  throw new AiotError('AIOT_USAGE', `${schema}: expected one message type, got ${got}`, {
    next:
      names.length === 0
        ? 'Use a .proto file that defines message types.'
        : `--message-type ${names.join(' or ')}`,
  });
}

function matches(name: string, wanted: string): boolean {
  return name === wanted || name.endsWith(`.${wanted}`);
}

/** The schema's top-level message types, without Google's well-known types. A nested type must be given by name. */
function typesIn(library: typeof protobuf, space: protobuf.NamespaceBase): protobuf.Type[] {
  return space.nestedArray.flatMap((entry) => {
    if (entry instanceof library.Type) return [entry];
    if (!(entry instanceof library.Namespace) || entry.fullName === '.google') return [];
    return typesIn(library, entry);
  });
}
