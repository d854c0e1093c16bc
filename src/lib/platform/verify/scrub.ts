import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import * as z from 'zod';
import { hasCode } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import type { BlobStore } from '../blobs/store.js';
import { verifyBrokerLog } from '../broker/session-log.js';
import { verifyTelemetry } from '../journal/verify.js';
import { quickCheckApart, type Store } from '../store/database.js';
import type { Worker } from '../workers.js';
import type { Damages } from './damage.js';

/** Maximum read rate, bytes per second: an eighth of an SD card's throughput. */
const rate = 8 * 1024 ** 2;

/** Time from the end of one scrub to the start of the next, and how often to check whether one is due, ms. */
const periodMs = 24 * 3600 * 1000;

const lookMs = 60_000;

const reportSchema = z.object({
  /** ms since 1970 */
  ended: z.int(),
  blobs: z.int(),
  bytes: z.int(),
  /** Digests of damaged blobs. */
  damaged: z.array(z.string()),
  /** Problems found by SQLite. */
  database: z.array(z.string()),
});

type ScrubReport = z.output<typeof reportSchema>;

interface ScrubParts {
  store: Store;
  /** Blobs in the folder; null = they are in S3, which checks its own data. */
  blobs: BlobStore | null;
  health: BlobHealth;
  /** The data folder, and the record of damage to telemetry and the broker's log. */
  dataDir: string;
  damages: Pick<Damages, 'note'>;
  /** Path of SQLite's file; null = the database is PostgreSQL. */
  database: string | null;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  /** Maximum read rate, bytes per second; absent = the default rate. */
  rate?: number | undefined;
}

/**
 * Slowly reads all stored data once a day, so that damage is found while a backup still has the affected data. The last
 * report is stored in the database.
 */
export class Scrub {
  private isReading = false;

  private constructor(
    private readonly parts: ScrubParts,
    private report: ScrubReport | null,
  ) {}

  /** Blobs that the last scrub found damaged are marked as damaged from the start. */
  static async open(parts: ScrubParts): Promise<Scrub> {
    const row = await parts.store
      .selectFrom('meta')
      .select('value')
      .where('key', '=', 'scrub')
      .executeTakeFirst();
    const read = reportSchema.safeParse(row === undefined ? null : JSON.parse(row.value));
    const report = read.success ? read.data : null;
    for (const digest of report?.damaged ?? []) parts.health.note(digest);
    return new Scrub(parts, report);
  }

  /** Report of the last complete scrub; null = none yet. */
  get last(): ScrubReport | null {
    return this.report;
  }

  worker(): Worker {
    return {
      name: 'scrub',
      isBusy: () => this.isReading,
      run: async (signal) => {
        await this.lookAgain();
        while (!signal.aborted) {
          await delay(lookMs, undefined, { signal }).catch(() => {});
          if (signal.aborted || (this.report?.ended ?? 0) > this.parts.now() - periodMs) continue;
          this.isReading = true;
          await this.run(signal).finally(() => {
            this.isReading = false;
          });
        }
      },
    };
  }

  /** Reads damaged blobs again, because they may have been repaired while the platform was stopped. */
  async lookAgain(): Promise<void> {
    const { blobs, health } = this.parts;
    for (const digest of health.damaged) {
      await blobs?.verify(digest).catch((error: unknown) => {
        if (hasCode(error, 'AIOT_NOT_FOUND')) health.clear(digest);
        else if (!hasCode(error, 'AIOT_BLOB_DAMAGED')) throw error;
      });
    }
  }

  /** Runs one scrub; null = it was aborted. */
  async run(signal: AbortSignal): Promise<ScrubReport | null> {
    const { blobs, database, log, now, store } = this.parts;
    const bytesASecond = this.parts.rate ?? rate;
    const pace = (bytes: number) => {
      signal.throwIfAborted();
      return delay((bytes / bytesASecond) * 1000, undefined, { signal });
    };
    const report: ScrubReport = { ended: 0, blobs: 0, bytes: 0, damaged: [], database: [] };
    try {
      if (database !== null) report.database = await checkDatabase(database, signal);
      if (database !== null) await this.lookAtTelemetry(signal);
      for await (const { digest } of blobs?.list() ?? []) {
        report.blobs++;
        report.bytes += (await this.look(digest, report, pace)) ?? 0;
      }
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
    report.ended = now();
    if (report.database.length > 0) log.error({ problems: report.database }, 'the database is damaged');
    const value = JSON.stringify(report);
    await store
      .insertInto('meta')
      .values({ key: 'scrub', value })
      .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
      .execute();
    this.report = report;
    return report;
  }

  /**
   * Checks telemetry, and pauses after each page for as long as it took to read the page. Damage is recorded whenever
   * any reader finds a damaged row.
   */
  private async lookAtTelemetry(signal: AbortSignal): Promise<void> {
    const { dataDir, damages, store } = this.parts;
    let began = performance.now();
    const pause = async () => {
      await delay(performance.now() - began, undefined, { signal });
      began = performance.now();
    };
    const telemetry = await verifyTelemetry(dataDir, { store, signal, pause });
    if (!signal.aborted) await damages.note([...telemetry, ...(await verifyBrokerLog(dataDir, { store }))]);
  }

  private async look(
    digest: string,
    report: ScrubReport,
    pace: (bytes: number) => Promise<void>,
  ): Promise<number | undefined> {
    try {
      return await this.parts.blobs?.verify(digest, pace);
    } catch (error) {
      // The blob was removed after the blobs were listed.
      if (hasCode(error, 'AIOT_NOT_FOUND')) return undefined;
      if (!hasCode(error, 'AIOT_BLOB_DAMAGED')) throw error;
      report.damaged.push(digest);
      return undefined;
    }
  }
}

async function checkDatabase(file: string, signal: AbortSignal): Promise<string[]> {
  const check = quickCheckApart(file);
  const leave = onAbort(signal, check.stop);
  try {
    return (await check.done) ?? [];
  } finally {
    leave();
  }
}

/** Blobs found to be damaged by any reader. */
export class BlobHealth {
  private readonly found = new Map<string, number>();

  /** @param told called once for each damaged blob found (`damaged`), and again when the blob is intact or gone */
  constructor(
    private readonly now: () => number,
    private readonly told: (digest: string, is: 'damaged' | 'whole') => void = () => {},
  ) {}

  /** Digests, in order of discovery. */
  get damaged(): readonly string[] {
    return [...this.found.keys()];
  }

  note(digest: string): void {
    if (this.found.has(digest)) return;
    this.found.set(digest, this.now());
    this.told(digest, 'damaged');
  }

  /** Clears the mark of a blob that was uploaded again, was removed, or was read completely and is intact. */
  clear(digest: string): void {
    if (this.found.delete(digest)) this.told(digest, 'whole');
  }
}

/** Wraps a store so that blobs found damaged are recorded, and cleared once they are intact again. */
export function watchedBlobs(blobs: BlobStore, health: BlobHealth): BlobStore {
  const noting = (digest: string) => (error: unknown) => {
    if (hasCode(error, 'AIOT_BLOB_DAMAGED')) health.note(digest);
    throw error;
  };
  const clearing =
    (digest: string) =>
    <T>(result: T): T => {
      health.clear(digest);
      return result;
    };
  return {
    ...blobs,
    put: (digest, source) => blobs.put(digest, source).then(clearing(digest)),
    adopt: (digest, path) => blobs.adopt(digest, path).then(clearing(digest)),
    remove: (digest) => blobs.remove(digest).then(clearing(digest)),
    ready: (digest) => blobs.ready(digest).catch(noting(digest)),
    bytes: (digest) => blobs.bytes(digest).then(clearing(digest), noting(digest)),
    verify: (digest, pace) => blobs.verify(digest, pace).then(clearing(digest), noting(digest)),
    stream(digest, range) {
      const reading = blobs.stream(digest, range);
      reading.once('error', (error) => {
        if (hasCode(error, 'AIOT_BLOB_DAMAGED')) health.note(digest);
      });
      return reading;
    },
  };
}
