import { AiotError, hasCode } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import type { OutgoingMessage, Sink } from '../../stream/message.js';
import { openSink } from '../../stream/open.js';
import { expectedStream, maxAgeMs, messageId } from './layout.js';
import { opened, reasonOf, type Stage } from './stage.js';

/** One message for the stream; a second copy with the same `id` within 29 s is deduplicated. */
export interface Outgoing {
  subject: string;
  payload: Uint8Array | string;
  id: string;
}

interface Sender {
  /**
   * Resolves to true once the stream has stored all messages. Resolves to false if the stream never will, because the messages
   * have expired or are rejected. Calls resolve in order.
   */
  send(messages: readonly Outgoing[]): Promise<boolean>;
  /** Resolves when the queue has room for more; expired messages are discarded to make room. */
  room(): Promise<void>;
  /** Closes after delivering as much as possible within 2 s. */
  close(): Promise<void>;
}

interface Entry {
  messages: OutgoingMessage[];
  at: number;
  done(arrived: boolean): void;
}

/** Number of queued messages above which `room` waits: 30 s of three axes at 100 Hz. */
const mostWaiting = 9000;

/** Maximum number of messages per write. */
const mostTogether = 1024;

/** First and longest pause after a failed write, ms. */
const pauseMs = { first: 250, longest: 5000 };

/** Publishes to one stream of the motion system, retrying without limit, and without ever storing a message twice. */
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
      // The connection is replaced, because it may be closed permanently.
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

/**
 * Whether a retry cannot fix the error: a message is too large, or does not belong in the stream. A rejected login may be accepted later.
 */
function refusedForGood(error: unknown): boolean {
  return hasCode(error, 'AIOT_STREAM_MESSAGE_REFUSED');
}

/** Maximum wait for messages in flight when a stage ends, ms. */
const closingMs = 2000;

/** Background work that never delays the stage. */
interface Background {
  /** Aborted when the work is closed. */
  readonly signal: AbortSignal;
  /** Starts the work, unless it is already running. */
  start(): void;
  /** Resolves after the work is done, or after 2 s. */
  close(): Promise<void>;
}

/**
 * @param work runs once at a time; it ends when nothing is left, or when aborted, and does not throw
 * @param isLeft whether more work arrived while it was ending, in which case it is started again
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
