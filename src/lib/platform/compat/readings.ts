import { Readable } from 'node:stream';
import { digestOf } from '../../core/crypto.js';
import type { BlobStore } from '../blobs/store.js';
import type { Store } from '../store/database.js';
import type { Turn } from '../store/engine.js';
import { type GuideFiles, type Quota, rawFolder } from './files.js';

interface Reading {
  payload: Uint8Array;
  /** Time of the reading, ms since 1970. */
  at: number;
}

interface Parts {
  store: Store;
  blobs: BlobStore;
  files: GuideFiles;
  quota: Quota;
  inTurn: Turn;
  maxRows: number;
  /** ms since 1970 */
  now: () => number;
  /** Called when there is a file that has not been announced. */
  onFile: () => void;
  /** Called when a file could not be written. Its rows are in the database, and the write is retried when more rows arrive. */
  onFailed: (error: unknown) => void;
  /** Called with the number of messages that could not be converted to rows. */
  onSkipped: (count: number) => void;
}

/** Number of rows per INSERT. SQLite allows 32,766 variables per statement, and PostgreSQL twice as many. */
const rowsAtOnce = 1000;

/** Collects rows until they fill a file of raw training data. Collected rows are in the database, so a restart continues with them. */
export class Ingest {
  private waiting = 0;
  private newest = 0;

  private constructor(private readonly parts: Parts) {}

  /** Writes files that were full when the previous process ended. */
  static async open(parts: Parts): Promise<Ingest> {
    const ingest = new Ingest(parts);
    await parts.inTurn(() => ingest.flush().catch(parts.onFailed));
    return ingest;
  }

  /** Stores the rows in one transaction with `along`, then writes full files where possible. Resolves after both. @throws AIOT_GUIDE_FULL */
  add(readings: readonly Reading[], along?: (store: Store) => Promise<unknown>): Promise<void> {
    const lines = readings.map(({ payload, at }) => csvLine(payload, at)).filter((line) => line !== null);
    const { store, inTurn, quota, onFailed, onSkipped } = this.parts;
    if (lines.length < readings.length) onSkipped(readings.length - lines.length);
    return inTurn(async () => {
      await quota.check();
      await store.transaction().execute(async (transaction) => {
        for (let from = 0; from < lines.length; from += rowsAtOnce) {
          const rows = lines.slice(from, from + rowsAtOnce).map((line) => ({ line }));
          await transaction.insertInto('guideRows').values(rows).execute();
        }
        await along?.(transaction);
      });
      this.waiting += lines.length;
      // The rows are already stored. If a file error made this call fail, the sender would resend them.
      if (this.waiting >= this.parts.maxRows) await this.flush().catch(onFailed);
    });
  }

  /** Writes as many full files as there are. Never runs twice at once. */
  private async flush(): Promise<void> {
    const { store, maxRows } = this.parts;
    for (;;) {
      const rows = await store.selectFrom('guideRows').selectAll().orderBy('id').limit(maxRows).execute();
      this.waiting = rows.length;
      const last = rows.at(-1);
      if (!last || rows.length < maxRows) return;
      const lines = rows.map(({ line }) => `${line}\n`);
      await this.write(Buffer.from(`${csvHeader}\n${lines.join('')}`), last.id);
    }
  }

  private async write(csv: Buffer, lastRow: number): Promise<void> {
    const { blobs, files, quota, onFile } = this.parts;
    const room = await quota.begin();
    try {
      room.take(csv.length);
    } finally {
      room.end();
    }
    const at = await this.freeTime();
    const digest = digestOf(csv);
    await blobs.put(digest, Readable.from([csv]));
    const type = 'text/plain; charset=utf-8';
    const file = {
      folder: rawFolder,
      name: rawName(at),
      digest,
      bytes: csv.length,
      type,
      modified: at,
    } as const;
    await files.put({ ...file, model: null, version: null, announced: 0 }, (transaction) =>
      transaction.deleteFrom('guideRows').where('id', '<=', lastRow).execute(),
    );
    onFile();
  }

  /** A free time for a new file's name: now, or the first later millisecond without a file. */
  private async freeTime(): Promise<number> {
    let at = Math.max(this.parts.now(), this.newest + 1);
    while (await this.parts.files.find(rawFolder, rawName(at))) at++;
    this.newest = at;
    return at;
  }
}

/** `raw_sensor_training_data_YYYY-MM-DDTHH:MM:SS:<ms since 1970>.csv`, in local time. */
export function rawName(at: number): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `raw_sensor_training_data_${day}T${time}:${at}.csv`;
}

/** The first line of each file. */
const csvHeader = 'deviceID,timeStamp,current,temperature,vibration,sound';

const fields = ['current', 'temperature', 'vibration', 'sound'] as const;

/**
 * Formats a message of the guide's firmware as a line of its raw training data, without a newline. A missing field is
 * 0.0, and a missing time is the time of the reading. Returns null if the message is not a JSON object with a device
 * id, or cannot be written as one line with six columns.
 * @param at ms since 1970
 */
export function csvLine(payload: Uint8Array, at: number): string | null {
  const message = objectOf(payload);
  if (!message) return null;
  const { deviceID, timeStamp = String(at) } = message;
  if (typeof deviceID !== 'string' || !isCell(deviceID)) return null;
  const time = typeof timeStamp === 'number' ? String(timeStamp) : timeStamp;
  if (typeof time !== 'string' || !isCell(time)) return null;
  const cells = fields.map((field) => message[field] ?? 0);
  if (!cells.every((cell) => typeof cell === 'number')) return null;
  return [deviceID, time, ...cells.map(oneDecimal)].join(',');
}

function objectOf(payload: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Whether the text can be a cell in an unquoted line. */
function isCell(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern must match them
  return text !== '' && text.length <= 256 && !/[\x00-\x1f\x7f,"]/.test(text);
}

/** Same as `%.1f` in C and Go: halves round to the even digit, where toFixed rounds up. */
export function oneDecimal(value: number): string {
  if (Math.abs(value) >= 1e21) return `${BigInt(value)}.0`;
  // A value halfway between two tenths is exact in binary only if it is an odd multiple of a quarter.
  if (Math.abs((value * 4) % 2) === 1) {
    const lower = Math.floor(value * 10);
    return ((lower % 2 === 0 ? lower : lower + 1) / 10).toFixed(1);
  }
  return `${Object.is(value, -0) ? '-' : ''}${value.toFixed(1)}`;
}
