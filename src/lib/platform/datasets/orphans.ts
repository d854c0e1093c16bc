import type { Logger } from 'pino';
import type { Origin } from '../../api/api.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import { peekManifest } from '../../formats/manifest/manifest.js';
import { type Leases, leaseMs } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import type { Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';
import { every, type Worker } from '../workers.js';

interface Parts {
  store: Store;
  blobs: BlobStore;
  leases: Leases;
  turns: Turns;
  /** ms since 1970 */
  now: () => number;
}

/** Compares blobs with the references to them: unreferenced blobs are deleted, missing blobs are reported. */
export class Orphans {
  private known: readonly Reference[] = [];

  constructor(private readonly parts: Parts) {}

  /** Referenced blobs that did not exist at the last check. */
  get missing(): readonly Reference[] {
    return this.known;
  }

  /** Looks for missing blobs. A blob absent from the listing is looked up again, because it may have been added during the listing. */
  async check(): Promise<readonly Reference[]> {
    const { store, blobs } = this.parts;
    const there = new Set<string>();
    for await (const { digest } of blobs.list()) there.add(digest);
    const wanted = (await references(store)).filter(({ digest }) => !there.has(digest));
    const missing: Reference[] = [];
    for (const reference of wanted) {
      if ((await blobs.size(reference.digest)) === null) missing.push(reference);
    }
    this.known = missing;
    return missing;
  }

  /**
   * Deletes blobs that are unreferenced and were uploaded more than a day ago. Serialized with everything that refers
   * to blobs, so that no reference can be added between the check and the removal.
   * @returns digests of the deleted blobs
   */
  sweep(): Promise<string[]> {
    const { turns } = this.parts;
    return turns.of('models')(() => turns.of('firmware')(() => this.removeOrphans()));
  }

  private async removeOrphans(): Promise<string[]> {
    const { store, blobs, leases, now } = this.parts;
    const kept = await leases.current();
    for (const { digest } of await references(store)) kept.add(digest);
    const gone: string[] = [];
    for await (const { digest, at } of blobs.list()) {
      if (kept.has(digest) || at > now() - leaseMs) continue;
      // The blob may have been uploaded since the check. Its lease was recorded before its bytes.
      if ((await leases.current()).has(digest)) continue;
      // The delta is deleted before its blob, because the blob of an advertised delta must exist.
      await store.deleteFrom('deltas').where('digest', '=', digest).execute();
      await blobs.remove(digest);
      gone.push(digest);
    }
    return gone;
  }
}

/** A reference from the registry to a blob. */
export interface Reference {
  digest: string;
  /** Owner of the reference: `model har@3`, `firmware blink@1`. */
  by: string;
}

/**
 * Digests of all blobs that must exist: contents and original files of versions, artifacts of manifests, the guide's files, and patches to
 * existing releases.
 */
export async function references(store: Store): Promise<Reference[]> {
  const models = await store
    .selectFrom('models')
    .select(['name', 'version', 'digest', 'origin'])
    .where('removed', 'is', null)
    .execute();
  const found = models.flatMap(({ name, version, digest, origin }) => {
    const by = `model ${name}@${version}`;
    const own = origin === null ? [] : [{ digest: (JSON.parse(origin) as Origin).digest, by }];
    return [{ digest, by }, ...own];
  });
  const firmware = await store.selectFrom('firmware').select(['name', 'version', 'digest']).execute();
  for (const { name, version, digest } of firmware) found.push({ digest, by: `firmware ${name}@${version}` });
  const configs = await store.selectFrom('configs').select(['name', 'version', 'digest']).execute();
  for (const { name, version, digest } of configs) found.push({ digest, by: `config ${name}@${version}` });
  const manifests = await store
    .selectFrom('manifests')
    .innerJoin('models', (join) =>
      join.onRef('models.name', '=', 'manifests.name').onRef('models.version', '=', 'manifests.version'),
    )
    .select(['manifests.name', 'manifests.version', 'envelope'])
    .where('removed', 'is', null)
    .execute();
  for (const { digest, folder, name } of await guideFiles(store))
    found.push({ digest, by: `guide ${folder}/${name}` });
  const known = new Set(found.map(({ digest }) => digest));
  for (const { name, version, envelope } of manifests) {
    for (const { digest } of peekManifest(JSON.parse(envelope) as Envelope).artifacts) {
      if (!known.has(digest)) found.push({ digest, by: `model ${name}@${version}` });
      known.add(digest);
    }
  }
  const elfs = await store.selectFrom('crashSymbols').select(['digest', 'build']).execute();
  for (const { digest, build } of elfs) found.push({ digest, by: `the ELF file of build ${build}` });
  for (const { digest } of await deltas(store)) found.push({ digest, by: 'a delta update' });
  return found;
}

/** Patches to releases that still exist; no other patches are needed. */
async function deltas(store: Store): Promise<{ digest: string }[]> {
  const rows = await store
    .selectFrom('deltas')
    .leftJoin('models', (join) => join.onRef('models.digest', '=', 'target').on('removed', 'is', null))
    .leftJoin('firmware', 'firmware.digest', 'target')
    .select(['deltas.digest', 'models.name as model', 'firmware.name as firmware'])
    .where('deltas.digest', 'is not', null)
    .execute();
  return rows.flatMap(({ digest, model, firmware }) =>
    digest !== null && (model !== null || firmware !== null) ? [{ digest }] : [],
  );
}

/** Files on the guide's listeners, except those made from removed versions. */
function guideFiles(store: Store) {
  return store
    .selectFrom('guideFiles')
    .leftJoin('models', (join) =>
      join.onRef('models.name', '=', 'guideFiles.model').onRef('models.version', '=', 'guideFiles.version'),
    )
    .select(['guideFiles.digest', 'guideFiles.folder', 'guideFiles.name'])
    .where('models.removed', 'is', null)
    .execute();
}

const periodMs = 3600 * 1000;

/** Deletes unreferenced blobs and reports missing ones: at startup and every hour. */
export function sweeper({ orphans, log }: { orphans: Orphans; log: Logger }): Worker {
  return {
    name: 'blobs',
    run: (signal) =>
      every(periodMs, signal, async () => {
        const gone = await orphans.sweep();
        if (gone.length > 0) log.info({ blobs: gone.length }, 'removed unreferenced blobs');
        const missing = await orphans.check();
        if (missing.length > 0) log.error({ missing: missing.slice(0, 10) }, 'blobs are missing');
      }),
  };
}
