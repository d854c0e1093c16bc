import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../core/errors.js';
import type { Store } from '../store/database.js';
import type { Finding } from '../verify/damage.js';
import { ledgerIn } from '../verify/ledger.js';
import { brokenRows, findingsOf, lessBy, missingRows, Tallies, type Tally, telemetryFile } from './lost.js';
import { listSegments, scanSegment } from './segments.js';
import { checked, isNote, openTelemetry, SqliteTables } from './sqlite.js';
import { columnsOf, entryOf, isCorrupt, type TableTelemetry, type TakeRow, takeOfRow } from './tables.js';
import type { Take } from './takes.js';

export interface VerifyOptions {
  /**
   * The folder's state.db, which records the contents of the telemetry. Without it, the loss of whole recordings goes
   * unnoticed.
   */
  store?: Store | undefined;
  /** Stops the check before the next page. */
  signal?: AbortSignal | undefined;
  /** Called between pages, to pause the check of a running platform. */
  pause?: (() => Promise<void>) | undefined;
}

/**
 * Checks telemetry.db: pages (with SQLite's own check, in a thread), each row's checksum, and each recording's number
 * of rows. Everything is also compared with the state database. Nothing is written, so the check can run alongside a
 * platform.
 * @param dataDir the data folder
 */
export async function verifyTelemetry(dataDir: string, options: VerifyOptions = {}): Promise<Finding[]> {
  const { store, signal, pause } = options;
  const path = join(dataDir, telemetryFile);
  const noted = store && (await ledgerIn<Tally[]>(store, 'journal').load()).find(isNote);
  if (((await stat(path).catch(() => null))?.size ?? 0) === 0) {
    return noted && noted.counts.length > 0 ? findingsOf(telemetryFile, 'is gone', noted.counts) : [];
  }
  const problem = await checked(path);
  const damaged = problem === null ? null : `is damaged (${problem})`;
  const tables = await SqliteTables.read(path, noted).catch((error: unknown) => {
    if (isCorrupt(error) || damaged !== null) return null;
    throw error;
  });
  if (tables === null) return findingsOf(telemetryFile, damaged ?? 'is damaged', noted?.counts ?? []);
  try {
    const lost = await lostIn(tables, { signal, pause });
    const { name, last } = tables.identity;
    if (noted && (damaged !== null || noted.digest !== name || last < noted.bytes)) {
      const counted = await tables.stock().catch(() => new Tallies());
      for (const tally of lessBy(noted.counts, counted.all())) lost.missing.add(tally);
    }
    if (damaged !== null) await tables.suspect();
    const all = new Tallies([...lost.missing.all(), ...lost.broken.all()]).all();
    if (damaged !== null) return findingsOf(telemetryFile, damaged, all);
    if (all.length === 0) return [];
    return findingsOf(telemetryFile, lost.missing.messages > 0 ? missingRows : brokenRows, all);
  } finally {
    await tables.leave();
  }
}

/** Damaged rows, and rows that are missing from recordings. */
async function lostIn(
  tables: SqliteTables,
  { signal, pause }: Pick<VerifyOptions, 'signal' | 'pause'>,
): Promise<{ broken: Tallies; missing: Tallies }> {
  const [broken, missing] = [new Tallies(), new Tallies()];
  const takes = await takesIn(tables);
  // The rows are read after the counts, so that all counted rows are included.
  await tables.refresh();
  const there = new Map<number, { messages: number; samples: number }>();
  for (let after: string | null = null; !signal?.aborted; ) {
    const rows: Awaited<ReturnType<typeof tables.after>> = await tables.after(after, 1000);
    const end = rows.at(-1);
    if (!end) break;
    after = end.position;
    for (const row of rows) {
      const take = takes.get(row.take);
      // The recording was removed, or is newer than this check.
      if (!take) continue;
      const seen = there.get(row.take) ?? { messages: 0, samples: 0 };
      seen.messages++;
      seen.samples += row.samples;
      there.set(row.take, seen);
      if (!entryOf(row))
        broken.add({ ...whose(take), messages: 1, rows: row.samples, from: row.t, to: row.t });
    }
    await pause?.();
  }
  if (signal?.aborted) return { broken, missing };
  const now = await takesIn(tables);
  for (const [id, take] of takes) {
    const seen = there.get(id) ?? { messages: 0, samples: 0 };
    if (seen.messages >= take.messages || !now.has(id)) continue;
    const { startedAt, endedAt, channel } = take;
    const messages = take.messages - seen.messages;
    const rows = channel === 'telemetry' ? Math.max(0, take.samples - seen.samples) : messages;
    missing.add({ ...whose(take), messages, rows, from: startedAt ?? 0, to: endedAt ?? 0 });
  }
  return { broken, missing };
}

async function takesIn(tables: SqliteTables): Promise<Map<number, Take>> {
  const takes = new Map<number, Take>();
  try {
    for (const row of await tables.rows<TakeRow>(`SELECT ${columnsOf(tables)} FROM "telemetryTakes"`))
      takes.set(row.id, takeOfRow(row));
  } catch (error) {
    if (!isCorrupt(error)) throw error;
  }
  return takes;
}

function whose({ channel, stream, device }: Take): Pick<Tally, 'stream' | 'device'> {
  return { stream: channel === 'telemetry' ? stream : null, device };
}

/**
 * Restores damaged or missing rows from a backup. A database with damaged pages is rebuilt first. Must be called only if no platform uses
 * the folder.
 * @param from the folder with the backup's telemetry
 * @param findings of `verifyTelemetry`
 */
export async function repairTelemetry(
  dataDir: string,
  { store, from, findings }: { store?: Store | undefined; from: string; findings: readonly Finding[] },
): Promise<void> {
  const lost = new Set(findings.map(({ lost }) => `${lost?.stream ?? ''}/${lost?.device ?? ''}`));
  const ledger = store && ledgerIn<Tally[]>(store, 'journal');
  const log = { error() {}, info() {}, warn() {} };
  const telemetry = (await openTelemetry({ folder: dataDir, now: Date.now, ledger, log })) as TableTelemetry;
  try {
    const files = await listSegments(from).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    });
    for (const file of files) {
      await scanSegment(from, file, 0, async (record) => {
        if ('removed' in record || record.repeat) return;
        const { id, repeats: _, ...entry } = record;
        const { stream = '', device } = entry;
        if (lost.has(`${stream}/${device}`) || lost.has('/')) await telemetry.restore(entry, id);
      });
    }
  } finally {
    await telemetry.close();
  }
}
