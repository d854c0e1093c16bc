import * as z from 'zod';
import type { ErrorCode } from '../core/catalogue.js';
import { AiotError, hasCode } from '../core/errors.js';
import { parsedJson } from '../core/text.js';
import { type CompatibilityLevel, compatibilityLevels, schemaTypes } from '../formats/schemas/schema.js';
import { queryOf } from './contract/endpoint.js';
import type { Transport } from './transport.js';

/** A schema that another one uses, and the name by which it does. */
export const schemaReferenceSchema = z.object({ name: z.string(), subject: z.string(), version: z.int() });
export type SchemaReference = z.output<typeof schemaReferenceSchema>;

/** A schema to register or check, or one that is registered. Confluent's registry leaves out Avro, the default, and empty lists. */
const bodySchema = z.object({
  schema: z.string(),
  schemaType: z.enum(schemaTypes).default('AVRO'),
  references: z.array(schemaReferenceSchema).default([]),
});
export type SchemaBody = z.output<typeof bodySchema>;

const versionSchema = bodySchema.extend({ subject: z.string(), version: z.int(), id: z.int() });
export type SchemaVersion = z.output<typeof versionSchema>;

export const schemaSubjectsSchema = z.array(
  z.object({
    subject: z.string(),
    /** Latest version. */
    version: z.int(),
    /** Number of versions. */
    versions: z.int(),
    /** Id of the latest version's schema. */
    id: z.int(),
    schemaType: z.enum(schemaTypes),
  }),
);
export type SchemaSubjects = z.output<typeof schemaSubjectsSchema>;

export const schemaShownSchema = versionSchema.extend({
  versions: z.array(z.int()),
  compatibility: z.enum(compatibilityLevels),
  mode: z.string(),
});
export type SchemaShown = z.output<typeof schemaShownSchema>;

export const schemaRegisteredSchema = versionSchema.omit({ schema: true }).extend({
  /** Whether the subject did not have this schema before. */
  new: z.boolean(),
});
export type SchemaRegistered = z.output<typeof schemaRegisteredSchema>;

export const schemaCheckedSchema = z.object({
  subject: z.string(),
  compatible: z.boolean(),
  /** Each names the place in the schema, and the version that it was compared with. */
  problems: z.array(z.string()),
});
export type SchemaChecked = z.output<typeof schemaCheckedSchema>;

export const schemaLevelSchema = z.object({
  /** null = all subjects without a level of their own. */
  subject: z.string().nullable(),
  compatibility: z.enum(compatibilityLevels),
  /** Whether the subject uses the level of all subjects. */
  inherited: z.boolean(),
});
export type SchemaLevel = z.output<typeof schemaLevelSchema>;

export const schemaRemovedSchema = z.object({
  subject: z.string(),
  versions: z.array(z.int()),
  permanent: z.boolean(),
});

/** Subjects may contain slashes. */
const encoded = (subject: string) => encodeURIComponent(subject);

/**
 * Calls of the platform's schema registry, through the API that Confluent's clients use.
 * @throws AIOT_NOT_FOUND, AIOT_SCHEMA_INVALID, AIOT_SCHEMA_INCOMPATIBLE, AIOT_SCHEMA_LOCKED
 */
export function schemaCalls(transport: Transport) {
  const ask = async <T>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    schema: z.ZodType<T>,
    body?: object,
  ): Promise<T> =>
    transport.json(method, path, schema, body, { api: '/schema-registry', errorOf: registryError });
  const version = (subject: string, number: number | 'latest') =>
    ask('GET', `/subjects/${encoded(subject)}/versions/${number}`, versionSchema);
  const settingOf = (kind: 'config' | 'mode', subject: string | null) =>
    `/${kind}${subject === null ? '' : `/${encoded(subject)}`}`;
  const level = async (subject: string | null): Promise<SchemaLevel> => {
    const levelSchema = z.object({ compatibilityLevel: z.enum(compatibilityLevels) });
    const own = await ask('GET', settingOf('config', subject), levelSchema).catch(unlessMissing);
    const found = own ?? (await ask('GET', settingOf('config', null), levelSchema));
    return { subject, compatibility: found.compatibilityLevel, inherited: own === undefined };
  };
  const lookUp = (subject: string, body: SchemaBody) =>
    ask('POST', `/subjects/${encoded(subject)}`, versionSchema, body).catch(unlessMissing);
  return {
    /** Subjects by name, with their latest version. */
    list: async (): Promise<SchemaSubjects> => {
      const latest = await ask('GET', '/schemas?latestOnly=true', z.array(versionSchema));
      const found: SchemaSubjects = [];
      for (const { subject, version, id, schemaType } of latest) {
        const path = `/subjects/${encoded(subject)}/versions`;
        // The subject may have been removed meanwhile.
        const versions = await ask('GET', path, z.array(z.int())).catch(unlessMissing);
        if (versions) found.push({ subject, version, versions: versions.length, id, schemaType });
      }
      return found;
    },
    show: async (subject: string, number: number | 'latest'): Promise<SchemaShown> => {
      const [shown, versions, { compatibility }, { mode }] = await Promise.all([
        version(subject, number),
        ask('GET', `/subjects/${encoded(subject)}/versions`, z.array(z.int())),
        level(subject),
        ask('GET', `${settingOf('mode', subject)}?defaultToGlobal=true`, z.object({ mode: z.string() })),
      ]);
      return { ...shown, versions, compatibility, mode };
    },
    register: async (subject: string, body: SchemaBody): Promise<SchemaRegistered> => {
      const before = await lookUp(subject, body);
      if (!before)
        await ask('POST', `/subjects/${encoded(subject)}/versions`, z.object({ id: z.int() }), body);
      const found = before ?? (await lookUp(subject, body));
      if (!found)
        throw new AiotError(
          'AIOT_NOT_FOUND',
          `${subject} was removed while the schema was being registered`,
          {
            subject: 'schema',
          },
        );
      const { schema: _text, ...registered } = found;
      return { ...registered, new: before === undefined };
    },
    /** Compares with the versions that the subject's level names. A new subject accepts any valid schema. */
    check: async (subject: string, body: SchemaBody): Promise<SchemaChecked> => {
      const path = `/compatibility/subjects/${encoded(subject)}/versions${queryOf({ verbose: 'true' })}`;
      const answer = z.object({ is_compatible: z.boolean(), messages: z.array(z.string()).default([]) });
      const { is_compatible, messages } = await ask('POST', path, answer, body);
      return { subject, compatible: is_compatible, problems: messages };
    },
    level,
    /** @param wanted null removes the subject's own level */
    setLevel: async (subject: string | null, wanted: CompatibilityLevel | null): Promise<SchemaLevel> => {
      if (wanted !== null)
        await ask('PUT', settingOf('config', subject), z.unknown(), { compatibility: wanted });
      else if (!(await level(subject)).inherited)
        await ask('DELETE', settingOf('config', subject), z.unknown());
      return level(subject);
    },
    /** Removes a version, or all. */
    remove: async (subject: string, number: number | undefined, permanent: boolean) => {
      const path = `/subjects/${encoded(subject)}${number === undefined ? '' : `/versions/${number}`}`;
      const removed = await ask(
        'DELETE',
        `${path}${permanent ? '?permanent=true' : ''}`,
        z.union([z.int().transform((one) => [one]), z.array(z.int())]),
      );
      return { subject, versions: removed, permanent };
    },
  };
}

function unlessMissing(error: unknown): undefined {
  if (!hasCode(error, 'AIOT_NOT_FOUND')) throw error;
}

const failureSchema = z.object({ error_code: z.int(), message: z.string() });

/** Converts an error of the registry; undefined if the answer is not one. Its codes begin with the HTTP status. */
function registryError(body: string, endpoint: string): AiotError | undefined {
  const { data } = failureSchema.safeParse(parsedJson(body));
  if (!data) return undefined;
  const code = codeOf(data.error_code);
  return (
    code &&
    new AiotError(code, data.message, {
      endpoint,
      ...(code === 'AIOT_NOT_FOUND' ? { subject: 'schema' } : {}),
    })
  );
}

function codeOf(code: number): ErrorCode | undefined {
  if (code === 409) return 'AIOT_SCHEMA_INCOMPATIBLE';
  if ([40404, 40405, 40406, 40407, 42205, 42206].includes(code)) return 'AIOT_SCHEMA_LOCKED';
  if (code >= 40400 && code < 40500) return 'AIOT_NOT_FOUND';
  if (code >= 42200 && code < 42300) return 'AIOT_SCHEMA_INVALID';
  const byStatus: Record<number, ErrorCode> = {
    401: 'AIOT_TOKEN_INVALID',
    403: 'AIOT_NOT_ALLOWED',
    413: 'AIOT_REQUEST_TOO_LARGE',
    507: 'AIOT_DISK_FULL',
  };
  return byStatus[code];
}
