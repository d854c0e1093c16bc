import { canonicalJson, digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { didYouMean } from '../../core/text.js';
import { readDeviceConfig } from '../../formats/device-config.js';
import type { Envelope, TrustRoot } from '../../formats/manifest/envelope.js';
import { type Manifest, verifyManifest } from '../../formats/manifest/manifest.js';
import type { BundleInfo, NetworkInfo } from '../../model/bundle/types.js';
import type { ConfigVersion } from '../../registry/config-api.js';
import { readFirmware } from '../../registry/firmware/image.js';
import type { FirmwareVersion } from '../../registry/firmware-api.js';
import { numberOf, type PageQuery, pageOfRows } from '../../registry/page.js';
import { releaseLeases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Turn, Turns } from '../store/engine.js';
import type { ReleaseRow } from '../store/schema.js';
import type { Trust } from './trust.js';

interface ReleaseParts {
  store: Store;
  blobs: BlobStore;
  trust: Trust;
  events: Events;
  turns: Turns;
  /** ms since 1970 */
  now: () => number;
}

/** What firmware and configurations have in common, and where they differ. */
interface ReleaseKind<Info> {
  kind: 'firmware' | 'config';
  table: 'firmware' | 'configs';
  /** `firmware` or `configuration`, for errors. */
  noun: string;
  /** The command that lists them. */
  list: string;
  /** What the manifest's bytes are: @throws where they are none of this kind. */
  read(bytes: Uint8Array, what: string): Info;
}

/** What every version tells. */
type ReleaseCard<Info> = Pick<ReleaseRow, 'name' | 'version' | 'sequence' | 'digest' | 'bytes' | 'pushed'> & {
  deviceTypes: string[];
} & Info;

/** A registry of releases beside the models': contents by version, and the manifests that vouch for them. */
export class Releases<Info extends object> {
  private readonly inTurn: Turn;

  constructor(
    private readonly parts: ReleaseParts,
    private readonly of: ReleaseKind<Info>,
  ) {
    // One turn for all of them: orphans and backups wait for it.
    this.inTurn = parts.turns.of('firmware');
  }

  /** What the next manifest must carry. Sequences rise over all releases of a kind. */
  async next(name: string): Promise<{ version: number; sequence: number }> {
    const all = this.rows();
    const { version } = await all
      .select(({ fn }) => fn.max('version').as('version'))
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    const { sequence } = await all
      .select(({ fn }) => fn.max('sequence').as('sequence'))
      .executeTakeFirstOrThrow();
    return { version: (version ?? 0) + 1, sequence: (sequence ?? 0) + 1 };
  }

  /**
   * Takes a new version: signature, name, version and sequence, then what is behind it. The same envelope again answers
   * as the first time did.
   * @throws AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_NOT_FOUND (blob), AIOT_DIGEST_MISMATCH, and what `read` throws
   */
  push(name: string, envelope: Envelope, who: string): Promise<ReleaseCard<Info>> {
    return this.inTurn(async () => {
      const { store, events, now } = this.parts;
      const manifest = await this.checked(name, envelope);
      const { version, sequence } = manifest;
      const same = await this.row(name, version);
      if (same && samePayload(same, envelope)) return this.cardOf(same);
      const next = await this.next(name);
      if (version !== next.version || sequence !== next.sequence) {
        throw new AiotError(
          'AIOT_VERSION_CONFLICT',
          `expected version ${next.version} and sequence ${next.sequence}, got ${version} and ${sequence}`,
        );
      }
      const { digest, bytes, info } = await this.content(manifest);
      const row = {
        ...{ name, version, sequence, digest, bytes, pushed: now() },
        ...{ info: JSON.stringify(info), envelope: JSON.stringify(envelope) },
      };
      await store.transaction().execute(async (transaction) => {
        await transaction.insertInto(this.table).values(row).execute();
        await releaseLeases([digest], transaction);
        await events.record(this.event('push', manifest, envelope, who), transaction);
      });
      return this.cardOf(row);
    });
  }

  /**
   * Takes a version's manifest signed anew, with the next sequence: the same bytes for the same types of device. What rollouts under way have begun
   * with stays there for them.
   * @throws AIOT_NOT_FOUND, AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_REQUEST_INVALID
   */
  sign(name: string, version: number, envelope: Envelope, who: string): Promise<ReleaseCard<Info>> {
    return this.inTurn(async () => {
      const { store, events } = this.parts;
      const manifest = await this.checked(name, envelope);
      const row = await this.known(name, version);
      if (samePayload(row, envelope)) return this.cardOf(row);
      const [artifact, ...more] = manifest.artifacts;
      const types = (JSON.parse(row.info) as { deviceTypes: string[] }).deviceTypes;
      if (
        manifest.version !== version ||
        more.length > 0 ||
        artifact?.digest !== row.digest ||
        artifact.bytes !== row.bytes ||
        manifest.deviceTypes.join() !== types.join()
      ) {
        throw new AiotError(
          'AIOT_REQUEST_INVALID',
          `what is signed is not ${name}@${version} as it was pushed`,
        );
      }
      const next = await this.next(name);
      const { sequence } = manifest;
      if (sequence !== next.sequence) {
        throw new AiotError('AIOT_VERSION_CONFLICT', `expected sequence ${next.sequence}, got ${sequence}`);
      }
      const signed = { sequence, envelope: JSON.stringify(envelope) };
      await store.transaction().execute(async (transaction) => {
        const before = { kind: this.of.kind, name, version, sequence: row.sequence, envelope: row.envelope };
        await transaction.insertInto('releaseManifests').values(before).execute();
        const at = transaction.updateTable(this.table).set(signed).where('name', '=', name);
        await at.where('version', '=', version).execute();
        await events.record(this.event('sign', manifest, envelope, who), transaction);
      });
      return this.cardOf({ ...row, ...signed });
    });
  }

  /** By name. */
  async list({ limit, after }: PageQuery): Promise<{
    entries: { name: string; versions: number; latest: ReleaseCard<Info> }[];
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
    const found = [];
    for (const { name, versions } of entries) {
      const newest = this.rows().selectAll().where('name', '=', name);
      const row = await newest.orderBy('version', 'desc').limit(1).executeTakeFirstOrThrow();
      found.push({ name, versions: Number(versions), latest: this.cardOf(row) });
    }
    return { entries: found, next };
  }

  /** Newest first. @throws AIOT_NOT_FOUND */
  async versions(
    name: string,
    { limit, after }: PageQuery,
  ): Promise<{ versions: ReleaseCard<Info>[]; next: string | null }> {
    const rows = await this.rows()
      .selectAll()
      .where('name', '=', name)
      .$if(after !== undefined, (query) => query.where('version', '<', numberOf(after ?? '')))
      .orderBy('version', 'desc')
      .limit(limit + 1)
      .execute();
    if (rows.length === 0 && after === undefined) throw await this.unknown(name);
    const { entries, next } = pageOfRows(rows, limit, ({ version }) => String(version));
    return { versions: entries.map((row) => this.cardOf(row)), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string, version: number): Promise<ReleaseCard<Info>> {
    return this.cardOf(await this.known(name, version));
  }

  /** The newest, or the one of a sequence. @throws AIOT_NOT_FOUND */
  async manifest(name: string, version: number, sequence?: number): Promise<Envelope> {
    const row = await this.known(name, version);
    if (sequence === undefined || sequence === row.sequence) return JSON.parse(row.envelope) as Envelope;
    const before = await this.parts.store
      .selectFrom('releaseManifests')
      .select('envelope')
      .where('kind', '=', this.of.kind)
      .where('sequence', '=', sequence)
      .where('name', '=', name)
      .where('version', '=', version)
      .executeTakeFirst();
    if (before) return JSON.parse(before.envelope) as Envelope;
    throw this.notFound(`${name}@${version} has no manifest with the sequence ${sequence}`);
  }

  /** Its manifest with the signatures checked, as it is rolled out. @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_SIGNATURE_INVALID */
  async verified(name: string, version: number, sequence: number): Promise<Manifest> {
    const manifest = await this.checked(name, await this.manifest(name, version));
    if (manifest.sequence === sequence) return manifest;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `the manifest of ${name}@${version} has the sequence ${manifest.sequence}, not ${sequence}`,
    );
  }

  /** Both tables have the same columns. */
  private get table(): 'firmware' {
    return this.of.table as 'firmware';
  }

  private rows() {
    return this.parts.store.selectFrom(this.table);
  }

  private event(
    action: 'push' | 'sign',
    { name, version, ...manifest }: Manifest,
    envelope: Envelope,
    who: string,
  ) {
    const keys = envelope.signatures.map(({ keyid }) => keyid);
    const data = { sequence: manifest.sequence, digest: manifest.artifacts[0]?.digest ?? '', keys };
    return { who, type: `${this.of.kind}.${action}` as const, subject: `${name}@${version}`, data };
  }

  private async checked(name: string, envelope: Envelope): Promise<Manifest> {
    const trust = await this.parts.trust.get();
    if (!trust) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    const manifest = verifyManifest(envelope, trust);
    if (manifest.kind === this.of.kind && manifest.name === name) return manifest;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `expected a manifest of the ${this.of.noun} ${name}, got one of the ${manifest.kind} ${manifest.name}`,
    );
  }

  /** What the manifest vouches for, which must be there and be of this kind. */
  private async content(
    manifest: Manifest,
  ): Promise<{ digest: string; bytes: number; info: Info & { deviceTypes: string[] } }> {
    const [artifact, ...more] = manifest.artifacts;
    if (!artifact || more.length > 0) {
      throw new AiotError('AIOT_REQUEST_INVALID', `expected one artifact, got ${manifest.artifacts.length}`);
    }
    const { digest, bytes } = artifact;
    const size = await this.parts.blobs.size(digest);
    if (size === null) throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} was not uploaded`);
    if (size !== bytes) {
      throw new AiotError('AIOT_DIGEST_MISMATCH', `${digest} has ${size} bytes, the manifest says ${bytes}`);
    }
    const info = this.of.read(await this.parts.blobs.bytes(digest), artifact.name);
    return { digest, bytes, info: { ...info, deviceTypes: manifest.deviceTypes } };
  }

  private async known(name: string, version: number): Promise<ReleaseRow> {
    const row = await this.row(name, version);
    if (row) return row;
    throw await this.unknown(name, version);
  }

  private async unknown(name: string, version?: number): Promise<AiotError> {
    const all = await this.rows().select(['name', 'version']).orderBy('version').execute();
    return unknownRelease(this.of, all, { name, version });
  }

  private notFound(message: string): AiotError {
    return new AiotError('AIOT_NOT_FOUND', message, { next: this.of.list });
  }

  private async row(name: string, version: number): Promise<ReleaseRow | undefined> {
    const query = this.rows().selectAll().where('name', '=', name);
    return await query.where('version', '=', version).executeTakeFirst();
  }

  private cardOf(row: ReleaseRow): ReleaseCard<Info> {
    const { name, version, sequence, digest, bytes, pushed } = row;
    const info = JSON.parse(row.info) as Info & { deviceTypes: string[] };
    return { name, version, sequence, digest, bytes, pushed, ...info };
  }
}

function samePayload(row: ReleaseRow, envelope: Envelope): boolean {
  return (JSON.parse(row.envelope) as Envelope).payload === envelope.payload;
}

/**
 * The refusal of a name, or of a version of a name that exists, with the one that was meant.
 * @param all every version there is, ascending for each name
 */
export function unknownRelease(
  { noun, list }: { noun: string; list: string },
  all: readonly { name: string; version: number }[],
  { name, version }: { name: string; version?: number | undefined },
): AiotError {
  const versions = all.filter((row) => row.name === name).map((row) => row.version);
  const newest = versions.at(-1);
  const message =
    newest === undefined
      ? `no ${noun} is named ${name}${didYouMean(name, [...new Set(all.map((row) => row.name))])}`
      : `there is no ${noun} ${name}@${version}; the newest is ${name}@${newest}`;
  return new AiotError('AIOT_NOT_FOUND', message, { next: list });
}

/**
 * The manifest of a model, its signatures checked against the trust root.
 * @throws AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_MANIFEST_MALFORMED, AIOT_REQUEST_INVALID
 */
export function checkedManifest(envelope: Envelope, trust: TrustRoot | null): Manifest {
  if (!trust) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const manifest = verifyManifest(envelope, trust);
  if (manifest.kind === 'model') return manifest;
  throw new AiotError('AIOT_REQUEST_INVALID', `expected a manifest of a model, got ${manifest.kind}`);
}

/**
 * The bundle that a manifest vouches for, which is its first artifact. Every artifact's blob must be there, and be of the
 * size that was signed; a blob's bytes are those of its digest, for it was taken under it.
 * @returns besides, the digest of its network
 * @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH, AIOT_BUNDLE_MALFORMED, AIOT_BUNDLE_TAMPERED, AIOT_REQUEST_INVALID
 */
export async function bundleOf(
  manifest: Manifest,
  blobs: BlobStore,
): Promise<{ info: BundleInfo | NetworkInfo; digest: string; bytes: number; network: string }> {
  const { artifacts } = manifest;
  for (const { digest, bytes } of artifacts) {
    const size = await blobs.size(digest);
    if (size === null) throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} was not uploaded`);
    if (size !== bytes) {
      throw new AiotError('AIOT_DIGEST_MISMATCH', `${digest} has ${size} bytes, the manifest says ${bytes}`);
    }
  }
  const { filesOf, requireSameModel, unpackAny } = await import('../../model/index.js');
  const { digest, bytes } = artifacts[0] as Manifest['artifacts'][number];
  const bundle = unpackAny(await blobs.bytes(digest));
  requireSameModel(manifest, bundle, 'the bundle');
  if (canonicalJson(manifest.files ?? null) !== canonicalJson(filesOf(bundle))) {
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      'the files that the manifest names are not those of the bundle',
    );
  }
  return { info: bundle.info, digest, bytes, network: digestOf(bundle.model) };
}

/** The registry of devices' configurations. @throws AIOT_CONFIG_MALFORMED on push */
export class Configs extends Releases<Pick<ConfigVersion, 'config'>> {
  constructor(parts: ReleaseParts) {
    super(parts, {
      ...{ kind: 'config', table: 'configs', noun: 'configuration', list: 'aiot device config list' },
      read: (bytes, what) => ({ config: readDeviceConfig(bytes, what) }),
    });
  }
}

/** The registry of firmware: application images and the manifests that vouch for them. @throws AIOT_IMAGE_MALFORMED on push */
export class Firmware extends Releases<Pick<FirmwareVersion, 'chip' | 'app' | 'bundle'>> {
  constructor(parts: ReleaseParts) {
    super(parts, {
      ...{ kind: 'firmware', table: 'firmware', noun: 'firmware', list: 'aiot firmware list' },
      read(bytes, what) {
        const { chip, app, bundle } = readFirmware(bytes, what);
        return { chip, app, ...(bundle ? { bundle } : {}) };
      },
    });
  }
}
