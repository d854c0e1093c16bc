import { AiotError } from '../../core/errors.js';
import { namePattern } from '../../core/names.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import type { Manifest } from '../../formats/manifest/manifest.js';
import type { BundleInfo, NetworkInfo } from '../../model/bundle/types.js';
import type { ModelSummary, ModelVersion, Origin, Stage } from '../../registry/api.js';
import { numberOf, type PageQuery, pageOfRows } from '../../registry/page.js';
import { releaseLeases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import type { Events, NewEvent } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Turn, Turns } from '../store/engine.js';
import type { Schema } from '../store/schema.js';
import { bundleOf, checkedManifest, unknownRelease } from './releases.js';
import type { Trust } from './trust.js';

/** The versions that are there, as cards made from their bundle.json. */
export class ModelCards {
  constructor(protected readonly store: Store) {}

  /** By name. */
  async list({ limit, after }: PageQuery): Promise<{ models: ModelSummary[]; next: string | null }> {
    const groups = await this.present()
      .select(['name', ({ fn }) => fn.countAll<number>().as('versions')])
      .$if(after !== undefined, (query) => query.where('name', '>', after ?? ''))
      .groupBy('name')
      .orderBy('name')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(groups, limit, ({ name }) => name);
    if (entries.length === 0) return { models: [], next };
    const names = entries.map(({ name }) => name);
    const latest = await this.present()
      .selectAll()
      .where('name', 'in', names)
      .where('version', '=', (is) =>
        is
          .selectFrom('models as other')
          .select(({ fn }) => fn.max('other.version').as('version'))
          .whereRef('other.name', '=', 'models.name')
          .where('other.removed', 'is', null),
      )
      .execute();
    const production = await this.present()
      .select(['name', 'version'])
      .where('name', 'in', names)
      .where('stage', '=', 'production')
      .orderBy('version', 'desc')
      .execute();
    const cards = new Map(latest.map((row) => [row.name, cardOf(row)]));
    const inUse = new Map(production.map(({ name, version }) => [name, version]));
    const models = entries.flatMap(({ name, versions }) => {
      const card = cards.get(name);
      // Removed between the two looks.
      if (!card) return [];
      return [{ name, versions: Number(versions), latest: card, production: inUse.get(name) ?? null }];
    });
    return { models, next };
  }

  /** Names, and versions of all of them. */
  async counts(): Promise<{ models: number; modelVersions: number }> {
    const { names, versions } = await this.present()
      .select(({ fn }) => [
        fn.count<number>('name').distinct().as('names'),
        fn.countAll<number>().as('versions'),
      ])
      .executeTakeFirstOrThrow();
    return { models: Number(names), modelVersions: Number(versions) };
  }

  /** Newest first. @throws AIOT_NOT_FOUND */
  async versions(
    name: string,
    { limit, after }: PageQuery,
  ): Promise<{ versions: ModelVersion[]; next: string | null }> {
    const rows = await this.present()
      .selectAll()
      .where('name', '=', name)
      .$if(after !== undefined, (query) => query.where('version', '<', numberOf(after ?? '')))
      .orderBy('version', 'desc')
      .limit(limit + 1)
      .execute();
    if (rows.length === 0 && after === undefined) throw await this.unknown(name);
    const { entries, next } = pageOfRows(rows, limit, ({ version }) => String(version));
    return { versions: entries.map(cardOf), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string, version: number): Promise<ModelVersion> {
    return cardOf(await this.row(name, version));
  }

  async info(name: string, version: number): Promise<Info> {
    return infoOf(await this.row(name, version));
  }

  protected async row(name: string, version: number): Promise<ModelRow> {
    const row = await this.present()
      .selectAll()
      .where('name', '=', name)
      .where('version', '=', version)
      .executeTakeFirst();
    if (row) return row;
    throw await this.unknown(name, version);
  }

  private async unknown(name: string, version?: number): Promise<AiotError> {
    const rows = await this.present().select(['name', 'version']).orderBy('version').execute();
    return unknownRelease({ noun: 'model', list: 'aiot model list' }, rows, { name, version });
  }

  private present() {
    return this.store.selectFrom('models').where('removed', 'is', null);
  }
}

/** The registry of models: takes versions and the manifests that vouch for them. */
export class Models extends ModelCards {
  /** For whatever reads and then changes versions. */
  readonly inTurn: Turn;

  constructor(
    store: Store,
    private readonly blobs: BlobStore,
    private readonly trust: Trust,
    private readonly now: () => number,
    private readonly events: Events,
    turns: Turns,
  ) {
    super(store);
    this.inTurn = turns.of('models');
  }

  /** What the next manifest must carry. Sequences rise over all models of the platform. */
  async next(name: string): Promise<{ version: number; sequence: number }> {
    const { version } = await this.store
      .selectFrom('models')
      .select(({ fn }) => fn.max('version').as('version'))
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    const { sequence } = await this.store
      .selectFrom('manifests')
      .select(({ fn }) => fn.max('sequence').as('sequence'))
      .executeTakeFirstOrThrow();
    return { version: (version ?? 0) + 1, sequence: (sequence ?? 0) + 1 };
  }

  /**
   * Takes a new version: signature, name, version and sequence, then the bundle behind it. Pushing the same envelope
   * again answers as the first time did.
   * @throws AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_NOT_FOUND (blob), AIOT_DIGEST_MISMATCH, AIOT_BUNDLE_MALFORMED
   */
  push(name: string, envelope: Envelope, who: string): Promise<ModelVersion> {
    return this.inTurn(() => this.add(name, envelope, who));
  }

  /**
   * Takes what came in by a door that asks for no signature as the next version of its name: listed and downloadable, never
   * promoted or rolled out before somebody signs it (`resign`).
   * `along` writes of it elsewhere, in the same transaction.
   * @throws AIOT_REQUEST_INVALID, AIOT_NOT_FOUND (blob), AIOT_DIGEST_MISMATCH
   */
  addUntrusted(upload: Upload, along?: AlongUpload): Promise<ModelVersion> {
    const { store, blobs, events } = this;
    return this.inTurn(async () => {
      const { version } = await this.next(upload.name);
      return insertUpload({ store, blobs, events }, upload, version, along);
    });
  }

  /**
   * Takes a manifest signed anew for a version that is there. Of a version that nobody had signed it may vouch for a bundle
   * around what came in, which then is its content.
   * @throws AIOT_VERSION_CONFLICT, AIOT_DIGEST_MISMATCH, AIOT_BUNDLE_MALFORMED
   */
  resign(envelope: Envelope, who: string): Promise<ModelVersion> {
    return this.inTurn(() => this.addManifest(envelope, who));
  }

  private async add(name: string, envelope: Envelope, who: string): Promise<ModelVersion> {
    const manifest = await checkedManifest(envelope, await this.trust.get());
    if (manifest.name !== name) {
      throw new AiotError('AIOT_REQUEST_INVALID', `expected a manifest for ${name}, got ${manifest.name}`);
    }
    const same = await this.envelope(manifest.sequence);
    if (same?.payload === envelope.payload) return this.get(name, manifest.version);
    await this.expectNext(manifest, true);
    const { info, digest, bytes } = await bundleOf(manifest, this.blobs);
    await this.store.transaction().execute(async (store) => {
      await store
        .insertInto('models')
        .values({
          name,
          version: manifest.version,
          sequence: manifest.sequence,
          digest,
          bytes,
          pushed: this.now(),
          info: JSON.stringify(info),
        })
        .execute();
      await store.insertInto('manifests').values(manifestRow(manifest, envelope)).execute();
      await releaseLeases(digestsOf(manifest), store);
      await this.events.record(eventOf('model.push', manifest, envelope, who), store);
    });
    return this.get(name, manifest.version);
  }

  private async addManifest(envelope: Envelope, who: string): Promise<ModelVersion> {
    const manifest = await checkedManifest(envelope, await this.trust.get());
    const { name, version, sequence } = manifest;
    const card = await this.get(name, version);
    await this.expectNext(manifest, false);
    const content = card.trusted ? null : await bundleOf(manifest, this.blobs);
    if (content) requireOrigin(card, content);
    else if (manifest.artifacts[0]?.digest !== card.digest) {
      throw new AiotError('AIOT_DIGEST_MISMATCH', `${name}@${version} is ${card.digest}, not what is signed`);
    }
    const { digest, bytes, info } = content ?? {};
    await this.store.transaction().execute(async (store) => {
      await store.insertInto('manifests').values(manifestRow(manifest, envelope)).execute();
      await releaseLeases(digestsOf(manifest), store);
      await store
        .updateTable('models')
        .set({ sequence, ...(info ? { digest, bytes, info: JSON.stringify(info) } : {}) })
        .where('name', '=', name)
        .where('version', '=', version)
        .execute();
      await this.events.record(eventOf('model.sign', manifest, envelope, who), store);
    });
    return this.get(name, version);
  }

  /** Not that of a version that was removed. @throws AIOT_NOT_FOUND */
  async manifest(sequence: number): Promise<Envelope> {
    const row = await this.store
      .selectFrom('manifests')
      .innerJoin('models', (join) =>
        join.onRef('models.name', '=', 'manifests.name').onRef('models.version', '=', 'manifests.version'),
      )
      .select('envelope')
      .where('manifests.sequence', '=', sequence)
      .where('removed', 'is', null)
      .executeTakeFirst();
    if (row) return JSON.parse(row.envelope) as Envelope;
    throw new AiotError('AIOT_NOT_FOUND', `there is no manifest with sequence ${sequence}`);
  }

  /** The manifest of this sequence with its signatures checked. @throws AIOT_NOT_FOUND, AIOT_SIGNATURE_INVALID */
  async verified(sequence: number): Promise<Manifest> {
    return checkedManifest(await this.manifest(sequence), await this.trust.get());
  }

  private async envelope(sequence: number): Promise<Envelope | null> {
    const row = await this.store
      .selectFrom('manifests')
      .select('envelope')
      .where('sequence', '=', sequence)
      .executeTakeFirst();
    return row ? (JSON.parse(row.envelope) as Envelope) : null;
  }

  private async expectNext(manifest: Manifest, fresh: boolean): Promise<void> {
    const next = await this.next(manifest.name);
    const wrong = manifest.sequence !== next.sequence || (fresh && manifest.version !== next.version);
    if (!wrong) return;
    throw new AiotError(
      'AIOT_VERSION_CONFLICT',
      `expected version ${next.version} and sequence ${next.sequence}, got ${manifest.version} and ${manifest.sequence}`,
    );
  }
}

function digestsOf({ artifacts }: Manifest): string[] {
  return artifacts.map(({ digest }) => digest);
}

function manifestRow(manifest: Manifest, envelope: Envelope): Schema['manifests'] {
  const { sequence, name, version } = manifest;
  return { sequence, name, version, envelope: JSON.stringify(envelope) };
}

function eventOf(type: NewEvent['type'], manifest: Manifest, envelope: Envelope, who: string): NewEvent {
  const { name, version, sequence, artifacts } = manifest;
  const keys = envelope.signatures.map(({ keyid }) => keyid);
  return {
    who,
    type,
    subject: `${name}@${version}`,
    data: { sequence, digest: artifacts[0]?.digest, keys },
  };
}

type ModelRow = Omit<Schema['models'], 'stage' | 'removed' | 'origin'> & {
  stage: string;
  removed: number | null;
  origin: string | null;
};

/** What is known of a version that came in without a signature: nobody has looked into it. */
const uploadInfo = { kind: 'upload' } as const;

type Info = BundleInfo | NetworkInfo | typeof uploadInfo;

function infoOf(row: ModelRow): Info {
  return JSON.parse(row.info) as Info;
}

function cardOf(row: ModelRow): ModelVersion {
  const info = infoOf(row);
  const { name, version, sequence, digest, bytes, pushed } = row;
  return {
    name,
    version,
    sequence,
    trusted: sequence > 0,
    origin: row.origin === null ? null : (JSON.parse(row.origin) as Origin),
    digest,
    bytes,
    pushed,
    stage: row.stage as Stage,
    kind: info.kind,
    mode: info.kind === 'upload' ? 'unknown' : info.quantization.mode,
    ...knownOf(info),
  };
}

function knownOf(info: Info) {
  if (info.kind !== 'model') {
    return { answer: null, classes: [], arenaBytes: null, metrics: null, gates: [], lineage: null };
  }
  const { answer, classes, arenaBytes, metrics, gates, lineage } = info;
  return { answer: { ...answer }, classes, arenaBytes, metrics, gates, lineage: { ...lineage } };
}

/** What came in by a door that asks for no signature; its blob is there. */
export interface Upload {
  /** Of the model that it becomes a version of. */
  name: string;
  digest: string;
  bytes: number;
  /** Which door: `architects-guide`. */
  source: string;
  /** What it was called there; the name of the model when absent. */
  file?: string;
  /** ms since 1970 */
  at: number;
}

/** What is written down of it elsewhere, in the same transaction. */
type AlongUpload = (made: { version: number }, transaction: Store) => Promise<unknown>;

/**
 * Writes it down as the next version of its name, signed by nobody. In turn with what else makes versions.
 * @throws AIOT_REQUEST_INVALID (no name), AIOT_NOT_FOUND (no such blob), AIOT_DIGEST_MISMATCH (of another size)
 */
async function insertUpload(
  { store, blobs, events }: { store: Store; blobs: BlobStore; events: Events },
  upload: Upload,
  version: number,
  along?: AlongUpload,
): Promise<ModelVersion> {
  const { name, digest, bytes, source, file = name, at } = upload;
  if (!namePattern.test(name)) {
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `expected a name of letters, digits, dot, dash or underscore`,
    );
  }
  const size = await blobs.size(digest);
  if (size === null) throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} was not uploaded`);
  if (size !== bytes) {
    throw new AiotError('AIOT_DIGEST_MISMATCH', `${digest} has ${size} bytes, not ${bytes}`);
  }
  const origin: Origin = { source, file, digest, bytes };
  const row = {
    ...{ name, version, sequence: 0, digest, bytes, pushed: at, info: JSON.stringify(uploadInfo) },
    origin: JSON.stringify(origin),
  };
  await store.transaction().execute(async (transaction) => {
    await transaction.insertInto('models').values(row).execute();
    await releaseLeases([digest], transaction);
    const event = {
      who: source,
      type: 'model.upload' as const,
      subject: `${name}@${version}`,
      data: { file, digest },
    };
    await events.record(event, transaction);
    await along?.({ version }, transaction);
  });
  return cardOf({ ...row, stage: 'dev', removed: null });
}

/** What is signed must be what came in: the bundle itself, or one around that very network. @throws AIOT_DIGEST_MISMATCH */
function requireOrigin(
  { name, version, origin }: ModelVersion,
  signed: { digest: string; network: string },
): void {
  if (!origin || origin.digest === signed.digest || origin.digest === signed.network) return;
  throw new AiotError('AIOT_DIGEST_MISMATCH', `${name}@${version} is ${origin.digest}, not what is signed`);
}
