import { AiotError, size } from '../../core/index.js';
import type { Store } from '../store/database.js';
import { guide } from './folders.js';

/** Bytes that people whom nobody knows may store, unless told otherwise. */
export const usualQuota = 10 * 1024 ** 3;
/** What a file counts at least, bytes: its name, its version and its event are stored as well. */
export const leastFile = 64 * 1024;

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
