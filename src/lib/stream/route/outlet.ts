import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import { untilAborted } from '../../core/tasks.js';
import { dedupeHeader, mqttHeaders, type OutgoingMessage, type Sink } from '../message.js';
import type { Spool } from '../spool/spool.js';
import type { RouteConfig } from './schema.js';
import {
  backOff,
  type Flight,
  isMessagesOwn,
  mayPass,
  type Part,
  type RouteState,
  reasonOf,
  settledFlight,
} from './types.js';

interface OutletOptions extends WriterOptions {
  batch: RouteConfig['batch'];
  spool?: Spool;
  /** Called with a failure that a retry cannot resolve, such as a failure of the spool's disk. */
  onFailure: (error: unknown) => void;
}

/**
 * Writes a route's messages to one sink in batches, one write at a time. Each write is retried until the sink or the
 * spool has taken the batch.
 */
export interface Outlet {
  /**
   * Resolves once the sink is open or, with a spool, once the spool can store messages.
   * @throws permanent errors, such as a wrong address
   */
  ready(): Promise<void>;
  push(part: Part): void;
  /**
   * Resolves once no write is in progress. If `spool` is true, the spool must be empty too; otherwise, spooled messages
   * stay on disk.
   */
  idle(spool: boolean): Promise<void>;
  close(): Promise<void>;
  state(): RouteState['to'][number];
}

/** Maximum number of bytes in one write, so that a batch of pictures is no larger than brokers accept. */
const batchBytes = 768 * 1024;

export function createOutlet(options: OutletOptions): Outlet {
  const { spool, batch, giveUp } = options;
  const writer = createWriter(options);
  let queue: Part[] = [];
  let working: Promise<void> | undefined;
  let draining: Promise<void> | undefined;
  /** Ends the wait for a fuller batch. */
  let hurry: (() => void) | undefined;
  let hurried = false;
  /** Whether the outlet is ending. Spooled messages then stay in the spool. */
  let leaving = false;
  /** The reason why the spool currently accepts no messages; undefined if it accepts messages. */
  let full: string | undefined;

  async function work(): Promise<void> {
    try {
      while (queue.length > 0) {
        if (batch.time !== undefined && queue.length < batch.messages && !hurried)
          await lingerFor(batch.time);
        const parts = take();
        if (spool && (spool.messages > 0 || draining !== undefined)) await store(parts);
        else await writer.write(parts, spool && store);
      }
    } catch (error) {
      if (!giveUp.aborted) options.onFailure(error);
    }
    // Cleared in the same event loop turn as the last check of the queue, so that messages arriving later restart the work.
    working = undefined;
  }

  function lingerFor(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function take(): Part[] {
    let bytes = 0;
    let count = 0;
    while (count < queue.length && count < batch.messages) {
      bytes += queue[count]?.message.payload.length ?? 0;
      if (count > 0 && bytes > batchBytes) break;
      count++;
    }
    if (count < queue.length) return queue.splice(0, count);
    const all = queue;
    queue = [];
    return all;
  }

  /**
   * Appends messages to the spool. If the disk is full, waits until the delivery of messages has made room or, if the
   * spool is empty, writes to the sink directly.
   */
  async function store(parts: readonly Part[]): Promise<void> {
    const messages = parts.map(({ message }) => message);
    for (let failures = 0; spool; failures++) {
      try {
        await spool.append(messages, giveUp);
        break;
      } catch (error) {
        if (!(error instanceof AiotError) || error.code !== 'AIOT_DISK_FULL') throw error;
        full = error.message;
        options.onChange();
        if (spool.messages === 0 && !draining) {
          await writer.write(parts);
          full = undefined;
          return;
        }
        startDraining();
        await backOff(failures, giveUp);
      }
    }
    full = undefined;
    for (const { flight, key } of parts) {
      if (key !== undefined) options.seen?.arrived(key);
      flight.done();
    }
    startDraining();
  }

  function startDraining(): void {
    if (!spool || draining !== undefined) return;
    draining = drain(spool).catch((error: unknown) => {
      draining = undefined;
      if (!giveUp.aborted) options.onFailure(error);
    });
  }

  async function drain(from: Spool): Promise<void> {
    while (!leaving) {
      const chunk = await from.read(batch.messages, batchBytes);
      if (chunk.messages.length === 0) break;
      await writer.write(chunk.messages.map(spooledPart));
      await from.commit(chunk);
      options.onChange();
    }
    draining = undefined;
    if (from.messages > 0 && !leaving) startDraining();
  }

  const spooledState = ({ messages, bytes, dropped, trouble }: Spool) => {
    const error = full ?? trouble;
    return { messages, bytes, dropped, ...(error === undefined ? {} : { error }) };
  };

  return {
    async ready() {
      if (spool && spool.messages > 0) startDraining();
      await writer.ready(spool !== undefined);
    },
    push(part) {
      queue.push(part);
      if (queue.length >= batch.messages) hurry?.();
      working ??= work();
    },
    async idle(emptySpool) {
      hurried = true;
      hurry?.();
      while (working || (emptySpool && draining))
        await Promise.all([working, emptySpool ? draining : undefined]);
      hurried = false;
      if (emptySpool) return;
      leaving = true;
      // Waits for messages in flight, which would otherwise be resent after a restart. If the destination is
      // unreachable, no messages are in flight.
      if (writer.state().state === 'connected') await draining;
    },
    async close() {
      await writer.close();
      // The last write may still have to update the spool.
      await Promise.allSettled([working, draining]);
      await spool?.close();
    },
    state: () => ({
      ...writer.state(),
      ...(spool ? { spooled: spooledState(spool) } : {}),
    }),
  };
}

function spooledPart(message: OutgoingMessage): Part {
  const found = message.headers?.find(([name]) => name === dedupeHeader)?.[1];
  const key = found === undefined ? {} : { key: Buffer.from(found as string).toString() };
  return { message, of: { source: '', time: 0, ...message }, flight: settledFlight, ...key };
}

interface WriterOptions {
  /** Address without credentials, shown in states until the sink is open. */
  endpoint: string;
  /** @param onHeadersDropped see StreamOptions */
  open: (onHeadersDropped: (messages: number) => void) => Promise<Sink>;
  seen?: Seen;
  /** Whether deduplication keys are looked up at the sink. */
  exactlyOnce: boolean;
  /** Handles a message that the sink rejects permanently; undefined = the message is retried indefinitely. */
  refused?: (part: Part, error: unknown) => void;
  /** Once aborted, messages that cannot be written immediately are abandoned. */
  giveUp: AbortSignal;
  onChange: () => void;
  /** Called with the number of messages in a write that is retried. */
  onRetry: (messages: number) => void;
}

/** Writes to one sink until it has the messages. Only one call may be in progress. */
interface Writer {
  /**
   * Resolves once the sink is open; with `goOn`, even if the sink is currently unreachable.
   * @throws permanent errors, such as a wrong address
   */
  ready(goOn: boolean): Promise<void>;
  /**
   * Resolves once the sink has stored or permanently rejected all messages, or once `instead` has taken them. `instead`
   * is called after the first failure.
   */
  write(parts: readonly Part[], instead?: Instead): Promise<void>;
  close(): Promise<void>;
  state(): Omit<RouteState['to'][number], 'spooled'>;
}

type Instead = (parts: readonly Part[]) => Promise<void>;

/** Number of consecutive failures after which the sink is reopened. */
const reopenAfter = 5;

/** How long closing a sink may take, ms, because closing may wait for a peer that never responds. */
const closeMs = { gentle: 30_000, givenUp: 2000 };

/** Assumed maximum difference between a sink's clock and ours, ms. */
const clockMs = 60_000;

function createWriter(options: WriterOptions): Writer {
  const { giveUp } = options;
  let sink: Sink | undefined;
  let opening: Promise<Sink> | undefined;
  let state: RouteState['to'][number]['state'] = 'opening';
  let error: string | undefined;
  let written = 0;
  let withoutHeaders = 0;
  let expired = 0;
  /** Keys of messages whose write has failed. These messages may have arrived nevertheless. */
  const doubted = new Set<string>();
  /** Keys found at the sink in the last lookup of doubtful messages. */
  let found = new Set<string>();
  /**
   * Start of the period for which all keys stored by the sink are known, ms since 1970. Infinity at first, because the previous run may
   * have written messages.
   */
  let knownSince = Number.POSITIVE_INFINITY;

  const become = (next: typeof state, why?: unknown) => {
    const reason = why === undefined ? undefined : reasonOf(why);
    if (state === next && error === reason) return;
    state = next;
    error = reason;
    options.onChange();
  };

  async function opened(): Promise<Sink> {
    if (sink) return sink;
    opening ??= openOne();
    return untilAborted(opening, giveUp);
  }

  async function openOne(): Promise<Sink> {
    try {
      const found = await options.open((messages) => {
        withoutHeaders += messages;
      });
      if (options.exactlyOnce) await seed(found);
      sink = found;
      return found;
    } finally {
      opening = undefined;
    }
  }

  async function seed(found: Sink): Promise<void> {
    // JetStream deduplicates by itself: see `idHeader` in engine.ts.
    if (found.recent || /^nats/.test(found.endpoint)) return options.seen?.seed(found);
    throw new AiotError(
      'AIOT_ROUTE_INVALID',
      `exactlyOnce: ${found.endpoint} cannot report which messages it has stored; expected Kafka or JetStream`,
    );
  }

  async function closeSink(withinMs: number): Promise<void> {
    const old = sink;
    sink = undefined;
    await Promise.race([old?.close().catch(() => {}), delay(withinMs, undefined, { ref: false })]);
  }

  async function write(parts: readonly Part[], instead?: Instead): Promise<void> {
    const started = Date.now();
    let left = parts;
    for (let failures = 0; left.length > 0; failures++) {
      try {
        const target = await opened();
        if (options.exactlyOnce) left = await withoutArrived(target, left, started);
        left = withoutExpired(left);
        if (left.length > 0) await untilAborted(target.write(left.map(sentNow)), giveUp);
        become('connected');
        written += left.length;
        settle(left);
        return;
      } catch (cause) {
        if (options.exactlyOnce) for (const { key } of left) if (key !== undefined) doubted.add(key);
        if (giveUp.aborted) throw cause;
        if (options.refused && isMessagesOwn(cause)) return findRefused(left, cause, instead);
        become('failing', cause);
        if (instead) return instead(left);
        options.onRetry(left.length);
        await backOff(failures, giveUp);
        if (failures % reopenAfter === reopenAfter - 1) await closeSink(closeMs.givenUp);
      }
    }
  }

  /** Finds the messages that the sink rejects, by bisection, and handles them. */
  async function findRefused(parts: readonly Part[], cause: unknown, instead?: Instead): Promise<void> {
    const [first] = parts;
    if (first && parts.length === 1) {
      options.refused?.(first, cause);
      return;
    }
    const half = Math.ceil(parts.length / 2);
    await write(parts.slice(0, half), instead);
    await write(parts.slice(half), instead);
  }

  /**
   * Returns the messages that the sink does not have yet. The messages of a failed write may have arrived nevertheless,
   * as may those in a killed run's last write, which the spool or the source delivers again. Logs are searched from the
   * oldest message's time.
   */
  async function withoutArrived(
    target: Sink,
    parts: readonly Part[],
    started: number,
  ): Promise<readonly Part[]> {
    const oldest = parts.reduce((least, { message }) => Math.min(least, message.time ?? started), started);
    const doubtful = parts.some(({ key }) => key !== undefined && doubted.has(key));
    if (doubtful || oldest < knownSince) {
      found = new Set();
      for await (const key of keysIn(target, oldest - clockMs)) found.add(key);
      knownSince = Math.min(knownSince, oldest);
      for (const { key } of parts) if (key !== undefined) doubted.delete(key);
    }
    if (found.size === 0) return parts;
    const isThere = ({ key }: Part) => key !== undefined && found.has(key);
    const there = parts.filter(isThere);
    // Messages that have already arrived come first. Once none is found, any known key belongs to a new message.
    if (there.length === 0) found = new Set();
    settle(there);
    return parts.filter((part) => !isThere(part));
  }

  /**
   * Drops the messages that expired while they waited (MQTT 5, section 3.3.2.3.3). They are acknowledged, because they
   * must not be redelivered.
   */
  function withoutExpired(parts: readonly Part[]): readonly Part[] {
    const now = Date.now();
    const isExpired = ({ message: { expires } }: Part) => expires !== undefined && expires <= now;
    if (!parts.some(isExpired)) return parts;
    const late = parts.filter(isExpired);
    expired += late.length;
    settle(late);
    return parts.filter((part) => !isExpired(part));
  }

  function settle(parts: readonly Part[]): void {
    for (const { flight, key } of parts) {
      if (key !== undefined) options.seen?.arrived(key);
      flight.done();
    }
  }

  return {
    write,
    async ready(goOn) {
      for (let failures = 0; ; failures++) {
        try {
          await opened();
          become('connected');
          return;
        } catch (cause) {
          if (giveUp.aborted || !mayPass(cause)) throw cause;
          become('failing', cause);
          if (goOn) return;
          await backOff(failures, giveUp);
        }
      }
    },
    async close() {
      await closeSink(giveUp.aborted ? closeMs.givenUp : closeMs.gentle);
      become('closed');
    },
    state: () => ({
      endpoint: sink?.endpoint ?? options.endpoint,
      state,
      written,
      ...(withoutHeaders > 0 ? { withoutHeaders } : {}),
      ...(expired > 0 ? { expired } : {}),
      ...(error === undefined ? {} : { error }),
    }),
  };
}

/** The message as it is sent now, with its expiry interval reduced by the time that it waited here or in the spool. */
function sentNow({ message }: Part): OutgoingMessage {
  const { expires, ...sent } = message;
  if (expires === undefined) return message;
  const { headers = [] } = sent;
  const at = headers.findIndex(([name]) => name === mqttHeaders.messageExpiryInterval);
  const seconds = Math.ceil((expires - Date.now()) / 1000);
  return { ...sent, headers: headers.with(at, [mqttHeaders.messageExpiryInterval, String(seconds)]) };
}

/** Deduplication keys that were sent to one sink within a time window. */
export interface Seen {
  /**
   * Returns true if the key is new; the key then belongs to this flight. Otherwise, the flight is done once the first
   * message with this key has arrived, possibly immediately.
   */
  claim(key: string, flight: Flight): boolean;
  /** Called once the sink has stored the message with this key. */
  arrived(key: string): void;
  /** Adds the keys that a sink already has. @throws the errors of reading */
  seed(sink: Sink): Promise<void>;
  readonly size: number;
}

interface Entry {
  /** Time at which the key was claimed, ms since 1970. */
  time: number;
  /** Later flights with the same key, until the first flight has arrived; undefined afterward. */
  waiting: Flight[] | undefined;
}

/** Maximum number of keys to remember, regardless of the window; about 150 MB if keys are short. */
const mostKeys = 1_000_000;

/** @param now the clock, ms since 1970 */
export function createSeen(windowMs: number, now: () => number = Date.now): Seen {
  // A Map keeps insertion order, so the first keys are the oldest.
  const entries = new Map<string, Entry>();
  const forget = () => {
    const oldest = now() - windowMs;
    for (const [key, { time, waiting }] of entries) {
      if (entries.size <= mostKeys && (time >= oldest || waiting)) return;
      entries.delete(key);
    }
  };
  return {
    claim(key, flight) {
      forget();
      const entry = entries.get(key);
      if (entry?.waiting) entry.waiting.push(flight);
      else if (entry) flight.done();
      else entries.set(key, { time: now(), waiting: [] });
      return entry === undefined;
    },
    arrived(key) {
      const entry = entries.get(key);
      const waiting = entry?.waiting ?? [];
      if (entry) entry.waiting = undefined;
      for (const flight of waiting) flight.done();
    },
    async seed(sink) {
      for await (const key of keysIn(sink, now() - windowMs)) {
        if (!entries.has(key)) entries.set(key, { time: now(), waiting: undefined });
      }
    },
    get size() {
      return entries.size;
    },
  };
}

/** Deduplication keys of messages written to a sink at or after `since` (ms since 1970). */
async function* keysIn(sink: Sink, since: number): AsyncGenerator<string> {
  for await (const batch of sink.recent?.(since) ?? []) {
    for (const { headers } of batch) {
      for (const [name, value] of headers ?? []) {
        if (name === dedupeHeader) yield typeof value === 'string' ? value : Buffer.from(value).toString();
      }
    }
  }
}
