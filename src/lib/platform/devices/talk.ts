import type { Logger } from 'pino';
import type * as z from 'zod';
import {
  type DeviceHistoryEntry,
  type DeviceMessage,
  type DeviceMessagesQuery,
  type LogLine,
  type LogPage,
  type LogQuery,
  logLevels,
} from '../../api/contract/devices.js';
import { numberOf, type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import type { logSchema } from '../../device/protocol/control.js';
import { settle } from '../events/events.js';
import type { Entry } from '../journal/entry.js';
import { longestBatchMs } from '../journal/tables.js';
import type { Take } from '../journal/takes.js';
import { cursorOf, type JournalReader, type TakeQuery, type Telemetry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import type { Devices } from './devices.js';

type Listener = (entry: Entry) => void;

export interface LiveHub {
  /**
   * Calls the listener with each of the device's messages that becomes durable from now on; the returned function
   * removes the listener.
   * @param device null = all devices
   */
  listen(device: string | null, listener: Listener): () => void;
  /** Resolves when listeners receive all messages that become durable from now on. */
  ready(): Promise<void>;
  close(): void;
}

/** Devices' live messages. The journal is read once for all listeners, whichever replica received a message. */
export function liveHub(reader: JournalReader, log: Logger): LiveHub {
  const listeners = new Map<string | null, Set<Listener>>();
  let reading: AbortController | undefined;
  let begun: Promise<string> | undefined;
  /** Where reading continues after a failure, so that listeners miss nothing; undefined without listeners. */
  let position: string | undefined;

  async function read(signal: AbortSignal): Promise<void> {
    begun = position === undefined ? reader.end() : Promise.resolve(position);
    position = await begun;
    for await (const batch of reader.from(position, signal)) {
      position = batch.at(-1)?.position ?? position;
      for (const { entry } of batch)
        for (const device of [entry.device, null])
          for (const listener of listeners.get(device) ?? []) listener(entry);
    }
  }

  function begin(): void {
    const controller = new AbortController();
    reading = controller;
    read(controller.signal)
      .catch(
        (err: unknown) =>
          controller.signal.aborted || log.warn({ err }, 'could not continue reading messages'),
      )
      .finally(() => {
        if (reading !== controller) return;
        reading = undefined;
        // After a failure, reading restarts if there are listeners left.
        if (!controller.signal.aborted && listeners.size > 0)
          setTimeout(() => reading ?? begin(), 1000).unref();
      });
  }

  return {
    listen(device, listener) {
      const those = listeners.get(device) ?? new Set();
      listeners.set(device, those.add(listener));
      if (reading === undefined) begin();
      return () => {
        those.delete(listener);
        if (those.size === 0 && listeners.get(device) === those) listeners.delete(device);
        if (listeners.size > 0) return;
        reading?.abort();
        reading = undefined;
        position = undefined;
      };
    },
    async ready() {
      await begun;
    },
    close() {
      listeners.clear();
      reading?.abort();
    },
  };
}

const usualSpanMs = 3600_000;

/** Number of a device's newest recordings that are searched for messages. */
const mostTakes = 20;

/** A device's newest messages on one channel, oldest first. For telemetry, these are the messages of all its streams. */
export async function deviceMessages(
  telemetry: Telemetry,
  device: string,
  { channel, since, limit }: DeviceMessagesQuery,
  now: number,
): Promise<{ messages: DeviceMessage[] }> {
  const from = since ?? now - usualSpanMs;
  const streams = channel === 'telemetry' ? await streamNames(telemetry) : [''];
  const takes: Take[] = [];
  for (const stream of streams)
    takes.push(...(await takesOf(telemetry, { channel, stream, devices: [device] })));
  const recent = takes
    // Recordings of long ago may have arrived just now, and would not be read below.
    .filter(
      ({ lastAt, endedAt }) =>
        (lastAt ?? 0) >= from && (endedAt ?? from) >= from - usualSpanMs - longestBatchMs,
    )
    .sort((a, b) => (b.lastAt ?? 0) - (a.lastAt ?? 0))
    .slice(0, mostTakes);
  const found: DeviceMessage[] = [];
  for (const take of recent) {
    const own: DeviceMessage[] = [];
    // The device's clock may be behind, so an additional hour is read, and then filtered by arrival time.
    for await (const { at, stream, payload } of telemetry.read(take, { from: from - usualSpanMs })) {
      if (at < from) continue;
      own.push({ at, ...(stream ? { stream } : {}), payload });
      if (own.length > 2 * limit) own.splice(0, own.length - limit);
    }
    found.push(...own.slice(-limit));
  }
  return { messages: found.sort((a, b) => a.at - b.at).slice(-limit) };
}

/** Number of lines read at once, and for one page. A page ends early if few lines match, so that it never takes long. */
const [linesAtOnce, linesPerPage] = [500, 20_000];

/** How much later a line may be stored than one that arrived after it, ms. */
const overtakingMs = 60_000;

/**
 * Log lines that match, newest first.
 * @param devices absent = of all devices, including removed ones
 * @throws AIOT_REQUEST_INVALID
 */
export async function searchLogs(
  telemetry: Pick<Telemetry, 'logs'>,
  { limit, after, level, contains, since, until }: Omit<LogQuery, 'selector'>,
  devices: ReadonlySet<string> | undefined,
  now: number,
): Promise<LogPage> {
  if (after !== undefined && !/^\d{1,15}$/.test(after))
    throw new AiotError('AIOT_REQUEST_INVALID', 'after: expected the `next` value of a page of log lines');
  const earliest = since ?? now - usualSpanMs;
  const isWanted = lineTest({ level, contains });
  const lines: LogLine[] = [];
  let position = after;
  for (let read = 0; read < linesPerPage; read += linesAtOnce) {
    // A device's clock may be behind, so an additional hour is read, and then filtered by arrival time.
    const page = {
      ...{ after: position, from: earliest - usualSpanMs, limit: linesAtOnce },
      ...(until === undefined ? {} : { until: until + overtakingMs }),
    };
    const found = await telemetry.logs(page);
    for (const { entry, position: at } of found) {
      position = at;
      if (!entry) continue;
      // Lines are stored in the order of their arrival, except that writers may overtake each other.
      if (entry.at < earliest - overtakingMs) return { lines, next: null };
      if (
        entry.at < earliest ||
        (until !== undefined && entry.at > until) ||
        devices?.has(entry.device) === false
      )
        continue;
      const line = lineOf(entry);
      if (!isWanted(line)) continue;
      lines.push(line);
      if (lines.length === limit) return { lines, next: at };
    }
    if (found.length < linesAtOnce) return { lines, next: null };
  }
  return { lines, next: position ?? null };
}

/** Whether a line has the level and the text of a query. */
export function lineTest({
  level,
  contains,
}: Pick<LogQuery, 'level' | 'contains'>): (line: LogLine) => boolean {
  const least = logLevels.indexOf(level);
  const text = contains?.toLowerCase();
  return ({ level, message, code = '' }) =>
    logLevels.indexOf(level) >= least &&
    (text === undefined || `${message} ${code}`.toLowerCase().includes(text));
}

/** The payload was checked when it arrived. */
export function lineOf({ at, device, payload }: Entry): LogLine {
  const { t: _t, level, message, code, ...fields } = payload as z.output<typeof logSchema>;
  return { at, device, level, message, ...(code === undefined ? {} : { code }), fields };
}

export async function streamNames(telemetry: Pick<Telemetry, 'streams'>): Promise<string[]> {
  const streams = await telemetry.streams({ limit: 1000 });
  return streams.map(({ name }) => name);
}

/** The recordings of some devices on a channel. */
export async function takesOf(
  telemetry: Pick<Telemetry, 'takes'>,
  of: Pick<TakeQuery, 'channel' | 'stream' | 'devices'>,
): Promise<Take[]> {
  const limit = 1000;
  const all: Take[] = [];
  for (let after: string | undefined; ; ) {
    const page = await telemetry.takes({ ...of, after, limit });
    all.push(...page);
    const last = page.at(-1);
    if (!last || page.length < limit) return all;
    after = cursorOf(last);
  }
}

/**
 * Changes to devices of this name, newest first, including removed devices.
 * @throws AIOT_NOT_FOUND if the name was never used
 */
export async function deviceHistory(
  { store, devices }: { store: Store; devices: Devices },
  name: string,
  { limit, after }: PageQuery,
): Promise<{ entries: DeviceHistoryEntry[]; next: string | null }> {
  await settle(store);
  const rows = await store
    .selectFrom('events')
    .selectAll()
    .where('subject', '=', name)
    .where('type', 'like', 'device.%')
    .$if(after !== undefined, (query) => query.where('id', '<', numberOf(after ?? '')))
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute();
  if (rows.length === 0 && after === undefined && devices.find(name) === null) {
    throw new AiotError('AIOT_NOT_FOUND', `no current or former device is named ${name}`, {
      next: 'To see the devices, run `aiot device list`.',
    });
  }
  const page = pageOfRows(rows, limit, ({ id }) => String(id));
  const entries = page.entries.map(({ id, at, type, who, data }) => ({
    ...{ id, at, type, who },
    data: JSON.parse(data) as DeviceHistoryEntry['data'],
  }));
  return { entries, next: page.next };
}
