import { AiotError, hasCode } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import type { OutgoingMessage, Sink } from '../../stream/message.js';
import { openSink } from '../../stream/open.js';
import { expectedStream, maxAgeMs, messageId } from './layout.js';
import { opened, reasonOf, type Stage } from './stage.js';

/** One message for the stream; `id` makes a second copy within 29 s count as the first. */
export interface Outgoing {
  subject: string;
  payload: Uint8Array | string;
  id: string;
}

interface Sender {
  /**
   * Resolves true when the stream has all of them, false when it never will: they have become older than messages live, or it says no
   * to them. In the order of the calls.
   */
  send(messages: readonly Outgoing[]): Promise<boolean>;
  /** Resolves when there is room for more. Old ones make room by being given up. */
  room(): Promise<void>;
  /** After what can arrive within 2 s has. */
  close(): Promise<void>;
}

interface Entry {
  messages: OutgoingMessage[];
  at: number;
  done(arrived: boolean): void;
}

/** Messages that wait before whoever makes them is held up: 30 s of three axes at 100 Hz. */
const mostWaiting = 9000;

/** Most messages of one write. */
const mostTogether = 1024;

/** First and longest pause after a write that failed, ms. */
const pauseMs = { first: 250, longest: 5000 };

/** Publishes to one stream of the motion system for as long as it takes, and never a message twice. */
export async function openSender(stage: Stage, stream: string): Promise<Sender> {
  const { server, clock } = stage;
  const open = () => openSink(server.urlOf(''), { ...server.options, stream });
  let sink: Sink | undefined = await opened(stage, server.endpoint, open);
  let waiting: Entry[] = [];
  let count = 0;
  const wake: (() => void)[] = [];
  let pause = pauseMs.first;
  let away = false;

  const settle = (entries: readonly Entry[], arrived: boolean) => {
    for (const { messages, done } of entries) {
      count -= messages.length;
      done(arrived);
    }
    for (const resolve of wake.splice(0)) resolve();
  };
  const forgetOld = (entries: Entry[]): Entry[] => {
    const before = clock.now() - maxAgeMs;
    const young = entries.filter(({ at }) => at >= before);
    if (young.length < entries.length)
      settle(
        entries.filter((entry) => !young.includes(entry)),
        false,
      );
    return young;
  };
  const take = (): Entry[] => {
    let size = 0;
    const last = waiting.findIndex(({ messages }) => {
      size += messages.length;
      return size > mostTogether;
    });
    return waiting.splice(0, last < 0 ? waiting.length : Math.max(1, last));
  };
  const write = async (entries: Entry[]): Promise<Entry[]> => {
    try {
      sink ??= await opened({ ...stage, signal: background.signal }, server.endpoint, open);
      await sink.write(entries.flatMap(({ messages }) => messages));
      if (away) stage.tell({ kind: 'back', what: server.endpoint });
      away = false;
      pause = pauseMs.first;
      settle(entries, true);
      return [];
    } catch (error) {
      if (refusedForGood(error)) {
        stage.tell({ kind: 'lost', count: entries.length, why: reasonOf(error) });
        settle(entries, false);
        return [];
      }
      if (!away) stage.tell({ kind: 'away', what: server.endpoint, why: reasonOf(error) });
      away = true;
      // A connection that was closed for good is made anew; another one mends itself.
      await sink?.close().catch(() => {});
      sink = undefined;
      await clock.sleep(pause, background.signal).catch(() => {});
      pause = Math.min(pauseMs.longest, 2 * pause);
      return entries;
    }
  };
  const work = async () => {
    let now: Entry[] = [];
    while (!background.signal.aborted) {
      waiting = forgetOld(waiting);
      now = forgetOld(now);
      if (now.length === 0) now = take();
      if (now.length === 0) return;
      now = await write(now);
    }
    settle(now, false);
  };
  const background = createBackground(clock, work, () => waiting.length > 0);

  return {
    send: (messages) =>
      new Promise((resolve) => {
        waiting.push({
          messages: messages.map((one) => messageOf(one, stream)),
          at: clock.now(),
          done: resolve,
        });
        count += messages.length;
        background.start();
      }),
    async room() {
      while (count >= mostWaiting && !background.signal.aborted) {
        waiting = forgetOld(waiting);
        if (count < mostWaiting) return;
        await new Promise<void>((resolve) => void wake.push(resolve));
      }
    },
    async close() {
      await background.close();
      settle(waiting.splice(0), false);
      await sink?.close().catch(() => {});
    },
  };
}

function messageOf({ subject, payload, id }: Outgoing, stream: string): OutgoingMessage {
  return {
    topic: subject,
    payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
    headers: [
      [expectedStream, stream],
      [messageId, id],
    ],
  };
}

/** What is too large, or not of that stream, is so the next time too. A server that lets nobody in may think better of it. */
function refusedForGood(error: unknown): boolean {
  return hasCode(error, 'AIOT_STREAM_MESSAGE_REFUSED');
}

/** Longest wait for what is under way when a stage ends, ms. */
const closingMs = 2000;

/** Work beside a stage's own, which never waits for it. */
interface Background {
  /** Aborted when it is closed. */
  readonly signal: AbortSignal;
  /** Begins the work; nothing where it is at it. */
  start(): void;
  /** After the work is done, or 2 s. */
  close(): Promise<void>;
}

/**
 * @param work done once at a time; it ends when there is nothing left, or with the signal, and does not throw
 * @param isLeft whether something came while it ended: it is begun again then
 */
export function createBackground(clock: Clock, work: () => Promise<void>, isLeft: () => boolean): Background {
  const ending = new AbortController();
  let working: Promise<void> | undefined;
  const start = () => {
    working ??= work().finally(() => {
      working = undefined;
      if (isLeft() && !ending.signal.aborted) start();
    });
  };
  return {
    signal: ending.signal,
    start,
    async close() {
      const late = new AbortController();
      await Promise.race([working, clock.sleep(closingMs, late.signal).catch(() => {})]);
      late.abort();
      ending.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    },
  };
}
