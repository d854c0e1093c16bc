import type { ModelSummary, ModelVersion, Origin, Stage } from '../../api/api.js';
import type { PageQuery } from '../../api/page.js';
import { canonicalJson, digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { namePattern } from '../../core/names.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import type { Manifest } from '../../formats/manifest/manifest.js';
import type { BundleInfo, NetworkInfo } from '../../model/bundle/types.js';
import { releaseLeases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import {
  isSamePayload,
  type ReleaseParts,
  ReleaseService,
  requireBlobs,
  type VersionRow,
} from './releases.js';

type ModelRow = VersionRow & { stage: string; removed: number | null; origin: string | null };

/**
 * The model registry. A version's manifests are identified by their sequence numbers alone, which increase over all models. A version may
 * be uploaded without a signature, has a stage, and may be removed (`stages.ts`).
 */
export class Models extends ReleaseService<ModelRow, ModelVersion> {
  constructor(parts: ReleaseParts) {
    const kind = { kind: 'model', table: 'models', turn: 'models', noun: 'model' } as const;
    super(parts, { ...kind, list: 'aiot model list' });
  }

  /** Sorted by name, each with its version in production. */
  async list(page: PageQuery): Promise<{ models: ModelSummary[]; next: string | null }> {
    const { entries, next } = await this.page(page);
    if (entries.length === 0) return { models: [], next };
    const production = await this.parts.store
      .selectFrom('models')
      .select(['name', 'version'])
      .where(
        'name',
        'in',
        entries.map(({ name }) => name),
      )
      .where('stage', '=', 'production')
      .where('removed', 'is', null)
      .orderBy('version', 'desc')
      .execute();
    const inUse = new Map(production.map(({ name, version }) => [name, version]));
    const models = entries.map((entry) => ({ ...entry, production: inUse.get(entry.name) ?? null }));
    return { models, next };
  }

  /** The number of names, and the number of versions. */
  async counts(): Promise<{ models: number; modelVersions: number }> {
    const { names, versions } = await this.rows()
      .select(({ fn }) => [
        fn.count<number>('name').distinct().as('names'),
        fn.countAll<number>().as('versions'),
      ])
      .executeTakeFirstOrThrow();
    return { models: Number(names), modelVersions: Number(versions) };
  }

  async info(name: string, version: number): Promise<Info> {
    return infoOf(await this.row(name, version));
  }

  /**
   * Stores an unsigned upload as the next version of its name. It is listed and downloadable, but never promoted or
   * rolled out before a user signs it (`resign`).
   * @param along additional writes in the same transaction
   * @throws AIOT_REQUEST_INVALID (no name), AIOT_NOT_FOUND (no such blob), AIOT_DIGEST_MISMATCH (the blob has another
   * size)
   */
  addUntrusted(upload: Upload, along?: Along): Promise<ModelVersion> {
    return this.inTurn(() => this.insertUntrusted(upload, along));
  }

  /** Like `addUntrusted`, but returns the newest version with this content if there is one. @throws as `addUntrusted` */
  addOnce(upload: Upload): Promise<ModelVersion> {
    const { name, digest } = upload;
    return this.inTurn(async () => (await this.withContent(name, digest)) ?? this.insertUntrusted(upload));
  }

  private async insertUntrusted(
    { name, digest, bytes, source, file = name, at, who = source }: Upload,
    along?: Along,
  ): Promise<ModelVersion> {
    const { store, blobs, events } = this.parts;
    const { version } = await this.next(name);
    if (!namePattern.test(name)) {
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        `expected a name of letters, digits, dot, dash or underscore`,
      );
    }
    await requireBlobs(blobs, [{ digest, bytes }], 'not ');
    const origin: Origin = { source, file, digest, bytes };
    const row = {
      ...{ name, version, sequence: 0, digest, bytes, pushed: at, info: JSON.stringify(uploadInfo) },
      origin: JSON.stringify(origin),
    };
    const data = { file, digest };
    await store.transaction().execute(async (transaction) => {
      await transaction.insertInto('models').values(row).execute();
      await releaseLeases([digest], transaction);
      await events.record({ who, type: 'model.upload', subject: `${name}@${version}`, data }, transaction);
      await along?.({ version }, transaction);
    });
    return this.get(name, version);
  }

  /** The newest version with this content, as stored or as uploaded; null = none. */
  async withContent(name: string, digest: string): Promise<ModelVersion | null> {
    const rows = await this.rows().selectAll().where('name', '=', name).orderBy('version', 'desc').execute();
    const cards = rows.map((row) => this.cardOf(row as VersionRow as ModelRow));
    return cards.find((card) => card.digest === digest || card.origin?.digest === digest) ?? null;
  }

  /** The manifest with this sequence number, unless its version was removed. @throws AIOT_NOT_FOUND */
  async manifest(sequence: number): Promise<Envelope> {
    const row = await this.parts.store
      .selectFrom('manifests')
      .innerJoin('models', (join) =>
        join.onRef('models.name', '=', 'manifests.name').onRef('models.version', '=', 'manifests.version'),
      )
      .select('envelope')
      .where('manifests.sequence', '=', sequence)
      .where('removed', 'is', null)
      .executeTakeFirst();
    if (row) return JSON.parse(row.envelope) as Envelope;
    throw new AiotError('AIOT_NOT_FOUND', `no manifest has the sequence number ${sequence}`);
  }

  /**
   * The manifest with this sequence number, after its signatures are verified.
   * @throws AIOT_NOT_FOUND, AIOT_SIGNATURE_INVALID
   */
  async verified(sequence: number): Promise<Manifest> {
    return this.checked(await this.manifest(sequence));
  }

  /** @throws as `signAnew` */
  resign(envelope: Envelope, who: string): Promise<ModelVersion> {
    return this.signAnew(envelope, who);
  }

  protected async content(manifest: Manifest): Promise<SignedBundle> {
    const { network: _, ...content } = await bundleOf(manifest, this.parts.blobs);
    return content;
  }

  /**
   * For an unsigned version, the manifest may cover a bundle that contains the uploaded file; the bundle then becomes
   * the content.
   */
  protected async resigned(manifest: Manifest, row: ModelRow): Promise<SignedBundle | null> {
    const { name, version, trusted, origin, digest } = this.cardOf(row);
    if (trusted) {
      if (manifest.artifacts[0]?.digest === digest) return null;
      throw new AiotError(
        'AIOT_DIGEST_MISMATCH',
        `${name}@${version} has the digest ${digest}, but the signed content has another one`,
      );
    }
    const { network, ...content } = await bundleOf(manifest, this.parts.blobs);
    if (!origin || origin.digest === content.digest || origin.digest === network) return content;
    throw new AiotError(
      'AIOT_DIGEST_MISMATCH',
      `${name}@${version} has the digest ${origin.digest}, but the signed content has another one`,
    );
  }

  protected async isPushed({ sequence }: Manifest, envelope: Envelope): Promise<boolean> {
    const row = await this.parts.store
      .selectFrom('manifests')
      .select('envelope')
      .where('sequence', '=', sequence)
      .executeTakeFirst();
    return row !== undefined && isSamePayload(row.envelope, envelope);
  }

  /** Always false, because each manifest has its own sequence number, and a repeated manifest fails the check of that number. */
  protected isSigned(): boolean {
    return false;
  }

  protected async insert(row: VersionRow, envelope: Envelope, transaction: Store): Promise<void> {
    await transaction.insertInto('models').values(row).execute();
    await transaction.insertInto('manifests').values(manifestRow(row, envelope)).execute();
  }

  protected async replace(
    { name, version }: ModelRow,
    set: Partial<VersionRow> & { sequence: number },
    envelope: Envelope,
    transaction: Store,
  ): Promise<void> {
    const row = manifestRow({ name, version, sequence: set.sequence }, envelope);
    await transaction.insertInto('manifests').values(row).execute();
    const changed = transaction.updateTable('models').set(set);
    await changed.where('name', '=', name).where('version', '=', version).execute();
  }

  /** The highest sequence number of all manifests, including those of removed versions. */
  protected async newestSequence(): Promise<number> {
    const { sequence } = await this.parts.store
      .selectFrom('manifests')
      .select(({ fn }) => fn.max('sequence').as('sequence'))
      .executeTakeFirstOrThrow();
    return sequence ?? 0;
  }

  protected cardOf(row: ModelRow): ModelVersion {
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
}

function manifestRow(
  { sequence, name, version }: Pick<VersionRow, 'sequence' | 'name' | 'version'>,
  envelope: Envelope,
): Schema['manifests'] {
  return { sequence, name, version, envelope: JSON.stringify(envelope) };
}

/** Description of an unsigned version, whose content has not been examined. */
const uploadInfo = { kind: 'upload' } as const;

type Info = BundleInfo | NetworkInfo | typeof uploadInfo;

function infoOf({ info }: Pick<VersionRow, 'info'>): Info {
  return JSON.parse(info) as Info;
}

function knownOf(info: Info) {
  if (info.kind !== 'model') {
    return { answer: null, classes: [], arenaBytes: null, metrics: null, gates: [], lineage: null };
  }
  const { answer, classes, arenaBytes, metrics, gates, lineage } = info;
  return { answer: { ...answer }, classes, arenaBytes, metrics, gates, lineage: { ...lineage } };
}

/** Additional writes in the transaction that stores a version. */
type Along = (made: { version: number }, transaction: Store) => Promise<unknown>;

/** An unsigned upload; its blob is stored. */
export interface Upload {
  /** Name of the model to which the version is added. */
  name: string;
  digest: string;
  bytes: number;
  /** Origin: `architects-guide` or `dashboard`. */
  source: string;
  /** Original file name; the name of the model when absent. */
  file?: string;
  /** ms since 1970 */
  at: number;
  /** User for the event; the source when absent. */
  who?: string;
}

/** A bundle described by a manifest. */
interface SignedBundle {
  info: BundleInfo | NetworkInfo;
  digest: string;
  bytes: number;
}

/**
 * The bundle in a manifest, which is the manifest's first artifact. Every artifact's blob must exist and have the
 * signed size.
 * @returns the bundle, and the digest of its model file
 * @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH, AIOT_BUNDLE_MALFORMED, AIOT_BUNDLE_TAMPERED, AIOT_REQUEST_INVALID
 */
export async function bundleOf(
  manifest: Manifest,
  blobs: BlobStore,
): Promise<SignedBundle & { network: string }> {
  const { artifacts } = manifest;
  await requireBlobs(blobs, artifacts);
  const { filesOf, requireSameModel, unpackAny } = await import('../../model/index.js');
  const { digest, bytes } = artifacts[0] as Manifest['artifacts'][number];
  const content = await blobs.bytes(digest);
  const bundle = unpackAny(content);
  requireSameModel(manifest, bundle, 'the bundle');
  if (canonicalJson(manifest.files ?? null) !== canonicalJson(filesOf(content))) {
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      'the files listed in the manifest differ from those of the bundle',
    );
  }
  return { info: bundle.info, digest, bytes, network: digestOf(bundle.model) };
}
