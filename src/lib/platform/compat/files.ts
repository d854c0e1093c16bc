import type { Readable } from 'node:stream';
import { AiotError } from '../../core/errors.js';
import { size } from '../../core/figures.js';
import type { BlobStore } from '../blobs/store.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';

export type GuideFile = Schema['guideFiles'];

type NewGuideFile = Omit<GuideFile, 'announced'> & { folder: GuideFolder; announced?: 0 | 1 };

interface Parts {
  store: Store;
  blobs: BlobStore;
  /** Deletes released blobs that nothing else references. */
  sweep: () => Promise<unknown>;
}

/** The files that the guide's services serve. A file is a name in a folder; its bytes are in a blob. */
export class GuideFiles {
  constructor(private readonly parts: Parts) {}

  /** The files in a folder, without files from removed versions. */
  async list(folder: GuideFolder): Promise<GuideFile[]> {
    return this.present().where('folder', '=', folder).execute();
  }

  async find(folder: GuideFolder, name: string): Promise<GuideFile | null> {
    const row = await this.present()
      .where('folder', '=', folder)
      .where('guideFiles.name', '=', name)
      .executeTakeFirst();
    return row ?? null;
  }

  /** Records a file, replacing one of the same name, in one transaction with `along`. Its blob must exist. */
  async put(file: NewGuideFile, along?: (store: Store) => Promise<unknown>): Promise<void> {
    let replaced = false;
    await this.parts.store.transaction().execute(async (transaction) => {
      replaced = await this.putIn(transaction, file);
      await along?.(transaction);
    });
    if (replaced) await this.parts.sweep();
  }

  /** Same as `put`, in a caller's transaction. @returns whether it released a blob, which the caller deletes with `sweep` afterward */
  async putIn(transaction: Store, file: NewGuideFile): Promise<boolean> {
    const row = { announced: 1, ...file };
    const { folder, name, ...rest } = row;
    const before = await transaction
      .selectFrom('guideFiles')
      .select('digest')
      .where('folder', '=', folder)
      .where('name', '=', name)
      .executeTakeFirst();
    await transaction
      .insertInto('guideFiles')
      .values(row)
      .onConflict((conflict) => conflict.columns(['folder', 'name']).doUpdateSet(rest))
      .execute();
    if (!before || before.digest === row.digest) return false;
    await doom(transaction, [before.digest]);
    return true;
  }

  async sweep(): Promise<void> {
    await this.parts.sweep();
  }

  /** Removes the files, and blobs that nothing else references. */
  async remove(files: readonly Pick<GuideFile, 'folder' | 'name' | 'digest'>[]): Promise<void> {
    if (files.length === 0) return;
    const { store, sweep } = this.parts;
    await store.transaction().execute(async (transaction) => {
      for (const { folder, name } of files) {
        await transaction
          .deleteFrom('guideFiles')
          .where('folder', '=', folder)
          .where('name', '=', name)
          .execute();
      }
      await doom(
        transaction,
        files.map(({ digest }) => digest),
      );
    });
    await sweep();
  }

  /** Files made by our ingest that have not been announced yet, oldest first. */
  async unannounced(): Promise<GuideFile[]> {
    return this.parts.store
      .selectFrom('guideFiles')
      .selectAll()
      .where('announced', '=', 0)
      .orderBy('modified')
      .orderBy('name')
      .execute();
  }

  async announced({ folder, name }: Pick<GuideFile, 'folder' | 'name'>): Promise<void> {
    await this.parts.store
      .updateTable('guideFiles')
      .set({ announced: 1 })
      .where('folder', '=', folder)
      .where('name', '=', name)
      .execute();
  }

  open({ digest }: Pick<GuideFile, 'digest'>, range?: { first: number; last: number }): Readable {
    return this.parts.blobs.stream(digest, range);
  }

  private present() {
    return this.parts.store
      .selectFrom('guideFiles')
      .leftJoin('models', (join) =>
        join.onRef('models.name', '=', 'guideFiles.model').onRef('models.version', '=', 'guideFiles.version'),
      )
      .selectAll('guideFiles')
      .where('models.removed', 'is', null);
  }
}

async function doom(store: Store, digests: readonly string[]): Promise<void> {
  for (const digest of new Set(digests)) {
    await store
      .insertInto('doomedBlobs')
      .values({ digest })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

/** The model registry's folders, in the order of its root's listing. */
export const modelFolders = ['OTA_bin', 'full', 'normalized_training_data', 'quantized'] as const;

/** Root folder of the training datastore. */
export const rawFolder = 'raw_training_data';

export type GuideFolder = (typeof modelFolders)[number] | typeof rawFolder;

/** The paths that accept uploads, and their folders. Both ports accept all of them, because the guide's manifests swap the ports. */
export const uploadPaths: Readonly<Record<string, GuideFolder>> = {
  '/upload': rawFolder,
  '/uploadModel': 'full',
  '/uploadNormalizedData': 'normalized_training_data',
  '/uploadQuantizedModel': 'quantized',
};

/** The guide's topics, which have the same names in MQTT and in Kafka. */
export const dataTopic = 'shaded-pole-motor-sensor_data';

export const controlTopic = 'control-message';

/** Topics on which boards publish predictions and failure alerts. */
export const alertTopics = [
  'motor-anomaly-level1-inference',
  'motor-failure-alert-level2-inference',
] as const;

/** Name of the actor in the event log. */
export const guide = 'architects-guide';

/** `YYYY-MM-DD-HH:MM:SS` in UTC, as in the guide's containers. */
export function stamp(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', '-');
}

/** Whether the guide's clients can request a file by this name: no control characters, and only characters that XML allows. */
export function isFileName(name: string): boolean {
  return (
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    // A request for this name would return the folder.
    name !== 'index.html' &&
    Buffer.byteLength(name) <= 255 &&
    !/\p{Surrogate}/u.test(name) &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern must match them
    !/[\x00-\x1f\x7f-\x9f/\ufffd-\uffff]/.test(name)
  );
}

/** Default limit on the bytes that unauthenticated clients may store. */
export const usualQuota = 10 * 1024 ** 3;

/** Minimum size counted for each file, bytes, because a file's name, version and event are stored too. */
const leastFile = 64 * 1024;

/** Room for one file being uploaded. */
export interface Room {
  /** Must be called before writing this many more bytes. @throws AIOT_GUIDE_FULL */
  take(bytes: number): void;
  /** Must always be called, once the file is stored or removed. */
  end(): void;
}

/**
 * Limits the total storage of the guide's unauthenticated clients. Counts their files, uploads in progress, the model versions created from
 * them, and the output of the ingest. Signed versions belong to the registry and are not counted.
 */
export class Quota {
  /** Bytes in use at the last count, plus later additions. */
  private used = 0;
  private underWay = 0;

  constructor(
    private readonly store: Store,
    readonly bytes: number,
  ) {}

  /** Checks that there is room for another file. Recounts only if there seems to be none. @throws AIOT_GUIDE_FULL */
  async check(): Promise<void> {
    if (this.used + this.underWay + leastFile <= this.bytes) return;
    (await this.begin()).end();
  }

  /** @throws AIOT_GUIDE_FULL when there is not even room for a small file */
  async begin(): Promise<Room> {
    this.used = await this.stored();
    let taken = 0;
    const count = (bytes: number) => {
      if (this.used + this.underWay + bytes > this.bytes) throw this.full();
      taken += bytes;
      this.underWay += bytes;
    };
    count(leastFile);
    let own = 0;
    let ended = false;
    return {
      take: (bytes) => {
        own += bytes;
        if (own > taken) count(own - taken);
      },
      end: () => {
        if (ended) return;
        ended = true;
        this.underWay -= taken;
        this.used += taken;
      },
    };
  }

  private full(): AiotError {
    return new AiotError(
      'AIOT_GUIDE_FULL',
      `the guide's clients have reached their storage limit of ${size(this.bytes)}`,
    );
  }

  private async stored(): Promise<number> {
    const { sql } = await import('kysely');
    const { rows } = await sql<{ bytes: number | null }>`
      SELECT SUM(CASE WHEN bytes < ${leastFile} THEN ${leastFile} ELSE bytes END) AS bytes FROM (
        SELECT "guideFiles".digest, "guideFiles".bytes FROM "guideFiles"
          LEFT JOIN models ON models.name = "guideFiles".model AND models.version = "guideFiles".version
          WHERE models.sequence IS NULL OR models.sequence = 0
        UNION
        SELECT digest, bytes FROM models
          WHERE sequence = 0 AND removed IS NULL AND origin LIKE ${`%"source":"${guide}"%`}
      ) AS files`.execute(this.store);
    return Number(rows[0]?.bytes ?? 0);
  }
}
