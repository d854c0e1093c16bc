import { extname } from 'node:path';
import { Flags } from '@oclif/core';
import type { SchemaBody, SchemaReference } from '../../api/schemas.js';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { largestSchema, type SchemaType } from '../../formats/schemas/schema.js';

const formats = ['avro', 'protobuf', 'json'] as const;
type Format = (typeof formats)[number];

const byName: Readonly<Record<string, Format>> = { '.avsc': 'avro', '.proto': 'protobuf', '.json': 'json' };

/** A reference as a flag. Names of references and subjects may contain `=` and `:`, versions do not. */
const reference = Flags.custom<SchemaReference>({
  parse: async (text) => {
    const [, name, subject, version] = /^([^=]+)=(.+):(\d{1,9})$/.exec(text) ?? [];
    if (name !== undefined && subject !== undefined) return { name, subject, version: Number(version) };
    throw new AiotError('AIOT_USAGE', `expected NAME=SUBJECT:VERSION, got "${text}"`);
  },
  helpValue: 'NAME=SUBJECT:VERSION',
});

/** Flags of commands that read a schema from a file. */
export const schemaFileFlags = {
  type: Flags.option({
    summary: "Format of the schema [default: by the file's name].",
    options: formats,
    env: 'AIOT_TYPE',
  })(),
  reference: reference({
    summary: 'Registered schema that this one imports, by the name in the import. Repeatable.',
    env: 'AIOT_REFERENCE',
    multiple: true,
    multipleNonGreedy: true,
  }),
};

/** Reads a schema. @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_SCHEMA_INVALID */
export async function readSchema(
  file: string,
  {
    type,
    reference: references = [],
  }: { type?: Format | undefined; reference?: SchemaReference[] | undefined },
): Promise<SchemaBody> {
  const format = type ?? byName[extname(file).toLowerCase()];
  if (format === undefined)
    throw new AiotError('AIOT_USAGE', `the name of ${file} does not show the schema's format`, {
      next: 'Add --type avro, --type protobuf or --type json.',
    });
  const schema = await readText(file);
  // The platform would report the size of the request, but not that of the schema.
  if (schema.length > largestSchema)
    throw new AiotError(
      'AIOT_SCHEMA_INVALID',
      `${file} has ${schema.length} characters; a schema has at most ${largestSchema}`,
    );
  return { schema, schemaType: format.toUpperCase() as SchemaType, references };
}
