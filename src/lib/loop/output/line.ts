import { AiotError } from '../../core/errors.js';
import { plural, thousands } from '../../core/figures.js';
import { onAbort } from '../../core/tasks.js';
import type { Clock } from '../../core/time.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../../stream/message.js';
import { openSink } from '../../stream/open.js';
import { createOutlet, type Outlet } from '../../stream/route/outlet.js';
import { reasonOf } from '../../stream/route/types.js';
import { openSpool, type Spool } from '../../stream/spool/spool.js';
import type { OutputState } from '../types.js';
import type { OutputSettings } from './settings.js';

interface LineOptions {
  settings: OutputSettings;
  /** Folder of what waits for this far side. */
  spool: string;
  /** Most bytes in it. */
  spoolLimit: number;
  clock: Clock;
  streamOptions: StreamOptions;
  onEvent: (text: string) => void;
  /** Longest wait for one write, ms; default 15 s. */
  writeTimeoutMs?: number;
}

/** The way to one far side, for as long as the loop runs, whatever becomes of far side and disk. */
export interface Line {
  /** The far side is reached, or known not to be there now. @throws AIOT_STREAM_URL and the like, which no time will cure */
  ready(): Promise<void>;
  put(message: OutgoingMessage): void;
  settled(): Promise<void>;
  close(): Promise<void>;
  state(): OutputState;
}

/** Answers in memory: at the outlet, and before it while the disk takes nothing and the far side is not there. */
const most = { atOutlet: 1000, before: 10_000 };

/** After the disk has failed: with memory alone, until it is tried again. */
const diskPauseMs = 30_000;

interface Lane {
  outlet: Outlet;
  spool: Spool | undefined;
  giveUp: AbortController;
}

/** Opens it at once: nothing waits for the far side. A disk that cannot be written is told, and memory has to do. */
export async function openLine(options: LineOptions): Promise<Line> {
  const { settings, clock, onEvent } = options;
  const { shown } = settings;
  /** Thrown away here; spools count their own. */
  const counts = { sent: 0, dropped: 0 };
  let refusal: string | undefined;
  /** Why there is no spool; told once. */
  let diskTrouble: string | undefined;
  const telling = createTelling(shown, onEvent);
  let waiting: OutgoingMessage[] = [];
  /** At the outlet, and neither arrived nor on disk; in their order. */
  const under = new Set<OutgoingMessage>();
  let settling: (() => void)[] = [];
  let ending = false;
  let lane: Lane = openLane(await openDisk());

  const dropped = () => counts.dropped + (lane.spool?.dropped ?? 0);
  const tellChange = () => {
    const counted = { dropped: dropped(), kept: lane.spool?.messages ?? 0 };
    if (telling.change(lane.outlet.state(), counted)) refusal = undefined;
  };

  /** A second loop of one name is refused before: what fails here is a disk that cannot be written. */
  async function openDisk(): Promise<Spool | undefined> {
    try {
      const spool = await openSpool({ path: options.spool, limit: options.spoolLimit, full: 'drop-oldest' });
      if (diskTrouble !== undefined) onEvent(`${shown}: answers are kept on disk again`);
      diskTrouble = undefined;
      return spool;
    } catch (error) {
      trouble(error);
      return undefined;
    }
  }

  function trouble(error: unknown): void {
    if (diskTrouble === undefined)
      onEvent(`${shown}: answers are kept in memory alone, for ${reasonOf(error)}`);
    diskTrouble = reasonOf(error);
    setTimeout(() => void retryDisk(), diskPauseMs).unref();
  }

  function openLane(spool: Spool | undefined): Lane {
    const giveUp = new AbortController();
    const own = signalsUntil(giveUp.signal);
    const outlet = createOutlet({
      endpoint: shown,
      batch: { messages: 100 },
      exactlyOnce: false,
      giveUp: giveUp.signal,
      ...(spool ? { spool } : {}),
      open: () =>
        openLasting(() => openSink(settings.url, { ...options.streamOptions, signal: own.next() }), {
          timeoutMs: options.writeTimeoutMs ?? 15_000,
          maxAgeMs: settings.maxAgeMs,
          clock,
          onSent: (messages) => {
            counts.sent += messages;
          },
          onTooOld: (messages) => {
            counts.dropped += messages;
          },
        }),
      refused: ({ flight }, error) => {
        counts.dropped++;
        if (refusal === undefined) onEvent(`${shown} refuses an answer: ${reasonOf(error)}`);
        refusal = reasonOf(error);
        flight.done();
      },
      onFailure: (error) => {
        trouble(error);
        void replaceLane(undefined);
      },
      onRetry: () => {},
      onChange: () => tellChange(),
    });
    return { outlet, spool, giveUp };
  }

  /** What is under way begins again on the new one. */
  async function replaceLane(spool: Spool | undefined): Promise<void> {
    if (ending) return;
    const old = lane;
    old.giveUp.abort(new AiotError('AIOT_INTERRUPTED', 'begun again'));
    waiting = [...under, ...waiting];
    under.clear();
    lane = openLane(spool);
    counts.dropped += old.spool?.dropped ?? 0;
    await old.outlet.close().catch(() => {});
    await begin().catch(() => {});
    flow();
  }

  async function retryDisk(): Promise<void> {
    if (ending || lane.spool) return;
    const spool = await openDisk();
    if (spool && ending) await spool.close();
    else if (spool) await replaceLane(spool);
  }

  async function begin(): Promise<void> {
    if (lane.spool) await lane.outlet.ready();
    // Without a spool it would wait for the far side for as long as that takes.
    else void lane.outlet.ready().catch(() => {});
  }

  function flow(): void {
    while (waiting.length > 0 && under.size < most.atOutlet) {
      const message = waiting.shift()!;
      under.add(message);
      const flight = { done: () => arrived(message) };
      lane.outlet.push({ message, of: { source: 'loop', time: 0, ...message }, flight });
    }
  }

  function arrived(message: OutgoingMessage): void {
    if (!under.delete(message)) return;
    if (waiting.length > 0) flow();
    if (under.size > 0 || waiting.length > 0) return;
    for (const resolve of settling) resolve();
    settling = [];
  }

  return {
    async ready() {
      await begin();
      tellChange();
    },
    put(message) {
      if (ending) return;
      waiting.push(message);
      if (waiting.length > most.before) {
        waiting.shift();
        counts.dropped++;
      }
      flow();
    },
    settled: () =>
      under.size === 0 && waiting.length === 0
        ? Promise.resolve()
        : new Promise((resolve) => settling.push(resolve)),
    async close() {
      const gentle = await drained(lane.outlet);
      ending = true;
      if (!gentle) lane.giveUp.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
      await lane.outlet.close();
    },
    state() {
      const { state, error, spooled } = lane.outlet.state();
      return {
        endpoint: shown,
        connected: state === 'connected',
        sent: counts.sent,
        waiting: under.size + waiting.length + (spooled?.messages ?? 0),
        dropped: dropped(),
        lastError: [error ?? refusal, spooled?.error ?? diskTrouble].filter(Boolean).join('; ') || null,
      };
    },
  };
}

interface LastingOptions {
  /** Longest wait for one write, and a second more for each message in it: after that they go to disk, and to the sink again. */
  timeoutMs: number;
  maxAgeMs: number | undefined;
  clock: Clock;
  onSent: (messages: number) => void;
  /** Not sent, for they are too old. */
  onTooOld: (messages: number) => void;
}

/** What a far side says of a message itself: it will say the same tomorrow. */
const ofTheMessage = new Set([
  'AIOT_PROGRAM_FAILED',
  'AIOT_STREAM_MESSAGE_REFUSED',
  'AIOT_STREAM_REFUSED',
  'AIOT_STREAM_UNFIT',
]);

/**
 * A sink for a loop that nobody looks after: a wrong password, a missing topic or a name that is not known may be put right by
 * somebody while the loop runs, so they pass. Only a wrong address never does.
 * @throws what `open` throws, retryable unless it is of usage
 */
async function openLasting(open: () => Promise<Sink>, options: LastingOptions): Promise<Sink> {
  const { clock, maxAgeMs, timeoutMs, onSent, onTooOld } = options;
  const sink = await open().catch((error: unknown) => {
    throw error instanceof AiotError && error.exit === 2 ? error : passing(error);
  });
  const isFresh = ({ time }: OutgoingMessage) =>
    maxAgeMs === undefined || time === undefined || clock.now() - time <= maxAgeMs;
  return {
    endpoint: sink.endpoint,
    async write(messages) {
      const fresh = messages.filter(isFresh);
      if (fresh.length > 0)
        await within(timeoutMs + 1000 * (fresh.length - 1), sink.endpoint, sink.write(fresh));
      onSent(fresh.length);
      if (fresh.length < messages.length) onTooOld(messages.length - fresh.length);
    },
    close: () => sink.close(),
  };
}

/**
 * A signal for each sink that is opened in the place of the one before: what that one still had under way ends with the next one, or
 * when the line is given up. None hangs on a signal that lives for months.
 */
function signalsUntil(giveUp: AbortSignal): { next(): AbortSignal } {
  let current = new AbortController();
  onAbort(giveUp, () => current.abort(giveUp.reason));
  return {
    next() {
      current.abort(new AiotError('AIOT_INTERRUPTED', 'begun again'));
      current = new AbortController();
      if (giveUp.aborted) current.abort(giveUp.reason);
      return current.signal;
    },
  };
}

function within(timeoutMs: number, endpoint: string, write: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const message = `${endpoint} has not taken it within ${timeoutMs} ms`;
      reject(new AiotError('AIOT_TIMEOUT', message, { endpoint, retryable: true }));
    }, timeoutMs);
    write.then(resolve, (error: unknown) => reject(passing(error))).finally(() => clearTimeout(timer));
  });
}

function passing(error: unknown): unknown {
  if (!(error instanceof AiotError) || error.retryable || ofTheMessage.has(error.code)) return error;
  const { code, message, next, endpoint } = error;
  return new AiotError(code, message, { next, endpoint, cause: error, retryable: true });
}

/** For what is on its way when the loop ends. */
const drainMs = { connected: 10_000, failing: 1000 };

/** Whether all has arrived, within the time that the far side's state is worth: a while where it takes answers, else a moment. */
async function drained(outlet: Outlet): Promise<boolean> {
  const failing = outlet.state().state === 'failing';
  return Promise.race([
    outlet.idle(true).then(() => true),
    new Promise<false>((resolve) => {
      setTimeout(() => resolve(false), failing ? drainMs.failing : drainMs.connected).unref();
    }),
  ]);
}

/** What one far side's log says: that it is gone, that it is back and what that cost, and that its disk is full; each once. */
interface Telling {
  /**
   * Looks at a state that may have changed.
   * @param counts answers thrown away since the loop began, and on disk now
   * @returns whether the far side has just come back
   */
  change(state: ReturnType<Outlet['state']>, counts: { dropped: number; kept: number }): boolean;
}

/** @param shown the far side, without credentials */
function createTelling(shown: string, onEvent: (text: string) => void): Telling {
  /** Thrown away before it went; null while it takes answers. */
  let gone: number | null = null;
  let diskTold = false;
  return {
    change({ state, error, spooled }, { dropped, kept }) {
      const full = spooled?.error;
      if (full !== undefined && !diskTold) onEvent(`${shown}: ${full}; memory holds what it can`);
      diskTold = full !== undefined;
      if (state === 'failing' && gone === null) {
        gone = dropped;
        onEvent(`${shown} does not take answers, they are kept: ${error ?? 'no reason given'}`);
      }
      if (state !== 'connected' || gone === null) return false;
      const lost = dropped - gone;
      const missing = lost === 0 ? '' : `; ${plural(lost, 'answer')} thrown away meanwhile`;
      onEvent(`${shown} takes answers again, ${thousands(kept)} on disk${missing}`);
      gone = null;
      return true;
    },
  };
}
