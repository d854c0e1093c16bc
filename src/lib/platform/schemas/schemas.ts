import { sha256Hex } from '../../core/crypto.js';
import { descriptorOf } from '../../formats/schemas/protobuf.js';
import {
  type CompatibilityLevel,
  compatibilityLevels,
  incompatibilities,
  type ParsedSchema,
  parseSchema,
  SchemaError,
  type SchemaType,
} from '../../formats/schemas/schema.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';

/** Path of the registry's API. Clients use the platform's URL with this path as `schema.registry.url`. */
export const schemaRegistryPath = '/schema-registry';

interface SchemasParts {
  store: Store;
  events: Events;
  turns: Turns;
  /** ms since 1970 */
  now: () => number;
}

/** An error of the registry, with Confluent's code. Its first three digits are the HTTP status. */
export class RegistryError extends Error {
  override name = 'RegistryError';

  constructor(
    readonly code: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface Reference {
  name: string;
  subject: string;
  version: number;
}

/** A schema to register, look up or check. */
export interface SchemaBody {
  type: SchemaType;
  text: string;
  references: Reference[];
}

export interface RegisteredSchema {
  subject: string;
  version: number;
  id: number;
  type: SchemaType;
  text: string;
  references: Reference[];
}

/** Which versions a request concerns: by default, those that are not deleted. */
export interface Deleted {
  deleted?: boolean | undefined;
  deletedOnly?: boolean | undefined;
}

export const modes = ['READWRITE', 'READONLY', 'READONLY_OVERRIDE'] as const;
export type Mode = (typeof modes)[number];

/** A parsed schema, and its characters with those of the schemas that it refers to. */
interface SizedSchema {
  schema: ParsedSchema;
  size: number;
}

interface VersionRow {
  subject: string;
  version: number;
  schema: number;
  deleted: number;
}

interface Judgement {
  /** Equal as long as the result stands. */
  state: string;
  rows: readonly VersionRow[];
  problems: string[];
}

const defaultLevel: CompatibilityLevel = 'BACKWARD';

/** Row of the global level and mode, and the name of all subjects in events. */
const globalRow = '';
const allSubjects = '*';

/** Maximum number of versions that one request compares. */
const mostVersions = 500;

/** Maximum number of characters of schemas, with those that they refer to, that one request compares, and that stay parsed in memory. */
const mostCharacters = 8 * 1024 ** 2;

/** Maximum number of schemas that a schema refers to, directly or through others. */
const mostReferences = 100;

/**
 * The schema registry: subjects with numbered versions, whose schemas have ids that are unique on the platform. Registrations and deletions
 * run one at a time on all replicas, so ids have no gaps, and a schema has one id.
 */
export class Schemas {
  private readonly parsed = new Map<number, SizedSchema>();
  private characters = 0;

  constructor(private readonly parts: SchemasParts) {}

  async subjects({ deleted, deletedOnly }: Deleted, prefix = ''): Promise<string[]> {
    const rows = await this.parts.store
      .selectFrom('schemaVersions')
      .select(['subject', (is) => is.fn.min('deleted').as('gone')])
      .groupBy('subject')
      .orderBy('subject')
      .execute();
    return rows
      .filter(({ gone }) => (deletedOnly ? Number(gone) === 1 : deleted || Number(gone) === 0))
      .map(({ subject }) => subject)
      .filter((subject) => subject.startsWith(prefix));
  }

  /** @throws RegistryError 40401 */
  async versions(subject: string, which: Deleted): Promise<number[]> {
    const all = await this.rows(subject);
    const found = all.filter((row) => fits(row, which));
    if (found.length === 0) throw unknownSubject(subject);
    return found.map(({ version }) => version);
  }

  /** @throws RegistryError 40401, 40402 */
  async version(subject: string, version: number | 'latest', which: Deleted): Promise<RegisteredSchema> {
    const all = (await this.rows(subject)).filter((row) => fits(row, which));
    if (all.length === 0) throw unknownSubject(subject);
    const row = version === 'latest' ? all.at(-1) : all.find((each) => each.version === version);
    if (!row) throw new RegistryError(40402, `Version ${version} not found.`);
    return { subject, version: row.version, ...(await this.byId(row.schema)) };
  }

  /** A schema by its id. @throws RegistryError 40403 */
  async schema(id: number): Promise<Omit<RegisteredSchema, 'subject' | 'version'>> {
    if ((await this.uses(id, { deleted: true })).length === 0) throw unknownSchema(id);
    return this.byId(id);
  }

  /** The subjects and versions with a schema. @throws RegistryError 40403 */
  async uses(id: number, which: Deleted): Promise<{ subject: string; version: number }[]> {
    const rows = await this.parts.store
      .selectFrom('schemaVersions')
      .selectAll()
      .where('schema', '=', id)
      .orderBy('subject')
      .orderBy('version')
      .execute();
    if (rows.length === 0) throw unknownSchema(id);
    return rows.filter((row) => fits(row, which)).map(({ subject, version }) => ({ subject, version }));
  }

  /** The newest version of each subject, or all versions. */
  async list(which: Deleted, prefix: string, latestOnly: boolean): Promise<RegisteredSchema[]> {
    const listed: RegisteredSchema[] = [];
    for (const subject of await this.subjects(which, prefix)) {
      const rows = (await this.rows(subject)).filter((row) => fits(row, which));
      for (const row of latestOnly ? rows.slice(-1) : rows)
        listed.push({ subject, version: row.version, ...(await this.byId(row.schema)) });
    }
    return listed;
  }

  /** Ids of the schemas that refer to a version. @throws RegistryError 40401, 40402 */
  async referencedBy(subject: string, version: number | 'latest'): Promise<number[]> {
    const { version: number } = await this.version(subject, version, { deleted: true });
    return this.referrers(this.parts.store, subject, number, false);
  }

  /** The version of the subject with this schema. @throws RegistryError 40401, 40403, 42201 */
  async lookUp(subject: string, body: SchemaBody, which: Deleted): Promise<RegisteredSchema> {
    const rows = (await this.rows(subject)).filter((row) => fits(row, which));
    if (rows.length === 0) throw unknownSubject(subject);
    const { digest } = await this.parse(body);
    const id = await this.idOf(this.parts.store, digest);
    const row = rows.findLast(({ schema }) => schema === id);
    if (!row) throw new RegistryError(40403, 'Schema not found');
    return { subject, version: row.version, ...(await this.byId(row.schema)) };
  }

  /**
   * Registers a version. A schema that the subject already has is not registered again.
   * @throws RegistryError 409, 42201, 42205
   */
  async register(subject: string, body: SchemaBody, who: string): Promise<RegisteredSchema> {
    checkSubject(subject);
    const { store, events, turns, now } = this.parts;
    const { digest, schema } = await this.parse(body);
    const known = await this.registered(subject, digest);
    if (known) return known;
    // Parsing and comparing take time, so they precede the turn, in which all other changes would wait.
    const judged = await this.judge(subject, schema);
    return turns.of('schemas')(async () => {
      const same = await this.registered(subject, digest);
      if (same) return same;
      await this.requireWritable(subject);
      // References may have been deleted since then.
      await this.resolve(body).catch((error: unknown) => {
        throw asRegistryError(error);
      });
      const { rows, problems } = await this.judge(subject, schema, judged);
      if (problems.length > 0)
        throw new RegistryError(
          409,
          `Schema being registered is incompatible with an earlier schema for subject "${subject}": ${problems.join('; ')}`,
        );
      const known = await this.idOf(store, digest);
      const id = known ?? (await this.highestId()) + 1;
      const latest = await this.latestOf(subject, rows);
      const version = latest + 1;
      const created = now();
      await store.transaction().execute(async (transaction) => {
        if (known === undefined) {
          const content = schema.text;
          await transaction
            .insertInto('schemas')
            .values({ ...{ id, digest, content, created }, type: body.type })
            .execute();
          const references = body.references.map((reference) => ({ schema: id, ...reference }));
          if (references.length > 0)
            await transaction.insertInto('schemaReferences').values(references).execute();
        }
        const row = { ...{ subject, version, created, who }, schema: id, deleted: 0 };
        await transaction.insertInto('schemaVersions').values(row).execute();
        await transaction
          .insertInto('schemaSubjects')
          .values({ ...{ subject, latest: version }, level: null, mode: null })
          .onConflict((conflict) => conflict.column('subject').doUpdateSet({ latest: version }))
          .execute();
        const data = { version, id, type: body.type };
        await events.record({ who, type: 'schema.register', subject, data }, transaction);
      });
      return { subject, version, ...(await this.byId(id)) };
    });
  }

  /** The version of a subject with a schema, if it is not deleted. */
  private async registered(subject: string, digest: string): Promise<RegisteredSchema | undefined> {
    const id = await this.idOf(this.parts.store, digest);
    const row = (await this.rows(subject)).find((each) => each.deleted === 0 && each.schema === id);
    return row && { subject, version: row.version, ...(await this.byId(row.schema)) };
  }

  /** The versions of a subject, and why a schema is incompatible with them. An earlier result stands if nothing has changed. */
  private async judge(subject: string, schema: ParsedSchema, before?: Judgement): Promise<Judgement> {
    const rows = (await this.rows(subject)).filter((row) => row.deleted === 0);
    const level = await this.level(subject);
    const state = JSON.stringify([level, rows.map((row) => [row.version, row.schema])]);
    if (before?.state === state) return before;
    return { state, rows, problems: await this.problems(level, schema, rows) };
  }

  /**
   * Reasons why a schema is incompatible with one version, or with those that the subject's level names; none = it is compatible.
   * @throws RegistryError 40401, 40402, 42201
   */
  async check(subject: string, version: number | 'latest' | undefined, body: SchemaBody): Promise<string[]> {
    const rows = (await this.rows(subject)).filter((row) => row.deleted === 0);
    if (version !== undefined && rows.length === 0) throw unknownSubject(subject);
    const { schema } = await this.parse(body);
    const level = await this.level(subject);
    if (version === undefined || version === 'latest') {
      const compared = version === 'latest' ? rows.slice(-1) : rows;
      return this.problems(level, schema, compared);
    }
    const row = rows.find((each) => each.version === version);
    if (!row) throw new RegistryError(40402, `Version ${version} not found.`);
    return this.problems(level, schema, [row]);
  }

  /**
   * Deletes a subject. Without `permanent`, its versions can still be read by id, and on request.
   * @throws RegistryError 40401, 40404, 40405, 42205, 42206
   */
  async removeSubject(subject: string, permanent: boolean, who: string): Promise<number[]> {
    return this.parts.turns.of('schemas')(async () => {
      const rows = await this.rows(subject);
      const live = rows.filter((row) => row.deleted === 0);
      if (rows.length === 0) throw unknownSubject(subject);
      if (permanent && live.length > 0)
        throw new RegistryError(
          40405,
          `Subject '${subject}' was not deleted first before being permanently deleted`,
        );
      if (!permanent && live.length === 0)
        throw new RegistryError(
          40404,
          `Subject '${subject}' was soft deleted. Set permanent=true to delete permanently`,
        );
      return this.remove(subject, permanent ? rows : live, permanent, who);
    });
  }

  /** Deletes a version. @throws RegistryError 40401, 40402, 40406, 40407, 42205, 42206 */
  async removeVersion(
    subject: string,
    version: number | 'latest',
    permanent: boolean,
    who: string,
  ): Promise<number> {
    return this.parts.turns.of('schemas')(async () => {
      const rows = await this.rows(subject);
      const live = rows.filter((each) => each.deleted === 0);
      if (rows.length === 0) throw unknownSubject(subject);
      const row = version === 'latest' ? live.at(-1) : rows.find((each) => each.version === version);
      if (!row) throw new RegistryError(40402, `Version ${version} not found.`);
      const place = `Subject '${subject}' Version ${row.version}`;
      if (permanent && row.deleted === 0)
        throw new RegistryError(40407, `${place} was not deleted first before being permanently deleted`);
      if (!permanent && row.deleted === 1)
        throw new RegistryError(40406, `${place} was soft deleted. Set permanent=true to delete permanently`);
      await this.remove(subject, [row], permanent, who);
      return row.version;
    });
  }

  /** The level of a subject, or the global one; null = the subject has none of its own. */
  async ownLevel(subject: string | null): Promise<CompatibilityLevel | null> {
    const level = (await this.settings(subject ?? globalRow))?.level as CompatibilityLevel | null | undefined;
    return level ?? (subject === null ? defaultLevel : null);
  }

  async level(subject: string): Promise<CompatibilityLevel> {
    return (await this.ownLevel(subject)) ?? (await this.ownLevel(null)) ?? defaultLevel;
  }

  async ownMode(subject: string | null): Promise<Mode | null> {
    const mode = (await this.settings(subject ?? globalRow))?.mode as Mode | null | undefined;
    return mode ?? (subject === null ? 'READWRITE' : null);
  }

  async mode(subject: string): Promise<Mode> {
    const global = (await this.ownMode(null)) ?? 'READWRITE';
    return global === 'READONLY_OVERRIDE' ? global : ((await this.ownMode(subject)) ?? global);
  }

  /** Sets the level or mode of a subject, or of all (null). The value null removes it. @throws RegistryError 42203, 42204, 42205 */
  async configure(
    subject: string | null,
    change: { level?: string | null; mode?: string | null },
    who: string,
  ): Promise<void> {
    const { store, events, turns } = this.parts;
    if (typeof change.level === 'string' && !compatibilityLevels.some((level) => level === change.level))
      throw new RegistryError(
        42203,
        `Invalid compatibility level. Valid values are ${compatibilityLevels.join(', ').toLowerCase()}`,
      );
    if (typeof change.mode === 'string' && !modes.some((mode) => mode === change.mode))
      throw new RegistryError(42204, `Invalid mode. Valid values are ${modes.join(', ')}`);
    if (subject !== null) checkSubject(subject);
    await turns.of('schemas')(async () => {
      const row = subject ?? globalRow;
      const before = (await this.settings(row)) ?? { latest: 0, level: null, mode: null };
      const next = { level: before.level, mode: before.mode, ...change };
      if (next.level === before.level && next.mode === before.mode) return;
      // The mode can always be changed; otherwise READONLY would be permanent.
      if (change.mode === undefined) await this.requireWritable(row);
      await store.transaction().execute(async (transaction) => {
        await transaction
          .insertInto('schemaSubjects')
          .values({ subject: row, latest: before.latest, ...next })
          .onConflict((conflict) => conflict.column('subject').doUpdateSet(next))
          .execute();
        const event = { who, type: 'schema.configure' as const, subject: subject ?? allSubjects, data: next };
        await events.record(event, transaction);
      });
    });
  }

  /** Deletes version rows. Schemas keep their ids, so that no id ever stands for another schema. */
  private async remove(
    subject: string,
    rows: readonly VersionRow[],
    permanent: boolean,
    who: string,
  ): Promise<number[]> {
    const { store, events } = this.parts;
    await this.requireWritable(subject);
    const versions = rows.map(({ version }) => version);
    for (const version of versions) {
      const referrers = await this.referrers(store, subject, version, permanent);
      if (referrers.length > 0)
        throw new RegistryError(
          42206,
          `One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=${subject},version=${version}}.`,
        );
    }
    await store.transaction().execute(async (transaction) => {
      for (const version of versions) {
        if (permanent)
          await transaction
            .deleteFrom('schemaVersions')
            .where('subject', '=', subject)
            .where('version', '=', version)
            .execute();
        else
          await transaction
            .updateTable('schemaVersions')
            .set({ deleted: 1 })
            .where('subject', '=', subject)
            .where('version', '=', version)
            .execute();
      }
      await events.record(
        { who, type: 'schema.remove', subject, data: { versions, permanent } },
        transaction,
      );
    });
    return versions;
  }

  /** Ids of schemas with a version that refer to a version. */
  private async referrers(
    store: Store,
    subject: string,
    version: number,
    withDeleted: boolean,
  ): Promise<number[]> {
    const rows = await store
      .selectFrom('schemaReferences')
      .innerJoin('schemaVersions', 'schemaVersions.schema', 'schemaReferences.schema')
      .select('schemaReferences.schema as id')
      .distinct()
      .where('schemaReferences.subject', '=', subject)
      .where('schemaReferences.version', '=', version)
      .where('schemaVersions.deleted', 'in', withDeleted ? [0, 1] : [0])
      .orderBy('schemaReferences.schema')
      .execute();
    return rows.map(({ id }) => id);
  }

  private rows(subject: string): Promise<VersionRow[]> {
    return this.parts.store
      .selectFrom('schemaVersions')
      .select(['subject', 'version', 'schema', 'deleted'])
      .where('subject', '=', subject)
      .orderBy('version')
      .execute();
  }

  private settings(subject: string) {
    return this.parts.store
      .selectFrom('schemaSubjects')
      .select(['latest', 'level', 'mode'])
      .where('subject', '=', subject)
      .executeTakeFirst();
  }

  /** Version numbers are never used twice. */
  private async latestOf(subject: string, rows: readonly VersionRow[]): Promise<number> {
    return Math.max((await this.settings(subject))?.latest ?? 0, rows.at(-1)?.version ?? 0);
  }

  private async highestId(): Promise<number> {
    const { store } = this.parts;
    const row = await store
      .selectFrom('schemas')
      .select((is) => is.fn.max('id').as('id'))
      .executeTakeFirst();
    return Number(row?.id ?? 0);
  }

  private async idOf(store: Store, digest: string): Promise<number | undefined> {
    const row = await store
      .selectFrom('schemas')
      .select('id')
      .where('digest', '=', digest)
      .executeTakeFirst();
    return row?.id;
  }

  private async byId(id: number): Promise<Omit<RegisteredSchema, 'subject' | 'version'>> {
    const { store } = this.parts;
    const row = await store.selectFrom('schemas').selectAll().where('id', '=', id).executeTakeFirst();
    if (!row) throw unknownSchema(id);
    const references = await store
      .selectFrom('schemaReferences')
      .select(['name', 'subject', 'version'])
      .where('schema', '=', id)
      .orderBy('name')
      .execute();
    return { id, type: row.type as SchemaType, text: row.content, references };
  }

  private async requireWritable(subject: string): Promise<void> {
    const mode = await this.mode(subject);
    if (mode === 'READWRITE') return;
    throw new RegistryError(
      42205,
      subject === globalRow ? `The registry is in ${mode} mode` : `Subject ${subject} is in ${mode} mode`,
    );
  }

  /** Parses a schema with the schemas that it refers to. @throws RegistryError 42201 */
  private async parse(body: SchemaBody): Promise<{ schema: ParsedSchema; digest: string }> {
    try {
      const references = await this.resolve(body);
      const schema = await parseSchema({ type: body.type, text: body.text, references });
      const named = [...body.references].sort((a, b) => (a.name < b.name ? -1 : 1));
      const identity = named.map(({ name, subject, version }) => [name, subject, version]);
      return { schema, digest: sha256Hex(JSON.stringify([body.type, schema.canonical, identity])) };
    } catch (error) {
      throw asRegistryError(error);
    }
  }

  /** Texts of the schemas that a schema refers to, each after those that it refers to itself. */
  private async resolve(body: SchemaBody): Promise<{ name: string; text: string }[]> {
    const found = new Map<string, string>();
    const names = new Set(body.references.map(({ name }) => name));
    if (names.size < body.references.length) throw new SchemaError('a name of a reference occurs twice');
    const visited = new Set<string>();
    const add = async (references: readonly Reference[]): Promise<void> => {
      for (const { name, subject, version } of references) {
        if (visited.has(name)) continue;
        // A chain is visited from its start, so its depth is limited too.
        if (visited.size >= mostReferences)
          throw new SchemaError(`expected at most ${mostReferences} references`);
        visited.add(name);
        const other = await this.version(subject, version === -1 ? 'latest' : version, {
          deleted: true,
        }).catch(() => {
          throw new SchemaError(`no schema reference found for subject "${subject}" and version ${version}`);
        });
        if (other.type !== body.type) throw new SchemaError(`the reference ${name} is ${other.type}`);
        await add(other.references);
        found.set(name, other.text);
      }
    };
    await add(body.references);
    return [...found].map(([name, text]) => ({ name, text }));
  }

  /** @throws RegistryError 42201 */
  private async problems(
    level: CompatibilityLevel,
    schema: ParsedSchema,
    rows: readonly VersionRow[],
  ): Promise<string[]> {
    const compared = level.endsWith('_TRANSITIVE') ? rows : rows.slice(-1);
    if (level === 'NONE') return [];
    try {
      let characters = 0;
      const earlier: { version: number; schema: ParsedSchema }[] = [];
      if (compared.length > mostVersions)
        throw new SchemaError(
          `the subject has ${compared.length} versions; expected at most ${mostVersions} for the level ${level}`,
        );
      for (const { version, schema: id } of compared) {
        const { schema: parsed, size } = await this.parsedById(id);
        characters += size;
        if (characters > mostCharacters)
          throw new SchemaError('the versions of the subject are too large to compare');
        earlier.push({ version, schema: parsed });
      }
      return incompatibilities(level, schema, earlier);
    } catch (error) {
      throw asRegistryError(error);
    }
  }

  private async parsedById(id: number): Promise<SizedSchema> {
    const before = this.parsed.get(id);
    if (before) return before;
    const body = await this.byId(id);
    const references = await this.resolve(body);
    const schema = await parseSchema({ ...body, references });
    const size = references.reduce((sum, { text }) => sum + text.length, body.text.length);
    const made = { schema, size };
    // Another request may have parsed it meanwhile.
    if (!this.parsed.has(id)) this.characters += size;
    this.parsed.set(id, made);
    for (const [oldest, { size: freed }] of this.parsed) {
      if (this.characters <= mostCharacters) break;
      this.parsed.delete(oldest);
      this.characters -= freed;
    }
    return made;
  }

  /** A Protobuf schema as a base64 FileDescriptorProto; other schemas as text. */
  async serialized({ id, text }: Pick<RegisteredSchema, 'id' | 'text'>): Promise<string> {
    try {
      return descriptorOf((await this.parsedById(id)).schema) ?? text;
    } catch (error) {
      throw asRegistryError(error);
    }
  }
}

function asRegistryError(error: unknown): unknown {
  if (!(error instanceof SchemaError)) return error;
  return new RegistryError(42201, `Invalid schema: ${error.message}`, { cause: error });
}

function fits({ deleted }: Pick<VersionRow, 'deleted'>, which: Deleted): boolean {
  if (which.deletedOnly) return deleted === 1;
  return which.deleted === true || deleted === 0;
}

const unknownSubject = (subject: string) => new RegistryError(40401, `Subject '${subject}' not found.`);
const unknownSchema = (id: number) => new RegistryError(40403, `Schema ${id} not found`);

/** Maximum length of a subject's name; Kafka's topics have at most 249 characters. */
const longestSubject = 512;

function checkSubject(subject: string): void {
  const isPrintable = /^\P{Cc}+$/u.test(subject);
  if (isPrintable && subject.length <= longestSubject && subject !== allSubjects) return;
  throw new RegistryError(42208, `The specified subject '${subject.slice(0, 80)}' is not valid.`);
}
