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
  /** Deletes the blobs that were given up and that nobody else has. */
  sweep: () => Promise<unknown>;
}

/** The files that the guide's services serve: a name in a folder each, its bytes in a blob. */
export class GuideFiles {
  constructor(private readonly parts: Parts) {}

  /** Without those of versions that were removed. */
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

  /** Writes it down, over one of the same name, with what `along` does. Its blob is there. */
  async put(file: NewGuideFile, along?: (store: Store) => Promise<unknown>): Promise<void> {
    let replaced = false;
    await this.parts.store.transaction().execute(async (transaction) => {
      replaced = await this.putIn(transaction, file);
      await along?.(transaction);
    });
    if (replaced) await this.parts.sweep();
  }

  /** As `put`, in a transaction of others. @returns whether a blob was given up by it, which `sweep` deletes afterwards */
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

  /** Takes them away, and their blobs where nobody else has them. */
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

  /** Those made by our ingest that nobody was told of yet, oldest first. */
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

/** The model registry's folders, as its root lists them. */
export const modelFolders = ['OTA_bin', 'full', 'normalized_training_data', 'quantized'] as const;

/** What the training datastore has at its root. */
export const rawFolder = 'raw_training_data';

export type GuideFolder = (typeof modelFolders)[number] | typeof rawFolder;

/** The paths that take uploads, and where they go; on whichever of the two ports, for the guide's manifests swap them. */
export const uploadPaths: Readonly<Record<string, GuideFolder>> = {
  '/upload': rawFolder,
  '/uploadModel': 'full',
  '/uploadNormalizedData': 'normalized_training_data',
  '/uploadQuantizedModel': 'quantized',
};

/** The guide's topics: of MQTT, and of Kafka by the same names. */
export const dataTopic = 'shaded-pole-motor-sensor_data';

export const controlTopic = 'control-message';

/** What boards say of their readings. */
export const alertTopics = [
  'motor-anomaly-level1-inference',
  'motor-failure-alert-level2-inference',
] as const;

/** Who did it, in the log of events. */
export const guide = 'architects-guide';

/** `YYYY-MM-DD-HH:MM:SS` in UTC, as the guide's containers have it. */
export function stamp(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', '-');
}

/** A name of a file as the guide's clients can ask for it again: no control characters, and what XML can hold. */
export function isFileName(name: string): boolean {
  return (
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    // Asking for it would be answered with its folder.
    name !== 'index.html' &&
    Buffer.byteLength(name) <= 255 &&
    !/\p{Surrogate}/u.test(name) &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    !/[\x00-\x1f\x7f-\x9f/\ufffd-\uffff]/.test(name)
  );
}

/** Bytes that people whom nobody knows may store, unless told otherwise. */
export const usualQuota = 10 * 1024 ** 3;

/** What a file counts at least, bytes: its name, its version and its event are stored as well. */
const leastFile = 64 * 1024;

/** Room for one file that is on its way. */
export interface Room {
  /** Before so many more bytes are written. @throws AIOT_GUIDE_FULL */
  take(bytes: number): void;
  /** Call in any case: it is among the files now, or it is gone. */
  end(): void;
}

/**
 * Bounds what the guide's clients store in all, for nobody knows who they are: their files, also those that are on their way,
 * the versions that some became, and what the ingest made of their data. Signed versions are the registry's own.
 */
export class Quota {
  /** As of the last look, and what came since. */
  private used = 0;
  private underWay = 0;

  constructor(
    private readonly store: Store,
    readonly bytes: number,
  ) {}

  /** Looks again only where there seems to be none. @throws AIOT_GUIDE_FULL when there is no room for a further file */
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
      `the guide’s clients have stored as much as they may, ${size(this.bytes)}`,
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
