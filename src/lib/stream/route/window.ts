import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { AppendLog } from '../../core/append-log.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { makeFolder, unwritable, writeFileAtomic } from '../../core/files.js';
import { takeLock } from '../../core/lock.js';
import { decoderFor } from '../decode/decoder.js';
import { compileExpression } from '../decode/expression.js';
import type { Decoder, DecoderName } from '../decode/values.js';
import type { Delivery, Message, OutgoingMessage } from '../message.js';
import { decodeRecord, encodeRecord } from '../spool/segments.js';
import type { Counts, Engine } from './engine.js';
import { createTransform } from './transform.js';
import { backOff, type Processor, type Route, type RouteState } from './types.js';

/**
 * Windows collect a route's messages by key and time. When a window closes, its messages become one message, which `map` aggregates:
 *
 *     source → where, through → log on disk → acknowledgment → windows → map, topic, key, headers → destination
 *
 * Messages are acknowledged once they are in the log, and a window leaves the log once the destination has its result. After a crash, the
 * log rebuilds the windows, so no message is lost; a result whose delivery was not recorded yet is sent again.
 */

/** One message in one or more windows. */
interface Kept {
  /** Position in the route's order of arrival, from 1. */
  number: number;
  /** Empty if the route's window has no key. */
  key: string;
  /** Event time, ms since 1970. */
  time: number;
  message: Message;
  /** Decoded payload. */
  value: unknown;
  /** Windows that ended by this time were already closed when the message arrived. */
  watermark: number;
  /** Number of open or undelivered windows that contain the message. */
  holds: number;
}

interface Window {
  key: string;
  /** First time in the window and the first time after it, ms since 1970. A session ends `gap` after its last message. */
  start: number;
  end: number;
  /** In order of arrival. */
  kept: Kept[];
  /** False if the window was closed early because open windows contained too many messages. */
  complete: boolean;
}

type WindowSettings = NonNullable<Route['window']>;

/** The windows of one route in memory. Time is event time: windows close when `closeUntil` is called with a time after their end. */
class Windows {
  private readonly byKey = new Map<string, Window[]>();
  /** Lower bound for the ends of the open windows. */
  private nextEnd = Number.POSITIVE_INFINITY;
  /** Windows that end at this time or earlier are closed and accept no messages. */
  private closedUntil = Number.NEGATIVE_INFINITY;
  open = 0;
  /** Number of messages in open windows. A message in several windows counts several times. */
  held = 0;

  constructor(private readonly settings: WindowSettings) {}

  get watermark(): number {
    return this.closedUntil;
  }

  /** Whether every window of a message at this time is closed. */
  isLate(key: string, time: number): boolean {
    const { gap } = this.settings;
    if (gap === undefined) return (this.spansOf(time)[0]?.[1] ?? 0) <= this.closedUntil;
    return time + gap <= this.closedUntil && this.touching(key, time, time + gap).length === 0;
  }

  /** Adds a message to its windows. */
  add(kept: Kept): void {
    const { key, time } = kept;
    const { gap } = this.settings;
    if (gap === undefined) {
      for (const [start, end] of this.spansOf(time)) {
        if (end <= this.closedUntil) continue;
        this.windowAt(key, start, end).kept.push(kept);
        this.held++;
        kept.holds++;
      }
      return;
    }
    const touched = this.touching(key, time, time + gap);
    for (const other of touched) this.remove(other);
    const merged = [...touched.flatMap((window) => window.kept), kept].sort((a, b) => a.number - b.number);
    const start = Math.min(time, ...touched.map((window) => window.start));
    const end = Math.max(time + gap, ...touched.map((window) => window.end));
    this.fill(this.windowAt(key, start, end), merged);
    kept.holds++;
  }

  /** Closes the windows that end by this time, and returns them in the order of their ends. */
  closeUntil(time: number): Window[] {
    this.closedUntil = Math.max(this.closedUntil, time);
    if (this.closedUntil < this.nextEnd) return [];
    const all = [...this.byKey.values()].flat();
    const due = all.filter(({ end }) => end <= this.closedUntil);
    for (const window of due) this.remove(window);
    this.nextEnd = all.reduce(
      (least, { end }) => (end > this.closedUntil ? Math.min(least, end) : least),
      Number.POSITIVE_INFINITY,
    );
    return due.sort((a, b) => a.end - b.end || a.start - b.start || (a.key < b.key ? -1 : 1));
  }

  /** Closes the window that ends first, although further messages for it may still arrive. */
  closeEarly(): Window | undefined {
    const first = [...this.byKey.values()]
      .flat()
      .reduce<Window | undefined>(
        (least, window) => (least && least.end <= window.end ? least : window),
        undefined,
      );
    if (first === undefined) return undefined;
    this.remove(first);
    first.complete = false;
    return first;
  }

  /** Sets the time until which windows are closed, while windows are rebuilt from the log. */
  restoreWatermark(time: number): void {
    this.closedUntil = time;
  }

  /** Removes the messages of a delivered window, while windows are rebuilt from the log. */
  removeDelivered({ key, start, end, last }: Delivered): void {
    for (const window of [...(this.byKey.get(key) ?? [])]) {
      const isSession = this.settings.gap !== undefined;
      if (!isSession && (window.start !== start || window.end !== end)) continue;
      const left = window.kept.filter(
        (kept) => kept.number > last || (isSession && (kept.time < start || kept.time >= end)),
      );
      if (left.length === window.kept.length) continue;
      for (const kept of window.kept) if (!left.includes(kept)) kept.holds--;
      this.remove(window);
      if (left.length === 0) continue;
      const times = left.map(({ time }) => time);
      const span = isSession
        ? ([Math.min(...times), Math.max(...times) + this.settings.gap!] as const)
        : ([start, end] as const);
      this.fill(this.windowAt(key, ...span), left);
    }
  }

  /** Starts and ends of the windows with a fixed size that contain a time, latest first. */
  private spansOf(time: number): [start: number, end: number][] {
    const { size = 1, every = size } = this.settings;
    const spans: [number, number][] = [];
    for (let start = Math.floor(time / every) * every; start + size > time; start -= every)
      spans.push([start, start + size]);
    return spans;
  }

  /** The open sessions of a key that a session from `start` to `end` would overlap. */
  private touching(key: string, start: number, end: number): Window[] {
    return (this.byKey.get(key) ?? []).filter(
      (window) => window.end > this.closedUntil && start < window.end && window.start < end,
    );
  }

  private windowAt(key: string, start: number, end: number): Window {
    const all = this.byKey.get(key) ?? [];
    const found = all.find((window) => window.start === start && window.end === end);
    if (found) return found;
    const window: Window = { key, start, end, kept: [], complete: true };
    all.push(window);
    this.byKey.set(key, all);
    this.nextEnd = Math.min(this.nextEnd, end);
    this.open++;
    return window;
  }

  private fill(window: Window, kept: Kept[]): void {
    window.kept = kept;
    this.held += kept.length;
  }

  private remove(window: Window): void {
    const left = (this.byKey.get(window.key) ?? []).filter((other) => other !== window);
    if (left.length > 0) this.byKey.set(window.key, left);
    else this.byKey.delete(window.key);
    this.open--;
    this.held -= window.kept.length;
  }
}

/** The message for a closed window. `values` are the decoded payloads in the order of their times. */
function resultOf({ key, start, end, kept, complete }: Window): Message {
  const inOrder = [...kept].sort((a, b) => a.time - b.time || a.number - b.number);
  const last = inOrder.at(-1)!.message;
  const values = inOrder.map(({ value }) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
  );
  const payload = { ...(key === '' ? {} : { key }), start, end, count: kept.length, complete, values };
  return {
    topic: last.topic,
    payload: Buffer.from(JSON.stringify(payload)),
    time: end,
    source: last.source,
    ...(key === '' ? {} : { key: Buffer.from(key) }),
  };
}

/** Reads the key and the event time of a message. */
async function readerOf(
  route: Route,
  settings: WindowSettings,
): Promise<{ read: (message: Message) => Read | Promise<Read>; decode: Decoder }> {
  const { format, schema, type } = route.decode;
  const decode = await decoderFor(format as DecoderName, {
    ...(schema === undefined ? {} : { schema }),
    ...(type === undefined ? {} : { type }),
  });
  const [key, time] = [settings.key, settings.time].map((text) =>
    text === undefined ? undefined : compileExpression(text),
  );
  const read = (message: Message): Read | Promise<Read> => {
    const values = [key?.evaluate(message, decode), time?.evaluate(message, decode)];
    const finish = ([keyValue, timeValue]: unknown[]): Read => ({
      key: key ? keyText(keyValue, key.text) : '',
      time: time ? timeOf(timeValue, time.text) : message.time,
      value: decode(message),
    });
    return values.some((value) => value instanceof Promise)
      ? Promise.all(values).then(finish)
      : finish(values);
  };
  return { read, decode };
}

type Read = Pick<Kept, 'key' | 'time' | 'value'>;

function keyText(value: unknown, text: string): string {
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new AiotError(
    'AIOT_ROUTE_MESSAGE',
    `window.key: ${text}: expected text or a number, got ${JSON.stringify(value) ?? 'nothing'}`,
  );
}

/** Milliseconds since 1970, or a time as text such as 2026-05-01T12:00:00Z. */
function timeOf(value: unknown, text: string): number {
  const time = typeof value === 'string' ? Date.parse(value) : value;
  if (typeof time === 'number' && Number.isFinite(time)) return time;
  throw new AiotError(
    'AIOT_ROUTE_MESSAGE',
    `window.time: ${text}: expected milliseconds since 1970 or an ISO time, got ${JSON.stringify(value) ?? 'nothing'}`,
  );
}

/** The steps of a windowed route before and after its windows. */
export function stagesOf(route: Route): { before: Route; after: Route } {
  const { window: _, where, through, map, topic, key, headers, each, ...rest } = route;
  return {
    before: { ...rest, where, through, headers: {}, each: false } as Route,
    after: {
      ...rest,
      map,
      topic,
      key,
      headers,
      each,
      decode: { format: 'json', schema: undefined, type: undefined },
    } as Route,
  };
}

/**
 * Windows for the test cases of a route: without a log, and without a clock. `add` returns the results of the windows that a message closes.
 * @throws errors caused by the message
 */
export async function windowsInMemory(route: Route): Promise<{
  add(message: Message): Promise<Message[]>;
  finish(): Message[];
}> {
  const settings = route.window!;
  const windows = new Windows(settings);
  const { read } = await readerOf(route, settings);
  let number = 0;
  let latest = Number.NEGATIVE_INFINITY;
  return {
    async add(message) {
      const found = await read(message);
      if (windows.isLate(found.key, found.time)) return [];
      number++;
      windows.add({ ...found, number, message, watermark: windows.watermark, holds: 0 });
      latest = Math.max(latest, found.time);
      return windows.closeUntil(latest - settings.grace).map(resultOf);
    },
    finish: () => windows.closeUntil(Number.POSITIVE_INFINITY).map(resultOf),
  };
}

/** A delivered window. `last` is the number of its last message. */
interface Delivered {
  key: string;
  start: number;
  end: number;
  last: number;
}

/** The log of messages in windows: records in the spool's format, with one header for the fields that only windows need. */
class WindowLog {
  private log: AppendLog | undefined;

  private constructor(
    private readonly file: string,
    private readonly release: () => void,
  ) {}

  /** @throws AIOT_SPOOL_BUSY, AIOT_FILE_NOT_WRITABLE */
  static async open(folder: string): Promise<{ log: WindowLog; records: LogRecord[] }> {
    await makeFolder(folder);
    const release = await takeLock(join(folder, '.lock'));
    if (!release)
      throw new AiotError('AIOT_SPOOL_BUSY', `another process is using the windows in ${folder}`, {
        endpoint: folder,
      });
    try {
      const log = new WindowLog(join(folder, 'windows.log'), release);
      return { log, records: await log.recover() };
    } catch (error) {
      release();
      throw systemCode(error) === undefined ? error : unwritable(folder, error);
    }
  }

  get bytes(): number {
    return this.log?.end ?? 0;
  }

  /** Resolves once the records are on disk. If the promise rejects, none of them are. */
  async append(records: readonly OutgoingMessage[]): Promise<void> {
    await this.log?.append(Buffer.concat(records.map(encodeRecord)));
  }

  /** Replaces the contents. If writing fails, the old contents remain. */
  async replace(records: readonly OutgoingMessage[]): Promise<void> {
    const bytes = Buffer.concat(records.map(encodeRecord));
    await writeFileAtomic(this.file, bytes);
    await this.log?.file.close();
    this.log = undefined;
    this.log = new AppendLog(await open(this.file, 'r+'), bytes.length);
  }

  async close(): Promise<void> {
    await this.log?.file.close();
    this.log = undefined;
    this.release();
  }

  /** Reads all records. An incomplete last record was never acknowledged; anything after damage is kept as windows.log.damaged. */
  private async recover(): Promise<LogRecord[]> {
    const bytes = await readFile(this.file).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return Buffer.alloc(0);
      throw error;
    });
    const records: LogRecord[] = [];
    let at = 0;
    for (;;) {
      const read = decodeRecord(bytes, at);
      const record = read.kind === 'record' ? recordOf(read.message) : undefined;
      if (read.kind === 'record' && record) {
        records.push(record);
        at += read.bytes;
        continue;
      }
      if (read.kind !== 'short') await rename(this.file, `${this.file}.damaged`);
      break;
    }
    const isWhole = at === bytes.length && bytes.length > 0;
    if (!isWhole) await writeFileAtomic(this.file, bytes.subarray(0, at));
    const file: FileHandle = await open(this.file, 'r+');
    this.log = new AppendLog(file, at);
    return records;
  }
}

type LogRecord = { kept: Omit<Kept, 'value'>; onArrival: boolean } | { delivered: Delivered };

const logHeader = 'aiot-window';

function keptRecord({ message, number, key, time, watermark }: Kept, onArrival: boolean): OutgoingMessage {
  const { topic, payload, source, position } = message;
  // JSON cannot represent infinity.
  const from = Number.isFinite(watermark) ? watermark : null;
  const about = JSON.stringify([
    number,
    from,
    onArrival,
    source,
    ...(position === undefined ? [] : [position]),
  ]);
  return { topic, payload, time, key: Buffer.from(key), headers: [[logHeader, about]] };
}

function deliveredRecord({ key, start, end, last }: Delivered): OutgoingMessage {
  return {
    topic: '',
    payload: Buffer.alloc(0),
    tombstone: true,
    key: Buffer.from(key),
    headers: [[logHeader, JSON.stringify([start, end, last])]],
  };
}

function recordOf(stored: OutgoingMessage): LogRecord | undefined {
  const about = stored.headers?.find(([name]) => name === logHeader)?.[1];
  if (typeof about !== 'string') return undefined;
  const key = Buffer.from(stored.key ?? []).toString();
  if (stored.tombstone) {
    const [start, end, last] = JSON.parse(about) as number[];
    return { delivered: { key, start: start!, end: end!, last: last! } };
  }
  const [number, watermark, onArrival, source, position] = JSON.parse(about) as [
    number,
    number | null,
    boolean,
    string,
    string?,
  ];
  const { topic, payload, time = 0 } = stored;
  const message: Message = { topic, payload, time, source, ...(position === undefined ? {} : { position }) };
  return {
    kept: { number, key, time, message, watermark: watermark ?? Number.NEGATIVE_INFINITY, holds: 0 },
    onArrival,
  };
}

function lateError(time: number, watermark: number): AiotError {
  const seconds = Math.ceil((watermark - time) / 1000);
  return new AiotError('AIOT_ROUTE_MESSAGE', `the message is ${seconds} s too late for its window`);
}

/** How often windows are closed by the clock, ms. */
const tickMs = 200;

/** Times further in the future than this are attributed to wrong clocks and do not close windows, ms. */
const futureMs = 60_000;

/** Size at which the log is rewritten, if most of it is no longer needed, bytes. */
const compactBytes = 1024 * 1024;

/** Size of a record without its payload, bytes; an estimate. */
const recordBytes = 200;

interface StageOptions {
  route: Route;
  processor: Processor | undefined;
  /** Receives the results. */
  engine: Engine;
  counts: Counts;
  /** When aborted, no further windows are closed; they stay on disk. */
  stop: AbortSignal;
  /** Called with a failure that ends the route, such as a failure of the disk. */
  onFailure: (error: unknown) => void;
  /** The clock, ms since 1970. */
  now?: () => number;
}

/** The windows of a running route, between its sources and the engine. */
export interface WindowStage {
  /** Stores and acknowledges a batch, and passes the results of the windows that it closes to the engine. */
  take(batch: readonly Delivery[]): Promise<void>;
  /** Closes all windows, once the sources have no more messages. */
  finish(): Promise<void>;
  close(): Promise<void>;
  state(): NonNullable<RouteState['windows']>;
}

/** @throws AIOT_SPOOL_BUSY, AIOT_FILE_NOT_WRITABLE, the errors of loading the decoder's schema */
export async function openWindows(options: StageOptions): Promise<WindowStage> {
  const { route, processor, engine, counts, stop, now = Date.now } = options;
  const settings = route.window!;
  const windows = new Windows(settings);
  const { read, decode } = await readerOf(route, settings);
  const before = await createTransform(stagesOf(route).before, processor);
  const { log, records } = await WindowLog.open(settings.path);
  let number = 0;
  let late = 0;
  let latest = Number.NEGATIVE_INFINITY;
  let lastTaken = now();
  /** Whether messages have the time at which they arrived, so that the clock alone closes windows. */
  let onArrival = false;
  /** Messages in open or undelivered windows, in order of arrival. */
  const live = new Set<Kept>();
  /** Delivered windows that share messages with windows that are not delivered yet. */
  let delivered: Delivered[] = [];
  const positions = new Set<string>();
  let newlyDelivered: Window[] = [];

  /** Takes, ticks and writes run one at a time, so that a window does not close while its messages are being stored. */
  let last: Promise<unknown> = Promise.resolve();
  const exclusive = <T>(task: () => Promise<T>): Promise<T> => {
    const run = last.then(task);
    last = run.catch(() => {});
    return run;
  };

  const positionOf = ({ source, position }: Message) =>
    position === undefined ? undefined : `${source} ${position}`;

  function restore(): void {
    for (const record of records) {
      if ('delivered' in record) {
        windows.removeDelivered(record.delivered);
        delivered.push(record.delivered);
        continue;
      }
      windows.restoreWatermark(record.kept.watermark);
      const kept: Kept = { ...record.kept, value: decode(record.kept.message) };
      keep(kept);
      onArrival ||= record.onArrival;
    }
    for (const kept of live) if (kept.holds === 0) forget(kept);
  }

  function keep(kept: Kept): void {
    windows.add(kept);
    live.add(kept);
    const position = positionOf(kept.message);
    if (position !== undefined) positions.add(position);
    number = Math.max(number, kept.number);
    if (kept.time <= now() + futureMs) latest = Math.max(latest, kept.time);
  }

  function forget(kept: Kept): void {
    live.delete(kept);
    const position = positionOf(kept.message);
    if (position !== undefined) positions.delete(position);
  }

  /** The time until which windows are closed now. */
  function watermark(): number {
    const at = now();
    const quiet = at - lastTaken;
    const passed = settings.idle !== undefined && quiet >= settings.idle ? latest + quiet : latest;
    return Math.max(onArrival ? at : passed, passed) - settings.grace;
  }

  /** Passes closed windows to the engine. Resolves once the engine has room for more. */
  async function emit(closed: readonly Window[]): Promise<void> {
    if (closed.length === 0) return;
    await engine.take(
      closed.map((window) => ({
        message: resultOf(window),
        ack: () => {
          if (newlyDelivered.length === 0) void exclusive(recordDelivered).catch(options.onFailure);
          newlyDelivered.push(window);
        },
        nack: () => {},
      })),
    );
  }

  /** Records the windows whose results the destination has stored. If recording fails, the results are sent again after a restart. */
  async function recordDelivered(): Promise<void> {
    const done = newlyDelivered;
    newlyDelivered = [];
    const ends = done.map(
      ({ key, start, end, kept }): Delivered => ({ key, start, end, last: kept.at(-1)!.number }),
    );
    await log.append(ends.map(deliveredRecord));
    delivered.push(...ends);
    for (const { kept } of done) for (const each of kept) if (--each.holds === 0) forget(each);
    await compact();
  }

  async function compact(): Promise<void> {
    if (live.size === 0) delivered = [];
    if (log.bytes < compactBytes) return;
    let needed = 0;
    const byKey = new Map<string, Kept[]>();
    for (const kept of live) {
      needed += kept.message.payload.length + recordBytes;
      const same = byKey.get(kept.key);
      if (same) same.push(kept);
      else byKey.set(kept.key, [kept]);
    }
    if (log.bytes < 4 * needed) return;
    delivered = delivered.filter(({ key, start, end, last: to }) =>
      byKey.get(key)?.some((kept) => kept.number <= to && kept.time >= start && kept.time < end),
    );
    await log.replace([
      ...[...live].map((kept) => keptRecord(kept, onArrival)),
      ...delivered.map(deliveredRecord),
    ]);
  }

  async function takeAll(batch: readonly Delivery[]): Promise<void> {
    const stored: { delivery: Delivery; kept: Kept[] }[] = [];
    for (const delivery of batch) {
      counts.received++;
      try {
        const kept = await keptOf(delivery.message);
        if (kept) stored.push({ delivery, kept });
        else {
          counts.filtered++;
          delivery.ack();
        }
      } catch (error) {
        engine.fail(delivery, error);
      }
    }
    const all = stored.flatMap(({ kept }) => kept);
    if (!(await store(all))) return;
    for (const kept of all) keep(kept);
    for (const { delivery } of stored) delivery.ack();
    if (stored.length > 0) lastTaken = now();
    await emit(windows.closeUntil(watermark()));
    while (windows.held > settings.limit && !stop.aborted) {
      const early = windows.closeEarly();
      if (!early) break;
      await emit([early]);
    }
  }

  /** The messages to keep for a message: none if it is late or known, undefined if `where` excludes it. */
  async function keptOf(message: Message): Promise<Kept[] | undefined> {
    const made = await before(message);
    if (made.length === 0) return undefined;
    const position = positionOf(message);
    if (position !== undefined && positions.has(position)) {
      counts.duplicates++;
      return [];
    }
    if (settings.time === undefined && position === undefined && !/^(file|pictures):/.test(message.source))
      onArrival = true;
    const kept: Kept[] = [];
    for (const { payload, key, headers, of } of made) {
      const one: Message = {
        ...of,
        payload,
        ...(key === undefined ? {} : { key }),
        ...(headers === undefined ? {} : { headers }),
      };
      const found = await read(one);
      if (!windows.isLate(found.key, found.time))
        kept.push({ ...found, number: ++number, message: one, watermark: windows.watermark, holds: 0 });
      else if (route.onError.deadLetter === undefined || made.length > 1) late++;
      else throw lateError(found.time, windows.watermark);
    }
    return kept;
  }

  /** Writes messages to the log, and waits while the disk is full. Returns false at `stop`; the messages then stay with their source. */
  async function store(all: readonly Kept[]): Promise<boolean> {
    if (all.length === 0) return true;
    const made = all.map((kept) => keptRecord(kept, onArrival));
    for (let failures = 0; ; failures++) {
      try {
        await log.append(made);
        return true;
      } catch (error) {
        if (systemCode(error) !== 'ENOSPC') throw unwritable(settings.path, error);
        counts.lastError = `the disk of ${settings.path} is full`;
        await backOff(failures, stop).catch(() => {});
        if (stop.aborted) return false;
      }
    }
  }

  restore();
  const timer = setInterval(() => {
    if (stop.aborted || (windows.open === 0 && live.size === 0)) return;
    void exclusive(async () => {
      if (!stop.aborted) await emit(windows.closeUntil(watermark()));
    }).catch(options.onFailure);
  }, tickMs);

  return {
    take: (batch) =>
      exclusive(async () => {
        if (!stop.aborted) await takeAll(batch);
      }),
    finish: () => exclusive(() => emit(windows.closeUntil(Number.POSITIVE_INFINITY))),
    async close() {
      clearInterval(timer);
      // The last acknowledgments may still have to be recorded.
      for (let awaited: unknown; awaited !== last; ) {
        awaited = last;
        await last;
      }
      await log.close();
    },
    state: () => ({ open: windows.open, messages: live.size, late }),
  };
}
