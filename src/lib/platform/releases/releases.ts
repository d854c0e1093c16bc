import type { ConfigVersion, FirmwareVersion } from '../../api/contract/releases.js';
import { readFirmware } from '../../api/firmware/image.js';
import { numberOf, type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import { didYouMean } from '../../core/text.js';
import { readDeviceConfig } from '../../formats/device-config.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import { type Manifest, verifyManifest } from '../../formats/manifest/manifest.js';
import { releaseLeases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Turn, Turns } from '../store/engine.js';
import type { ReleaseRow } from '../store/schema.js';
import type { Trust } from './trust.js';

export interface ReleaseParts {
  store: Store;
  blobs: BlobStore;
  trust: Trust;
  events: Events;
  turns: Turns;
  /** ms since 1970 */
  now: () => number;
}

/** One kind of release: the table that stores its versions, and its name in errors. */
interface ReleaseKind {
  kind: Manifest['kind'];
  table: 'models' | 'firmware' | 'configs';
  /**
   * Name of the kind's lock (see `Turns`). Firmware and configurations share one lock, so that orphan checks and backups need only one lock
   * for both.
   */
  turn: 'models' | 'firmware';
  /** `firmware` or `configuration`, for errors. */
  noun: string;
  /** The command that lists the versions. */
  list: string;
}

/** The columns that every kind of version has. */
export type VersionRow = Omit<ReleaseRow, 'envelope'>;

/** Content covered by a manifest. */
interface Content {
  digest: string;
  bytes: number;
  info: object;
}

/**
 * A registry of releases: contents by version, and their signed manifests. Pushing, re-signing, listing and lookup are the same for every kind; a
 * kind defines its content and the storage of its envelopes.
 */
export abstract class ReleaseService<Row extends VersionRow, Card extends object> {
  /** Serializes code that reads and then changes versions. */
  readonly inTurn: Turn;

  constructor(
    protected readonly parts: ReleaseParts,
    private readonly of: ReleaseKind,
  ) {
    this.inTurn = parts.turns.of(of.turn);
  }

  protected abstract cardOf(row: Row): Card;
  /** Returns the manifest's content, which must exist and be of this kind. */
  protected abstract content(manifest: Manifest): Promise<Content>;
  /**
   * Checks that the manifest may be signed for a version. Returns the content that replaces the version's content; null
   * = no replacement.
   */
  protected abstract resigned(manifest: Manifest, row: Row): Promise<Content | null>;
  /** Whether the manifest was already pushed with the same payload. */
  protected abstract isPushed(manifest: Manifest, envelope: Envelope): Promise<boolean>;
  protected abstract isSigned(row: Row, envelope: Envelope): boolean;
  protected abstract insert(row: VersionRow, envelope: Envelope, transaction: Store): Promise<void>;
  /** Stores the new envelope in addition to, or in place of, the previous one. */
  protected abstract replace(
    before: Row,
    set: Partial<VersionRow> & { sequence: number },
    envelope: Envelope,
    transaction: Store,
  ): Promise<void>;
  /** The newest sequence number that was issued. */
  protected abstract newestSequence(): Promise<number>;

  /**
   * Version and sequence number for the next manifest. Sequence numbers increase over all releases of a kind. Version numbers of removed
   * versions are not reused.
   */
  async next(name: string): Promise<{ version: number; sequence: number }> {
    const { version } = await this.parts.store
      .selectFrom(this.table)
      .select(({ fn }) => fn.max('version').as('version'))
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    return { version: (version ?? 0) + 1, sequence: (await this.newestSequence()) + 1 };
  }

  /**
   * Stores a new version after checking its signature, name, version, sequence number and content. Pushing the same envelope again returns
   * the first result.
   * @throws AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_NOT_FOUND (blob), AIOT_DIGEST_MISMATCH, and errors of the content check
   */
  push(name: string, envelope: Envelope, who: string): Promise<Card> {
    return this.inTurn(async () => {
      const manifest = await this.checked(envelope, name);
      const { version, sequence } = manifest;
      if (await this.isPushed(manifest, envelope)) return this.get(name, version);
      const next = await this.next(name);
      if (version !== next.version || sequence !== next.sequence) {
        throw new AiotError(
          'AIOT_VERSION_CONFLICT',
          `expected version ${next.version} with sequence number ${next.sequence}, got version ${version} with ${sequence}`,
        );
      }
      const { info, ...content } = await this.content(manifest);
      const row = {
        name,
        version,
        sequence,
        ...content,
        pushed: this.parts.now(),
        info: JSON.stringify(info),
      };
      await this.record('push', manifest, envelope, who, (store) => this.insert(row, envelope, store));
      return this.get(name, version);
    });
  }

  /**
   * Stores a version's re-signed manifest, with the next sequence number. Rollouts in progress continue with their original manifest.
   * @param of the version to sign again; absent = the version named in the manifest
   * @throws AIOT_NOT_FOUND, AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_REQUEST_INVALID, AIOT_DIGEST_MISMATCH,
   * AIOT_BUNDLE_MALFORMED
   */
  protected signAnew(envelope: Envelope, who: string, of?: { name: string; version: number }): Promise<Card> {
    return this.inTurn(async () => {
      const manifest = await this.checked(envelope, of?.name);
      const { name, version } = of ?? manifest;
      const row = await this.row(name, version);
      if (this.isSigned(row, envelope)) return this.cardOf(row);
      const next = await this.next(name);
      const { sequence } = manifest;
      if (sequence !== next.sequence) {
        throw new AiotError(
          'AIOT_VERSION_CONFLICT',
          `expected sequence number ${next.sequence}, got ${sequence}`,
        );
      }
      const content = await this.resigned(manifest, row);
      const set = { sequence, ...(content && { ...content, info: JSON.stringify(content.info) }) };
      await this.record('sign', manifest, envelope, who, (store) => this.replace(row, set, envelope, store));
      return this.get(name, version);
    });
  }

  /** Sorted by name. */
  protected async page({ limit, after }: PageQuery): Promise<{
    entries: { name: string; versions: number; latest: Card }[];
    next: string | null;
  }> {
    const groups = await this.rows()
      .select(['name', ({ fn }) => fn.countAll<number>().as('versions')])
      .$if(after !== undefined, (query) => query.where('name', '>', after ?? ''))
      .groupBy('name')
      .orderBy('name')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(groups, limit, ({ name }) => name);
    if (entries.length === 0) return { entries: [], next };
    const latest = await this.rows()
      .selectAll()
      .where(
        'name',
        'in',
        entries.map(({ name }) => name),
      )
      .where('version', '=', ({ selectFrom }) =>
        this.present(selectFrom(`${this.table} as other`))
          .select(({ fn }) => fn.max('other.version').as('version'))
          .whereRef('other.name', '=', `${this.table}.name`),
      )
      .execute();
    const cards = new Map(latest.map((row) => [row.name, this.cardOf(row as VersionRow as Row)]));
    return {
      entries: entries.flatMap(({ name, versions }) => {
        const card = cards.get(name);
        // The name's last version was removed between the two queries.
        return card ? [{ name, versions: Number(versions), latest: card }] : [];
      }),
      next,
    };
  }

  /** Newest first. @throws AIOT_NOT_FOUND */
  async versions(
    name: string,
    { limit, after }: PageQuery,
  ): Promise<{ versions: Card[]; next: string | null }> {
    const rows = await this.rows()
      .selectAll()
      .where('name', '=', name)
      .$if(after !== undefined, (query) => query.where('version', '<', numberOf(after ?? '')))
      .orderBy('version', 'desc')
      .limit(limit + 1)
      .execute();
    if (rows.length === 0 && after === undefined) throw await this.unknown(name);
    const { entries, next } = pageOfRows(rows, limit, ({ version }) => String(version));
    return { versions: entries.map((row) => this.cardOf(row as VersionRow as Row)), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string, version: number): Promise<Card> {
    return this.cardOf(await this.row(name, version));
  }

  protected async row(name: string, version: number): Promise<Row> {
    const query = this.rows().selectAll().where('name', '=', name);
    const row = await query.where('version', '=', version).executeTakeFirst();
    if (row) return row as VersionRow as Row;
    throw await this.unknown(name, version);
  }

  /** Typed as one of the tables, because all of them have these columns. */
  protected get table(): 'firmware' {
    return this.of.table as 'firmware';
  }

  /** Query for versions that were not removed. */
  protected rows() {
    return this.present(this.parts.store.selectFrom(this.table));
  }

  /** Leaves out removed versions. Only models can be removed; their rows stay, so that no number is reused. */
  private present<Query>(query: Query): Query {
    if (this.of.table !== 'models') return query;
    return (query as { where(column: string, is: 'is', value: null): Query }).where('removed', 'is', null);
  }

  /**
   * Verifies an envelope against the trust root and returns its manifest.
   * @throws AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_MANIFEST_MALFORMED, AIOT_REQUEST_INVALID
   */
  protected async checked(envelope: Envelope, name?: string): Promise<Manifest> {
    const { kind, noun } = this.of;
    const trust = await this.parts.trust.get();
    if (!trust) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    const manifest = verifyManifest(envelope, trust);
    if (manifest.kind === kind && (name === undefined || manifest.name === name)) return manifest;
    const wanted = name === undefined ? `a ${noun}` : `the ${noun} ${name}`;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `expected a manifest of ${wanted}, got one of the ${manifest.kind} ${manifest.name}`,
    );
  }

  protected notFound(message: string): AiotError {
    return new AiotError('AIOT_NOT_FOUND', message, {
      next: `To see the existing ones, run \`${this.of.list}\`.`,
    });
  }

  /** Writes the rows of a manifest and its event in one transaction. */
  private async record(
    action: 'push' | 'sign',
    { name, version, sequence, artifacts }: Manifest,
    envelope: Envelope,
    who: string,
    write: (transaction: Store) => Promise<void>,
  ): Promise<void> {
    const digests = artifacts.map(({ digest }) => digest);
    const data = { sequence, digest: digests[0], keys: envelope.signatures.map(({ keyid }) => keyid) };
    const event = { who, type: `${this.of.kind}.${action}` as const, subject: `${name}@${version}`, data };
    await this.parts.store.transaction().execute(async (transaction) => {
      await write(transaction);
      await releaseLeases(digests, transaction);
      await this.parts.events.record(event, transaction);
    });
  }

  /** Error for an unknown name, or an unknown version of an existing name, with the closest match as a suggestion. */
  private async unknown(name: string, version?: number): Promise<AiotError> {
    const { noun } = this.of;
    const all = await this.rows().select(['name', 'version']).orderBy('version').execute();
    const newest = all.findLast((row) => row.name === name)?.version;
    return this.notFound(
      newest === undefined
        ? `no ${noun} is named ${name}${didYouMean(name, [...new Set(all.map((row) => row.name))])}`
        : `${noun} ${name}@${version} does not exist; the newest is ${name}@${newest}`,
    );
  }
}

/**
 * Checks that the blobs exist with the stated size; on upload, their bytes were checked against the digest.
 * @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH
 */
export async function requireBlobs(
  blobs: BlobStore,
  wanted: readonly { digest: string; bytes: number }[],
  said = 'but the manifest states ',
): Promise<void> {
  for (const { digest, bytes } of wanted) {
    const size = await blobs.size(digest);
    if (size === null) throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} has not been uploaded`);
    if (size !== bytes) {
      throw new AiotError('AIOT_DIGEST_MISMATCH', `${digest} has ${size} bytes, ${said}${bytes}`);
    }
  }
}

export function isSamePayload(text: string, envelope: Envelope): boolean {
  return (JSON.parse(text) as Envelope).payload === envelope.payload;
}

/** Properties common to all versions. */
type BlobCard<Info> = Pick<ReleaseRow, 'name' | 'version' | 'sequence' | 'digest' | 'bytes' | 'pushed'> & {
  deviceTypes: string[];
} & Info;

/** Releases with one blob each. A version's row has its newest envelope; earlier envelopes are stored separately. */
export class Releases<Info extends object> extends ReleaseService<ReleaseRow, BlobCard<Info>> {
  /** @param read decodes a version's content, and throws if the content is not of this kind */
  constructor(
    parts: ReleaseParts,
    private readonly blob: Omit<ReleaseKind, 'turn' | 'kind'> & { kind: 'firmware' | 'config' },
    private readonly read: (bytes: Uint8Array, what: string, manifest: Manifest) => Info,
  ) {
    super(parts, { ...blob, turn: 'firmware' });
  }

  list(page: PageQuery) {
    return this.page(page);
  }

  /** @throws as `signAnew` */
  sign(name: string, version: number, envelope: Envelope, who: string): Promise<BlobCard<Info>> {
    return this.signAnew(envelope, who, { name, version });
  }

  /** The newest manifest, or the manifest with the given sequence number. @throws AIOT_NOT_FOUND */
  async manifest(name: string, version: number, sequence?: number): Promise<Envelope> {
    const row = await this.row(name, version);
    if (sequence === undefined || sequence === row.sequence) return JSON.parse(row.envelope) as Envelope;
    const before = await this.parts.store
      .selectFrom('releaseManifests')
      .select('envelope')
      .where('kind', '=', this.blob.kind)
      .where('sequence', '=', sequence)
      .where('name', '=', name)
      .where('version', '=', version)
      .executeTakeFirst();
    if (before) return JSON.parse(before.envelope) as Envelope;
    throw this.notFound(`${name}@${version} has no manifest with the sequence number ${sequence}`);
  }

  /**
   * The manifest with this version and sequence number, after its signatures are verified.
   * @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_SIGNATURE_INVALID
   */
  async verified(name: string, version: number, sequence: number): Promise<Manifest> {
    const manifest = await this.checked(await this.manifest(name, version), name);
    if (manifest.sequence === sequence) return manifest;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `the manifest of ${name}@${version} has the sequence number ${manifest.sequence}, not ${sequence}`,
    );
  }

  protected cardOf({ name, version, sequence, digest, bytes, pushed, info }: ReleaseRow): BlobCard<Info> {
    const told = JSON.parse(info) as Info & { deviceTypes: string[] };
    return { name, version, sequence, digest, bytes, pushed, ...told };
  }

  protected async content(manifest: Manifest): Promise<Content> {
    const { artifacts, deviceTypes } = manifest;
    const [artifact, ...more] = artifacts;
    if (!artifact || more.length > 0) {
      throw new AiotError('AIOT_REQUEST_INVALID', `expected one artifact, got ${artifacts.length}`);
    }
    const { digest, bytes, name } = artifact;
    await requireBlobs(this.parts.blobs, [artifact]);
    const info = this.read(await this.parts.blobs.bytes(digest), name, manifest);
    return { digest, bytes, info: { ...info, deviceTypes } };
  }

  /** Requires that a re-signed manifest covers the same bytes for the same device types, with the same secure version. */
  protected async resigned(manifest: Manifest, row: ReleaseRow): Promise<null> {
    const { version, artifacts, deviceTypes } = manifest;
    const [artifact, ...more] = artifacts;
    const before = JSON.parse(row.info) as { deviceTypes: string[]; secureVersion?: number };
    const isSame =
      version === row.version &&
      more.length === 0 &&
      artifact?.digest === row.digest &&
      artifact.bytes === row.bytes &&
      deviceTypes.join() === before.deviceTypes.join() &&
      (manifest.secureVersion ?? 0) === (before.secureVersion ?? 0);
    if (isSame) return null;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `the signed content differs from the content pushed as ${row.name}@${row.version}`,
    );
  }

  protected async isPushed({ name, version }: Manifest, envelope: Envelope): Promise<boolean> {
    const query = this.rows().select('envelope').where('name', '=', name);
    const row = await query.where('version', '=', version).executeTakeFirst();
    return row !== undefined && isSamePayload(row.envelope, envelope);
  }

  protected isSigned(row: ReleaseRow, envelope: Envelope): boolean {
    return isSamePayload(row.envelope, envelope);
  }

  protected async insert(row: VersionRow, envelope: Envelope, transaction: Store): Promise<void> {
    const values = { ...row, envelope: JSON.stringify(envelope) };
    await transaction.insertInto(this.table).values(values).execute();
  }

  protected async replace(
    { name, version, sequence, envelope: old }: ReleaseRow,
    set: { sequence: number },
    envelope: Envelope,
    transaction: Store,
  ): Promise<void> {
    const before = { kind: this.blob.kind, name, version, sequence, envelope: old };
    await transaction.insertInto('releaseManifests').values(before).execute();
    const changed = transaction.updateTable(this.table).set({ ...set, envelope: JSON.stringify(envelope) });
    await changed.where('name', '=', name).where('version', '=', version).execute();
  }

  protected async newestSequence(): Promise<number> {
    const { sequence } = await this.rows()
      .select(({ fn }) => fn.max('sequence').as('sequence'))
      .executeTakeFirstOrThrow();
    return sequence ?? 0;
  }
}

/** The registry of device configurations. @throws AIOT_CONFIG_MALFORMED on push */
export class Configs extends Releases<Pick<ConfigVersion, 'config'>> {
  constructor(parts: ReleaseParts) {
    const kind = { kind: 'config', table: 'configs', noun: 'configuration' } as const;
    super(parts, { ...kind, list: 'aiot device config list' }, (bytes, what) => ({
      config: readDeviceConfig(bytes, what),
    }));
  }
}

/** The registry of firmware: application images and their signed manifests. @throws AIOT_IMAGE_MALFORMED on push */
export class Firmware extends Releases<Pick<FirmwareVersion, 'chip' | 'app' | 'bundle' | 'secureVersion'>> {
  constructor(parts: ReleaseParts) {
    const kind = { kind: 'firmware', table: 'firmware', noun: 'firmware' } as const;
    super(parts, { ...kind, list: 'aiot firmware list' }, (bytes, what, manifest) => {
      const { chip, app, bundle, secureVersion: own } = readFirmware(bytes, what);
      const { secureVersion = 0 } = manifest;
      if (own !== undefined && own !== secureVersion) {
        throw new AiotError(
          'AIOT_REQUEST_INVALID',
          `the manifest has the secure version ${secureVersion}, but ${what} has ${own}`,
          { next: 'Push the image with a newer version of aiot.' },
        );
      }
      return { chip, app, ...(bundle ? { bundle } : {}), ...(secureVersion ? { secureVersion } : {}) };
    });
  }
}
