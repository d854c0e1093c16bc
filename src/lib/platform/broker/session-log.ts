import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import * as z from 'zod';
import { plural } from '../../core/figures.js';
import { syncFolder } from '../../core/files.js';
import type { NoteCommit } from '../metrics.js';
import type { Store } from '../store/database.js';
import { dataSync, type Sync } from '../sync.js';
import type { Finding } from '../verify/damage.js';
import { type Ledger, type LogFile, ledgerIn, noteEveryMs } from '../verify/ledger.js';
import type { BrokerMessage, Qos } from './wire.js';

interface LogOptions {
  folder: string;
  sync?: Sync | undefined;
  /** All that is kept now, as records: a new file begins with it. */
  snapshot: () => Iterable<LogRecord>;
  /** Smallest file that is written anew, bytes. */
  compactBytes?: number;
  onCommit?: NoteCommit | undefined;
  /** What is there now, for the ledger; without that nothing is noted. */
  counts?: () => BrokerCounts;
  ledger?: Ledger<BrokerCounts> | undefined;
  damage?: ((findings: readonly Finding[]) => Promise<void>) | undefined;
}

type Done = (error: unknown) => void;

/** A record that nobody waits for is written within so long, ms. */
const lazyMs = 100;

const chunkBytes = 1024 ** 2;

/**
 * The log of sessions: NDJSON, appended; all that comes while the disk is busy is written and synced together. When it is four
 * times as long as what it began with, a new file begins with all that is kept, and takes its place. One file at a time.
 */
export class SessionLog {
  private file: FileHandle | undefined;
  private number = 0;
  private end = 0;
  private begun = 0;
  private lines: string[] = [];
  private waiting: Done[] = [];
  private flushing: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  /** A write has failed: what is in memory is ahead of the file, until it is written anew. */
  private behind = false;
  private closed = false;
  /** CRC-32 of the file, and how much of it is known to be on disk. */
  private crc = 0;
  private synced = { end: 0, crc: 0 };
  private noted = -1;
  private noting: NodeJS.Timeout | undefined;

  private constructor(private readonly options: LogOptions) {}

  /** Reads what is there into `apply`; lines that are damaged are counted and passed over, one that is torn is cut off. */
  static async open(options: LogOptions, apply: (record: LogRecord) => void) {
    const log = new SessionLog(options);
    const { folder } = options;
    await mkdir(folder, { recursive: true });
    const names = (await readdir(folder)).filter((name) => /^\d{8}\.ndjson(\.new)?$/.test(name)).sort();
    const newest = names.filter((name) => !name.endsWith('.new')).at(-1);
    // A newer file is there only when it is whole.
    for (const name of names) if (name !== newest) await rm(join(folder, name), { force: true });
    log.number = newest ? Number.parseInt(newest, 10) : 1;
    const path = log.path(log.number);
    const bytes = newest ? await readFile(path) : Buffer.alloc(0);
    const { damaged, end: at } = readLog(bytes, apply);
    log.file = await open(path, newest ? 'r+' : 'wx+');
    if (at < bytes.length) await log.file.truncate(at);
    if (!newest) await syncFolder(folder);
    log.end = at;
    log.crc = crc32(bytes.subarray(0, at));
    log.synced = { end: log.end, crc: log.crc };
    await log.compare({ number: newest ? log.number : null, bytes, damaged });
    return { log, damaged };
  }

  /** Reports what is missing since it was noted, and notes what is there. */
  private async compare(now: Parameters<typeof logFindings>[0]): Promise<void> {
    const { ledger, counts, damage } = this.options;
    const notes = (await ledger?.load()) ?? [];
    await damage?.(logFindings(now, notes.at(-1) ?? null, counts?.() ?? null));
    await ledger?.forget(notes);
    // Reported once: a new file begins with all that is kept.
    if (now.damaged > 0) await this.compact().catch(() => (this.behind = true));
    await this.note();
  }

  /** Notes what is on disk; one that fails is made good by the next. */
  private async note(): Promise<void> {
    clearTimeout(this.noting);
    this.noting = undefined;
    const { ledger, counts } = this.options;
    const { number, synced } = this;
    if (!ledger || !counts || this.noted === synced.end) return;
    this.noted = synced.end;
    const file = { number, generation: 0, bytes: synced.end, crc: synced.crc, digest: null };
    await ledger.save([{ ...file, counts: counts() }]).catch(() => {
      this.noted = -1;
    });
  }

  private noteSoon(): void {
    if (this.closed || this.noting || !this.options.ledger) return;
    this.noting = setTimeout(() => void this.note(), noteEveryMs);
    this.noting.unref();
  }

  /** Whether the last write has failed. */
  get failing(): boolean {
    return this.behind;
  }

  /** Records that wait to be written. */
  get backlog(): number {
    return this.lines.length;
  }

  /** Written soon; nobody waits. */
  append(record: LogRecord): void {
    if (this.closed) return;
    this.lines.push(lineOf(record));
    if (this.flushing || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.flushing ??= this.flush();
    }, lazyMs);
  }

  /** `done` is called when it is on disk, or with what the disk said. */
  commit(record: LogRecord, done: Done): void {
    this.commitAll([record], done);
  }

  commitAll(records: readonly LogRecord[], done: Done): void {
    if (this.closed) {
      done(new Error('the platform ends'));
      return;
    }
    for (const record of records) this.lines.push(lineOf(record));
    this.waiting.push(done);
    this.flushing ??= this.flush();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.timer = undefined;
    await this.flushing;
    if (this.lines.length > 0) await this.flush();
    if (this.synced.end < this.end && !this.behind)
      await this.sync()
        .then(() => this.isSynced())
        .catch(() => {});
    await this.note();
    await this.file?.close();
    this.file = undefined;
  }

  private async flush(): Promise<void> {
    // Lets all that came in this turn of the loop into the first batch.
    await new Promise(setImmediate);
    while (this.lines.length > 0) {
      const { lines, waiting } = this;
      this.lines = [];
      this.waiting = [];
      const begun = performance.now();
      try {
        const { compactBytes = 4 * chunkBytes, onCommit } = this.options;
        if (this.behind || this.end > Math.max(compactBytes, 4 * this.begun)) await this.compact();
        const block = Buffer.from(`${lines.join('\n')}\n`);
        await this.write(block, this.end);
        if (waiting.length > 0) {
          await this.sync();
          onCommit?.(lines.length, (performance.now() - begun) / 1000);
        }
        this.end += block.length;
        this.crc = crc32(block, this.crc);
        if (waiting.length > 0) this.isSynced();
        this.noteSoon();
        for (const done of waiting) done(null);
      } catch (error) {
        this.behind = true;
        await this.file?.truncate(this.end).catch(() => {});
        for (const done of waiting) done(error);
      }
    }
    this.flushing = undefined;
  }

  private isSynced(): void {
    this.synced = { end: this.end, crc: this.crc };
  }

  private async compact(): Promise<void> {
    const number = this.number + 1;
    const path = `${this.path(number)}.new`;
    const file = await open(path, 'w+');
    try {
      let end = 0;
      let crc = 0;
      let text = '';
      const write = async () => {
        const block = Buffer.from(text);
        text = '';
        await this.write(block, end, file);
        crc = crc32(block, crc);
        end += block.length;
      };
      // What changes meanwhile is in the lines that come behind it.
      for (const record of this.options.snapshot()) {
        text += `${lineOf(record)}\n`;
        if (text.length > chunkBytes) await write();
      }
      await write();
      await this.sync(file);
      await rename(path, this.path(number));
      await syncFolder(this.options.folder);
      const old = this.path(this.number);
      await this.file?.close();
      const before = this.number;
      Object.assign(this, { file, number, end, crc, begun: end, behind: false, noted: -1 });
      this.isSynced();
      await this.note();
      await this.options.ledger?.forget([{ number: before, generation: 0 }]).catch(() => {});
      await rm(old, { force: true });
    } catch (error) {
      if (this.file !== file) await file.close();
      throw error;
    }
  }

  private async write(block: Buffer, at: number, file = this.file): Promise<void> {
    for (let done = 0; done < block.length; ) {
      const { bytesWritten } = await file!.write(block, done, block.length - done, at + done);
      done += bytesWritten;
    }
  }

  private async sync(file = this.file): Promise<void> {
    await (this.options.sync ?? dataSync)(file!);
  }

  private path(number: number): string {
    return join(this.options.folder, `${String(number).padStart(8, '0')}.ndjson`);
  }
}

const qos = z.union([z.literal(0), z.literal(1), z.literal(2)]);

/** Topic, payload in base64, QoS, retained. */
const message = z.tuple([z.string(), z.base64(), qos, z.boolean()]);

/** A line of the log of sessions. What each does to them is in state.ts. */
const recordSchema = z.discriminatedUnion('k', [
  /** A session is there; `off`: since when nobody is connected. */
  z.object({ k: z.literal('session'), s: z.string(), off: z.number().nullable() }),
  z.object({ k: z.literal('end'), s: z.string() }),
  z.object({ k: z.literal('sub'), s: z.string(), f: z.array(z.tuple([z.string(), qos])) }),
  z.object({ k: z.literal('unsub'), s: z.string(), f: z.array(z.string()) }),
  /**
   * Message `n` for sessions (key, QoS, packet id), kept as the topic's retained one when `r`, and come
   * with QoS 2 under a packet id of the session `from`.
   */
  z.object({
    k: z.literal('message'),
    n: z.number(),
    m: message,
    to: z.array(z.tuple([z.string(), z.union([z.literal(1), z.literal(2)]), z.number()])),
    r: z.boolean().optional(),
    from: z.tuple([z.string(), z.number()]).optional(),
    /** The client has it, and is to release its id. */
    state: z.literal('released').optional(),
  }),
  /** The session is done with message `n`. */
  z.object({ k: z.literal('done'), s: z.string(), n: z.number() }),
  /** The client of the session has message `n` of QoS 2, and is to release it. */
  z.object({ k: z.literal('received'), s: z.string(), n: z.number() }),
  /** Packet ids of QoS 2 that the session has seen, and one that was released. */
  z.object({ k: z.literal('seen'), s: z.string(), id: z.array(z.number()) }),
  z.object({ k: z.literal('release'), s: z.string(), id: z.number() }),
  /** The will of a client that is connected; null = it will not be needed. */
  z.object({ k: z.literal('will'), s: z.string(), who: z.string().optional(), m: message.nullable() }),
]);

export type LogRecord = z.infer<typeof recordSchema>;

type LoggedMessage = z.infer<typeof message>;

export function logged({ topic, payload, qos, retain }: BrokerMessage): LoggedMessage {
  return [topic, payload.toString('base64'), qos, retain];
}

export function unlogged([topic, payload, qos, retain]: LoggedMessage): BrokerMessage {
  return { topic, payload: Buffer.from(payload, 'base64'), qos: qos as Qos, retain };
}

/** A record as a line without its newline: JSON, whose last member is the CRC-32 of what it is without it. */
function lineOf(record: LogRecord): string {
  const json = JSON.stringify(record);
  return `${json.slice(0, -1)},"c":"${sumOf(json)}"}`;
}

/** The record of a line; null when it is damaged. Lines of earlier versions have no checksum. */
function recordOf(line: string): LogRecord | null {
  const [end = '', sum] = /,"c":"([0-9a-f]{8})"\}$/.exec(line) ?? [];
  const json = sum === undefined ? line : `${line.slice(0, -end.length)}}`;
  if (sum !== undefined && sumOf(json) !== sum) return null;
  try {
    return recordSchema.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}

function sumOf(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}

/** What the log of sessions held when it was noted. */
export interface BrokerCounts {
  retained: number;
  sessions: number;
  /** The first of them: `retained message TOPIC`, `session CLIENT`. */
  names: string[];
}

type BrokerNote = LogFile<BrokerCounts>;

/** Names that are kept of each kind, and that a finding tells. */
export const mostNoted = 100;

const mostTold = 10;

/** Files of the log in a folder, the newest last; a `.new` one is not whole. */
async function logFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => /^\d{8}\.ndjson$/.test(name)).sort();
}

/** Hands over the records of a log's whole lines. @returns how many lines are damaged, and where the last whole line ends */
function readLog(bytes: Buffer, apply: (record: LogRecord) => void): { damaged: number; end: number } {
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
function logFindings(
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
