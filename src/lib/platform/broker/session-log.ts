import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import * as z from 'zod';
import { AppendLog, GroupCommit, type Sync } from '../../core/append-log.js';
import { plural } from '../../core/figures.js';
import { syncFolder } from '../../core/files.js';
import { parsedJson } from '../../core/text.js';
import type { NoteCommit } from '../metrics.js';
import type { Store } from '../store/database.js';
import type { Finding } from '../verify/damage.js';
import { type Ledger, type LogFile, ledgerIn, noteEveryMs } from '../verify/ledger.js';
import type { BrokerMessage, Grant, Qos } from './wire.js';

interface LogOptions {
  folder: string;
  sync?: Sync | undefined;
  /**
   * The complete current state, with which a new file begins. Each function creates one record, and may be called after further changes.
   */
  snapshot: () => Iterable<() => LogRecord>;
  /** Minimum size at which the file is compacted, bytes. */
  compactBytes?: number;
  onCommit?: NoteCommit | undefined;
  /** Current counts for the ledger; if absent, no counts are recorded. */
  counts?: () => BrokerCounts;
  ledger?: Ledger<BrokerCounts> | undefined;
  damage?: ((findings: readonly Finding[]) => Promise<void>) | undefined;
}

type Done = (error: unknown) => void;

/** Records written together. `done` is called when they are on disk; absent if no caller is waiting. */
interface Commit {
  records: readonly LogRecord[];
  done?: Done;
}

/** Time within which a record without a waiting caller is written, ms. */
const lazyMs = 100;

const chunkBytes = 1024 ** 2;

/**
 * The session log: NDJSON, append-only. Everything that arrives while the disk is busy is written and synced together. Once the file has four times
 * its initial size, it is replaced by a new file that begins with the complete current state. There is one file at a time.
 */
export class SessionLog {
  private log!: AppendLog;
  private number = 0;
  private begun = 0;
  private readonly commits = new GroupCommit<Commit>((batch) => this.write(batch));
  private readonly lines = new Lines();
  private timer: NodeJS.Timeout | undefined;
  /** Whether a write has failed. Memory is then ahead of the file until the file is rewritten. */
  private behind = false;
  private closed = false;
  /** CRC-32 of the file, and the number of its bytes that are known to be on disk. */
  private crc = 0;
  private synced = { end: 0, crc: 0 };
  private noted = -1;
  private noting: NodeJS.Timeout | undefined;

  private constructor(private readonly options: LogOptions) {}

  /** Replays existing records into `apply`; damaged lines are counted and skipped, a torn last line is cut off. */
  static async open(options: LogOptions, apply: (record: LogRecord) => void) {
    const log = new SessionLog(options);
    const { folder } = options;
    await mkdir(folder, { recursive: true });
    const names = (await readdir(folder)).filter((name) => /^\d{8}\.ndjson(\.new)?$/.test(name)).sort();
    const newest = names.filter((name) => !name.endsWith('.new')).at(-1);
    // A newer file appears only when it is complete.
    for (const name of names) if (name !== newest) await rm(join(folder, name), { force: true });
    log.number = newest ? Number.parseInt(newest, 10) : 1;
    const path = log.path(log.number);
    const bytes = newest ? await readFile(path) : Buffer.alloc(0);
    const { damaged, end: at } = readLog(bytes, apply);
    const file = await open(path, newest ? 'r+' : 'wx+');
    if (at < bytes.length) await file.truncate(at);
    if (!newest) await syncFolder(folder);
    log.log = new AppendLog(file, at, options.sync);
    log.crc = crc32(bytes.subarray(0, at));
    log.isSynced();
    await log.compare({ number: newest ? log.number : null, bytes, damaged });
    return { log, damaged };
  }

  /** Reports content that has been lost since the last note, and records the current state. */
  private async compare(now: Parameters<typeof logFindings>[0]): Promise<void> {
    const { ledger, counts, damage } = this.options;
    const notes = (await ledger?.load()) ?? [];
    await damage?.(logFindings(now, notes.at(-1) ?? null, counts?.() ?? null));
    await ledger?.forget(notes);
    // Damage is reported only once, because the new file begins with the complete current state.
    if (now.damaged > 0) await this.compact().catch(() => (this.behind = true));
    await this.note();
  }

  /** Records the log's state in the ledger. If that fails, the next note covers it. */
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

  /** Records waiting to be written. */
  get backlog(): number {
    return this.commits.waiting.reduce((sum, { records }) => sum + records.length, 0);
  }

  /** Appends a record that no caller waits for; it is written within `lazyMs`. */
  append(record: LogRecord): void {
    if (this.closed) return;
    if (!this.joins(record)) this.commits.add({ records: [record] }, false);
    if (this.commits.busy || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.commits.begin();
    }, lazyMs);
  }

  /**
   * Merges a record into the previous one, because many acknowledgments arrive at a time. Returns whether the record
   * was merged.
   */
  private joins(record: LogRecord): boolean {
    const last = this.commits.waiting.at(-1);
    if (record.k !== 'done' || !last || last.done) return false;
    const before = last.records.at(-1);
    if (before?.k !== 'done' || before.s !== record.s || before.g !== record.g) return false;
    before.more ??= [];
    before.more.push(record.n);
    return true;
  }

  /** Calls `done` when the record is on disk, or with the error from the disk. */
  commit(record: LogRecord, done: Done): void {
    this.commitAll([record], done);
  }

  commitAll(records: readonly LogRecord[], done: Done): void {
    if (this.closed) {
      done(new Error('the platform is stopping'));
      return;
    }
    this.commits.add({ records, done });
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.timer = undefined;
    await this.commits.settled();
    if (this.synced.end < this.log.end && !this.behind)
      await this.log
        .flush()
        .then(() => this.isSynced())
        .catch(() => {});
    await this.note();
    await this.log.file.close();
  }

  private async write(batch: readonly Commit[]): Promise<void> {
    const { lines } = this;
    const waiting = batch.flatMap(({ done }) => (done ? [done] : []));
    const begun = performance.now();
    try {
      const { compactBytes = 4 * chunkBytes, onCommit } = this.options;
      if (this.behind || this.log.end > Math.max(compactBytes, 4 * this.begun)) await this.compact();
      for (const { records } of batch) for (const record of records) lines.add(record);
      const block = lines.block();
      await this.log.append(block, waiting.length > 0);
      this.crc = crc32(block, this.crc);
      if (waiting.length > 0) {
        onCommit?.(lines.count, (performance.now() - begun) / 1000);
        this.isSynced();
      }
      this.noteSoon();
      for (const done of waiting) done(null);
    } catch (error) {
      this.behind = true;
      for (const done of waiting) done(error);
    } finally {
      lines.clear();
    }
  }

  private isSynced(): void {
    this.synced = { end: this.log.end, crc: this.crc };
  }

  private async compact(): Promise<void> {
    const number = this.number + 1;
    const path = `${this.path(number)}.new`;
    const log = new AppendLog(await open(path, 'w+'), 0, this.options.sync);
    try {
      let crc = 0;
      const lines = new Lines();
      const write = async () => {
        const block = lines.block();
        await log.append(block, false);
        crc = crc32(block, crc);
        lines.clear();
      };
      // The snapshot is listed at once, because a message may move between sessions while this file is written. Changes made meanwhile are
      // in the lines that follow.
      for (const record of [...this.options.snapshot()]) {
        lines.add(record());
        if (lines.bytes > chunkBytes) await write();
      }
      await write();
      await log.flush();
      await rename(path, this.path(number));
      await syncFolder(this.options.folder);
      const old = this.path(this.number);
      await this.log.file.close();
      const before = this.number;
      Object.assign(this, { log, number, crc, begun: log.end, behind: false, noted: -1 });
      this.isSynced();
      await this.note();
      await this.options.ledger?.forget([{ number: before, generation: 0 }]).catch(() => {});
      await rm(old, { force: true });
    } catch (error) {
      if (this.log !== log) await log.file.close();
      throw error;
    }
  }

  private path(number: number): string {
    return join(this.options.folder, `${String(number).padStart(8, '0')}.ndjson`);
  }
}

const qos = z.union([z.literal(0), z.literal(1), z.literal(2)]);

/** Topic, payload in base64, QoS, retain flag, forwarded properties in base64, and expiry time, ms since 1970. */
const message = z.tuple([
  z.string(),
  z.base64(),
  qos,
  z.boolean(),
  z.base64().optional(),
  z.number().optional(),
]);

/** Filter, QoS; No Local (1) and Retain As Published (2) as bits, and the subscription identifier. */
const subscription = z.tuple([z.string(), qos, z.number().optional(), z.number().optional()]);

/** Properties of one receiver's copy that differ: its shared subscription, its subscription identifiers, and its retain flag. */
const copy = z.object({
  g: z.string().optional(),
  i: z.array(z.number()).optional(),
  r: z.boolean().optional(),
});

/** Session key, QoS, packet id (0 = any that is free), differences. */
const receiver = z.tuple([z.string(), z.union([z.literal(1), z.literal(2)]), z.number(), copy.optional()]);

/** A line of the session log. `BrokerState.apply` applies each kind of line. */
const recordSchema = z.discriminatedUnion('k', [
  /**
   * A session exists. `off`: when the client disconnected; null while it is connected. `x`: how long the session is kept after that, ms
   * (absent = the limit). `sent`: packet ids of messages sent but not acknowledged at that time; absent while the client is connected.
   */
  z.object({
    ...{ k: z.literal('session'), s: z.string(), off: z.number().nullable(), x: z.number().optional() },
    sent: z.array(z.number()).optional(),
  }),
  z.object({ k: z.literal('end'), s: z.string() }),
  z.object({ k: z.literal('sub'), s: z.string(), f: z.array(subscription) }),
  z.object({ k: z.literal('unsub'), s: z.string(), f: z.array(z.string()) }),
  /**
   * Message `n` for the sessions in `to`. `r`: it is also the topic's retained message. `from`: the sender's session
   * and packet id, if the message was received with QoS 2.
   */
  z.object({
    k: z.literal('message'),
    n: z.number(),
    m: message,
    to: z.array(receiver),
    r: z.boolean().optional(),
    from: z.tuple([z.string(), z.number()]).optional(),
    /** The message was sent to the client, or the client has received it and must release its packet id. */
    state: z.enum(['sent', 'released']).optional(),
  }),
  /**
   * The session has finished with message `n` and the messages in `more`; with `g`, only with that shared
   * subscription's copies.
   */
  z.object({
    ...{ k: z.literal('done'), s: z.string(), n: z.number(), g: z.string().optional() },
    more: z.array(z.number()).optional(),
  }),
  /** The client of the session has received QoS 2 message `n` and must release its id. */
  z.object({ k: z.literal('received'), s: z.string(), n: z.number(), g: z.string().optional() }),
  /** Message `n` of a shared subscription passes from the session to another member. */
  z.object({ k: z.literal('move'), s: z.string(), n: z.number(), to: receiver }),
  /** QoS 2 packet ids that the session has seen, and one that the client released. */
  z.object({ k: z.literal('seen'), s: z.string(), id: z.array(z.number()) }),
  z.object({ k: z.literal('release'), s: z.string(), id: z.number() }),
  /**
   * The will of a client; null = the will is no longer needed. Its author is the device `who` or the token `t`. `d` is
   * its delay and `e` its lifetime once published, both in seconds. `at`: when it is due, ms since 1970; absent while
   * the client is connected.
   */
  z.object({
    ...{ k: z.literal('will'), s: z.string(), who: z.string().optional(), t: z.string().optional() },
    ...{ d: z.number().optional(), e: z.number().optional(), at: z.number().optional() },
    m: message.nullable(),
  }),
]);

export type LogRecord = z.infer<typeof recordSchema>;

type LoggedMessage = z.infer<typeof message>;

export type LoggedReceiver = z.infer<typeof receiver>;

export function logged({ topic, payload, qos, retain, properties, expiresAt }: BrokerMessage): LoggedMessage {
  const text = payload.toString('base64');
  if (properties === undefined && expiresAt === undefined) return [topic, text, qos, retain];
  const encoded = properties?.toString('base64') ?? '';
  if (expiresAt === undefined) return [topic, text, qos, retain, encoded];
  return [topic, text, qos, retain, encoded, expiresAt];
}

export function unlogged([topic, text, qos, retain, encoded, expiresAt]: LoggedMessage): BrokerMessage {
  const payload = Buffer.from(text, 'base64');
  const message: BrokerMessage = { topic, payload, qos: qos as Qos, retain };
  if (encoded) message.properties = Buffer.from(encoded, 'base64');
  if (expiresAt !== undefined) message.expiresAt = expiresAt;
  return message;
}

export function loggedGrant(filter: string, grant: Grant): z.infer<typeof subscription> {
  const { qos, noLocal, retainAsPublished, id } = grant;
  const options = (noLocal ? 1 : 0) | (retainAsPublished ? 2 : 0);
  if (options === 0 && id === 0) return [filter, qos];
  return id === 0 ? [filter, qos, options] : [filter, qos, options, id];
}

export function unloggedGrant([, qos, options = 0, id = 0]: z.infer<typeof subscription>): Grant {
  return { qos, noLocal: (options & 1) !== 0, retainAsPublished: (options & 2) !== 0, id };
}

/** Size above which a buffer is released after use, bytes. */
const keptBytes = chunkBytes;

/** Lines of records in one reusable buffer. Each line is a JSON object whose last member is the CRC-32 of the rest. */
class Lines {
  private buffer = Buffer.alloc(0);
  /** Number of lines, and their total length in bytes. */
  count = 0;
  bytes = 0;

  add(record: LogRecord): void {
    const json = jsonOf(record);
    // A UTF-16 code unit takes at most three bytes of UTF-8.
    this.reserve(3 * json.length + checksumBytes);
    const { buffer, bytes } = this;
    const end = bytes + buffer.write(json, bytes);
    const sum = hexOf(crc32(buffer.subarray(bytes, end)));
    this.bytes = end - 1 + buffer.write(`,"c":"${sum}"}\n`, end - 1, 'latin1');
    this.count++;
  }

  /** All lines; valid until `clear`. */
  block(): Buffer {
    return this.buffer.subarray(0, this.bytes);
  }

  clear(): void {
    this.count = 0;
    this.bytes = 0;
    if (this.buffer.length > keptBytes) this.buffer = Buffer.alloc(0);
  }

  private reserve(more: number): void {
    if (this.bytes + more <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.buffer.length, this.bytes + more, 16 * 1024));
    this.buffer.copy(larger, 0, 0, this.bytes);
    this.buffer = larger;
  }
}

/** Length of a checksum and the rest of its line: `,"c":"01234567"}` and the newline. */
const checksumBytes = 17;

/** Encodes a record as JSON. Most records are messages, which are assembled here, because JSON.stringify would search base64 for escapes. */
function jsonOf(record: LogRecord): string {
  if (record.k !== 'message') return JSON.stringify(record);
  const { k, n, m, to, ...rest } = record;
  const [topic, payload, qos, retain, properties, expiresAt] = m;
  const more = `${properties === undefined ? '' : `,"${properties}"`}${expiresAt === undefined ? '' : `,${expiresAt}`}`;
  const head = `{"k":"${k}","n":${n},"m":[${JSON.stringify(topic)},"${payload}",${qos},${retain}${more}],"to":${JSON.stringify(to)}`;
  const tail = JSON.stringify(rest);
  return tail === '{}' ? `${head}}` : `${head},${tail.slice(1)}`;
}

/** The record in a line; null if the line is damaged. Lines written by earlier versions have no checksum. */
function recordOf(line: string): LogRecord | null {
  const [end = '', sum] = /,"c":"([0-9a-f]{8})"\}$/.exec(line) ?? [];
  const json = sum === undefined ? line : `${line.slice(0, -end.length)}}`;
  if (sum !== undefined && hexOf(crc32(json)) !== sum) return null;
  return recordSchema.safeParse(parsedJson(json)).data ?? null;
}

function hexOf(sum: number): string {
  return sum.toString(16).padStart(8, '0');
}

/** Contents of the session log at the time of the note. */
export interface BrokerCounts {
  retained: number;
  sessions: number;
  /** Names of the first `mostNoted` items: `retained message TOPIC`, `session CLIENT`. */
  names: string[];
}

type BrokerNote = LogFile<BrokerCounts>;

/** Number of names of each kind that are recorded and shown in a finding. */
export const mostNoted = 100;

const mostTold = 10;

/** Files of the log in a folder, the newest last; a `.new` file is incomplete. */
async function logFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => /^\d{8}\.ndjson$/.test(name)).sort();
}

/** Passes the records of a log's complete lines to `apply`. @returns how many lines are damaged, and where the last complete line ends */
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
 * Compares the log with its record in the state database.
 * @param number the newest file's number; null = no file
 * @param now counts according to the log's lines; null = not determined
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
    // A newer file had begun with the complete state, and the platform was killed before it was noted.
    if (number === note.number && bytes.length < note.bytes) return found(number, 'is shorter than it was');
  }
  if (damaged > 0) return found(number ?? 1, `contains ${plural(damaged, 'damaged line')}`);
  if (note?.number === number && note && crc32(bytes.subarray(0, note.bytes)) !== note.crc)
    return found(note.number, 'does not match the written data');
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
 * Checks the log of MQTT sessions and retained messages: each line's checksum, and the file's length and checksum as recorded in the state database.
 * Read-only; backups do not contain this log. @param dataDir the data folder
 */
export async function verifyBrokerLog(
  dataDir: string,
  { store }: { store?: Store | undefined } = {},
): Promise<Finding[]> {
  const folder = join(dataDir, 'broker');
  // The notes are read before the log, so that everything they record is already in it.
  const notes = store ? await ledgerIn<BrokerCounts>(store, 'broker').load() : [];
  const newest = (await logFiles(folder)).at(-1);
  const bytes = newest ? await readFile(join(folder, newest)) : Buffer.alloc(0);
  const { damaged } = readLog(bytes, () => {});
  const number = newest ? Number.parseInt(newest, 10) : null;
  return logFindings({ number, bytes, damaged }, notes.at(-1) ?? null, null);
}
