import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { plural } from '../../core/index.js';
import type { Store } from '../store/database.js';
import type { Finding } from '../verify/finding.js';
import { type LogFile, ledgerIn } from '../verify/ledger.js';
import { type LogRecord, recordOf } from './sessions/record.js';

/** What the log of sessions held when it was noted. */
export interface BrokerCounts {
  retained: number;
  sessions: number;
  /** The first of them: `retained message TOPIC`, `session CLIENT`. */
  names: string[];
}
export type BrokerNote = LogFile<BrokerCounts>;

/** Names that are kept of each kind, and that a finding tells. */
export const mostNoted = 100;
const mostTold = 10;

/** Files of the log in a folder, the newest last; a `.new` one is not whole. */
export async function logFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => /^\d{8}\.ndjson$/.test(name)).sort();
}

/** Hands over the records of a log's whole lines. @returns how many lines are damaged, and where the last whole line ends */
export function readLog(bytes: Buffer, apply: (record: LogRecord) => void): { damaged: number; end: number } {
  let damaged = 0;
  let end = 0;
  for (let to = bytes.indexOf(10, end); to >= 0; to = bytes.indexOf(10, end)) {
    const record = recordOf(bytes.toString('utf8', end, to));
    if (record) apply(record);
    else damaged++;
    end = to + 1;
  }
  return { damaged, end };
}

/**
 * Holds the log against what the state database knows of it.
 * @param number of the newest file; null = there is none
 * @param now what its lines say is there; null = nobody has made that out
 */
export function logFindings(
  { number, bytes, damaged }: { number: number | null; bytes: Buffer; damaged: number },
  note: BrokerNote | null,
  now: BrokerCounts | null,
): Finding[] {
  const found = (file: number, problem: string): Finding[] => {
    const gone = note && now ? goneText(note.counts, now) : '';
    const place = `broker/${String(file).padStart(8, '0')}.ndjson`;
    return [{ part: 'broker', place, problem: `${problem}${gone}`, repairable: false }];
  };
  if (note && note.bytes > 0) {
    if (number === null || number < note.number) return found(note.number, 'is gone');
    // A newer file began with all that was kept, and was not noted before the platform was killed.
    if (number === note.number && bytes.length < note.bytes) return found(number, 'is shorter than it was');
  }
  if (damaged > 0) return found(number ?? 1, `holds ${plural(damaged, 'damaged line')}`);
  if (note?.number === number && note && crc32(bytes.subarray(0, note.bytes)) !== note.crc)
    return found(note.number, 'is not what was written');
  return [];
}

function goneText(before: BrokerCounts, now: BrokerCounts): string {
  const retained = Math.max(0, before.retained - now.retained);
  const sessions = Math.max(0, before.sessions - now.sessions);
  if (retained + sessions === 0) return '';
  const there = new Set(now.names);
  const names = before.names.filter((name) => !there.has(name));
  const some = names.slice(0, mostTold).join(', ') + (names.length > mostTold ? ', …' : '');
  const counts = `${plural(retained, 'retained message')} and ${plural(sessions, 'session')}`;
  return `: ${counts} of MQTT are gone${some === '' ? '' : ` (${some})`}`;
}

/**
 * Checks the log of MQTT sessions and retained messages: each line's checksum, and length and checksum of the file as the state database knows
 * them. Only reads; a backup does not hold it. @param dataDir the data folder
 */
export async function verifyBrokerLog(
  dataDir: string,
  { store }: { store?: Store | undefined } = {},
): Promise<Finding[]> {
  const folder = join(dataDir, 'broker');
  // First: what is noted is on disk by then.
  const notes = store ? await ledgerIn<BrokerCounts>(store, 'broker').load() : [];
  const newest = (await logFiles(folder)).at(-1);
  const bytes = newest ? await readFile(join(folder, newest)) : Buffer.alloc(0);
  const { damaged } = readLog(bytes, () => {});
  const number = newest ? Number.parseInt(newest, 10) : null;
  return logFindings({ number, bytes, damaged }, notes.at(-1) ?? null, null);
}
