import { AiotError } from '../../core/index.js';
import { type Envelope, type Manifest, type TrustRoot, verifyManifest } from '../../formats/index.js';
import type { BundleInfo } from '../../model/index.js';
import type { ModelSummary, ModelVersion } from '../../registry/index.js';
import type { BlobStore } from '../blobs/store.js';
import { serially } from '../serially.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import type { Trust } from './trust.js';

/** The registry of models: versions, the manifests that vouch for them, and their cards. */
export class Models {
  private readonly inTurn = serially();

  constructor(
    private readonly store: Store,
    private readonly blobs: BlobStore,
    private readonly trust: Trust,
    private readonly now: () => number,
  ) {}

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
  push(name: string, envelope: Envelope): Promise<ModelVersion> {
    return this.inTurn(() => this.add(name, envelope));
  }

  /** Takes a manifest signed anew for a version that is there. @throws AIOT_VERSION_CONFLICT, AIOT_DIGEST_MISMATCH */
  resign(envelope: Envelope): Promise<ModelVersion> {
    return this.inTurn(() => this.addManifest(envelope));
  }

  private async add(name: string, envelope: Envelope): Promise<ModelVersion> {
    const manifest = await this.checked(envelope);
    if (manifest.name !== name) {
      throw new AiotError('AIOT_REQUEST_INVALID', `expected a manifest for ${name}, got ${manifest.name}`);
    }
    const same = await this.envelope(manifest.sequence);
    if (same?.payload === envelope.payload) return this.get(name, manifest.version);
    await this.expectNext(manifest, true);
    const { info, digest, bytes } = await this.bundleOf(manifest);
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
    });
    return this.get(name, manifest.version);
  }

  private async addManifest(envelope: Envelope): Promise<ModelVersion> {
    const manifest = await this.checked(envelope);
    const { name, version, sequence } = manifest;
    const card = await this.get(name, version);
    await this.expectNext(manifest, false);
    if (manifest.artifacts[0]?.digest !== card.digest) {
      throw new AiotError('AIOT_DIGEST_MISMATCH', `${name}@${version} is ${card.digest}, not what is signed`);
    }
    await this.store.transaction().execute(async (store) => {
      await store.insertInto('manifests').values(manifestRow(manifest, envelope)).execute();
      await store
        .updateTable('models')
        .set({ sequence })
        .where('name', '=', name)
        .where('version', '=', version)
        .execute();
    });
    return this.get(name, version);
  }

  async list(): Promise<ModelSummary[]> {
    const rows = await this.store
      .selectFrom('models')
      .selectAll()
      .orderBy('name')
      .orderBy('version')
      .execute();
    const byName = groupByName(rows);
    return [...byName].map(([name, versions]) => ({
      name,
      versions: versions.length,
      latest: cardOf(versions.at(-1) as Row),
    }));
  }

  /** Newest first. @throws AIOT_NOT_FOUND */
  async versions(name: string): Promise<ModelVersion[]> {
    const rows = await this.store
      .selectFrom('models')
      .selectAll()
      .where('name', '=', name)
      .orderBy('version', 'desc')
      .execute();
    if (rows.length > 0) return rows.map(cardOf);
    throw new AiotError('AIOT_NOT_FOUND', `no model is named ${name}`, { next: 'aiot model list' });
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string, version: number): Promise<ModelVersion> {
    return cardOf(await this.row(name, version));
  }

  async info(name: string, version: number): Promise<BundleInfo> {
    return infoOf(await this.row(name, version));
  }

  /** @throws AIOT_NOT_FOUND */
  async manifest(sequence: number): Promise<Envelope> {
    const envelope = await this.envelope(sequence);
    if (envelope) return envelope;
    throw new AiotError('AIOT_NOT_FOUND', `there is no manifest with sequence ${sequence}`);
  }

  /** The manifest of this sequence with its signatures checked. @throws AIOT_NOT_FOUND, AIOT_SIGNATURE_INVALID */
  async verified(sequence: number): Promise<Manifest> {
    return this.checked(await this.manifest(sequence));
  }

  private async row(name: string, version: number): Promise<Row> {
    const row = await this.store
      .selectFrom('models')
      .selectAll()
      .where('name', '=', name)
      .where('version', '=', version)
      .executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `there is no ${name}@${version}`, { next: 'aiot model list' });
  }

  private async envelope(sequence: number): Promise<Envelope | null> {
    const row = await this.store
      .selectFrom('manifests')
      .select('envelope')
      .where('sequence', '=', sequence)
      .executeTakeFirst();
    return row ? (JSON.parse(row.envelope) as Envelope) : null;
  }

  private async checked(envelope: Envelope): Promise<Manifest> {
    const trust: TrustRoot | null = await this.trust.get();
    if (!trust) throw new AiotError('AIOT_TRUST_CONFLICT', 'the platform has no trust root yet');
    const manifest = verifyManifest(envelope, trust);
    if (manifest.kind === 'model') return manifest;
    throw new AiotError('AIOT_REQUEST_INVALID', `expected a manifest of a model, got ${manifest.kind}`);
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

  /** The first artifact is the bundle; every artifact's blob must be there, and be of the size that was signed. */
  private async bundleOf(manifest: Manifest): Promise<{ info: BundleInfo; digest: string; bytes: number }> {
    for (const { digest, bytes } of manifest.artifacts) {
      const size = await this.blobs.size(digest);
      if (size === null) throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} was not uploaded`);
      if (size !== bytes) {
        throw new AiotError(
          'AIOT_DIGEST_MISMATCH',
          `${digest} has ${size} bytes, the manifest says ${bytes}`,
        );
      }
    }
    const { unpackBundle } = await import('../../model/index.js');
    const { digest, bytes } = manifest.artifacts[0] as Manifest['artifacts'][number];
    const { info } = unpackBundle(await this.blobs.bytes(digest));
    if (info.name === manifest.name) return { info, digest, bytes };
    throw new AiotError('AIOT_REQUEST_INVALID', `the bundle is ${info.name}, the manifest ${manifest.name}`);
  }
}

type Row = Schema['models'];

function manifestRow(manifest: Manifest, envelope: Envelope): Schema['manifests'] {
  const { sequence, name, version } = manifest;
  return { sequence, name, version, envelope: JSON.stringify(envelope) };
}

function infoOf(row: Row): BundleInfo {
  return JSON.parse(row.info) as BundleInfo;
}

function cardOf(row: Row): ModelVersion {
  const { classes, arenaBytes, metrics, lineage } = infoOf(row);
  const { name, version, sequence, digest, bytes, pushed } = row;
  return {
    name,
    version,
    sequence,
    digest,
    bytes,
    pushed,
    classes,
    arenaBytes,
    metrics,
    lineage: { ...lineage },
  };
}

function groupByName(rows: Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(row.name, [...(groups.get(row.name) ?? []), row]);
  return groups;
}
