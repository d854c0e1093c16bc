import type { Logger } from 'pino';
import type { Envelope } from '../../formats/manifest/envelope.js';
import { peekManifest } from '../../formats/manifest/manifest.js';
import type { Origin } from '../../registry/api.js';
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

/** Holds blobs against what refers to them: what nothing refers to goes, what is missing is told. */
export class Orphans {
  private known: readonly Reference[] = [];

  constructor(private readonly parts: Parts) {}

  /** Blobs that versions refer to and that were not there when it was last looked. */
  get missing(): readonly Reference[] {
    return this.known;
  }

  /** Looks for missing blobs. Those of versions that come or go meanwhile are looked at twice. */
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
   * Removes blobs that nothing refers to and nobody has put within a day. In turn with all that refers to blobs: nothing
   * does so between the look and the removal.
   * @returns digests of those that are gone
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
      // It may have been put since the look: the lease comes before the bytes.
      if ((await leases.current()).has(digest)) continue;
      // First: a delta that is told of is there.
      await store.deleteFrom('deltas').where('digest', '=', digest).execute();
      await blobs.remove(digest);
      gone.push(digest);
    }
    return gone;
  }
}

/** A blob that something in the registry has need of. */
export interface Reference {
  digest: string;
  /** Who needs it: `model har@3`, `firmware blink@1`. */
  by: string;
}

/** Digests of all blobs that must be there: contents of versions, what they came in as, and all that manifests vouch for. */
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
  for (const { digest } of await deltas(store)) found.push({ digest, by: 'a delta update' });
  return found;
}

/** Patches whose release is still there: of those that are gone nobody needs them. */
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

/** What the guide's listeners serve, but for what was made of versions that are gone. */
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

/** Removes what nothing refers to any more, and tells what is missing: at the start and every hour. */
export function sweeper({ orphans, log }: { orphans: Orphans; log: Logger }): Worker {
  return {
    name: 'blobs',
    run: (signal) =>
      every(periodMs, signal, async () => {
        const gone = await orphans.sweep();
        if (gone.length > 0) log.info({ blobs: gone.length }, 'removed blobs that nothing refers to');
        const missing = await orphans.check();
        if (missing.length > 0) log.error({ missing: missing.slice(0, 10) }, 'blobs are missing');
      }),
  };
}
