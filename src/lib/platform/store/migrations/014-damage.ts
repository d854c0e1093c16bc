/** Damage at rest that is not repaired. `lost`: JSON; `acknowledged`: since when an operator knows of it. */
export interface DamageRow {
  id: string;
  part: string;
  place: string;
  problem: string;
  lost: string | null;
  repairable: number;
  found: number;
  acknowledged: number | null;
  who: string | null;
}

/** A file of an append-only log as it was last known to be durable; see verify/ledger.ts. */
export interface LogFileRow {
  log: string;
  number: number;
  generation: number;
  bytes: number;
  /** CRC-32 of these bytes. */
  crc: number;
  /** SHA-256 in hex; null while it is written to. */
  digest: string | null;
  /** JSON */
  counts: string;
}

/**
 * Damage at rest that was found, until it is repaired: an acknowledged one is not warned of any more. And the ledger of logs: what each
 * file of the journal and of the broker's log held, so that a file that is gone or shorter is noticed. `counts`: JSON, by log.
 */
export const damage = `
  CREATE TABLE damages (
    id TEXT PRIMARY KEY, part TEXT NOT NULL, place TEXT NOT NULL, problem TEXT NOT NULL, lost TEXT, repairable INTEGER NOT NULL,
    found INTEGER NOT NULL, acknowledged INTEGER, who TEXT
  ) STRICT;
  CREATE TABLE logFiles (
    log TEXT NOT NULL, number INTEGER NOT NULL, generation INTEGER NOT NULL, bytes INTEGER NOT NULL, crc INTEGER NOT NULL,
    digest TEXT, counts TEXT NOT NULL, PRIMARY KEY (log, number, generation)
  ) STRICT;
`;
