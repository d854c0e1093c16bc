import { setTimeout as delay } from 'node:timers/promises';
import { AiotError, untilAborted } from '../../core/index.js';
import type { Sink } from '../message.js';
import { keysIn, type Seen } from './dedupe.js';
import { backOff, isMessagesOwn, mayPass, reasonOf } from './failures.js';
import type { Part } from './flight.js';
import type { RouteState } from './types.js';

export interface WriterOptions {
  /** For states until the sink is open: no credentials. */
  endpoint: string;
  open: () => Promise<Sink>;
  seen?: Seen;
  /** Dedupe keys are looked for at the sink. */
  exactlyOnce: boolean;
  /** What becomes of a message that the sink refuses for good; undefined = it is tried again and again. */
  refused?: (part: Part, error: unknown) => void;
  /** When aborted, what cannot be written at once is given up. */
  giveUp: AbortSignal;
  onChange: () => void;
  /** So many messages are to be written once more. */
  onRetry: (messages: number) => void;
}

/** Writes to one sink until the sink has it. One call at a time. */
export interface Writer {
  /** Resolves when the sink is open, or `goOn` says that this is no need now. @throws what cannot pass, such as a wrong address */
  ready(goOn: boolean): Promise<void>;
  /** Resolves when all have arrived, were refused for good, or are in the care of `instead`, which is asked after the first failure. */
  write(parts: readonly Part[], instead?: Instead): Promise<void>;
  close(): Promise<void>;
  state(): Pick<RouteState['to'][number], 'endpoint' | 'state' | 'error' | 'written'>;
}
export type Instead = (parts: readonly Part[]) => Promise<void>;

/** After so many failures in a row a sink is opened anew. */
const reopenAfter = 5;
/** How long closing a sink may take: it may wait for a far side that never answers. */
const closeMs = { gentle: 30_000, givenUp: 2000 };
/** A sink's clock may be so much behind ours. */
const clockMs = 60_000;

export function createWriter(options: WriterOptions): Writer {
  const { giveUp } = options;
  let sink: Sink | undefined;
  let opening: Promise<Sink> | undefined;
  let state: RouteState['to'][number]['state'] = 'opening';
  let error: string | undefined;
  let written = 0;
  /** Whose writing began and has not been answered: they may have arrived, whoever has them now. */
  const doubted = new Set<string>();
  /** Keys found at the sink in the last look for doubtful ones. */
  let found = new Set<string>();
  /** What the sink has from this time on is known; ms since 1970. At the start a write of the last run may be in doubt. */
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
      const found = await options.open();
      if (options.exactlyOnce) await seed(found);
      sink = found;
      return found;
    } finally {
      opening = undefined;
    }
  }

  async function seed(found: Sink): Promise<void> {
    // JetStream looks itself: see `idHeader` in engine.ts.
    if (found.recent || /^nats/.test(found.endpoint)) return options.seen?.seed(found);
    throw new AiotError(
      'AIOT_ROUTE_INVALID',
      `exactlyOnce: ${found.endpoint} cannot be asked what it has already; expected Kafka or JetStream`,
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
        if (left.length > 0) await untilAborted(target.write(left.map(({ message }) => message)), giveUp);
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

  /** Which of them it is that the sink refuses is found by halving. */
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
   * A write that failed may have arrived, and so may the last one of a run that was killed: of a spool, or of what its source gives
   * again. Logs are searched by the messages' own times, which may be old.
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
    // They come first, in their order: after the last of them a key is a new message's.
    if (there.length === 0) found = new Set();
    settle(there);
    return parts.filter((part) => !isThere(part));
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
      ...(error === undefined ? {} : { error }),
    }),
  };
}
