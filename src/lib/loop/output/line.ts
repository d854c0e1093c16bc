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
  /** Folder of the spool for this destination. */
  spool: string;
  /** Maximum size of the spool, bytes. */
  spoolLimit: number;
  clock: Clock;
  streamOptions: StreamOptions;
  onEvent: (text: string) => void;
  /** Maximum wait for one write, ms; default 15 s. */
  writeTimeoutMs?: number;
}

/** Delivers messages to one destination while the loop runs, even if the destination or the disk fails temporarily. */
export interface Line {
  /** Resolves once it is known whether the destination is reachable. @throws AIOT_STREAM_URL and similar errors that no retry fixes */
  ready(): Promise<void>;
  put(message: OutgoingMessage): void;
  settled(): Promise<void>;
  close(): Promise<void>;
  state(): OutputState;
}

/** Maximum number of messages in memory: those at the outlet, and those queued while neither the disk nor the destination accepts any. */
const most = { atOutlet: 1000, before: 10_000 };

/** Delay after a disk failure before the disk is retried; until then only memory is used. */
const diskPauseMs = 30_000;

interface Lane {
  outlet: Outlet;
  spool: Spool | undefined;
  giveUp: AbortController;
}

/**
 * Opens the line immediately, without waiting for the destination. If the disk cannot be written, it reports that, and uses memory instead.
 */
export async function openLine(options: LineOptions): Promise<Line> {
  const { settings, clock, onEvent } = options;
  const { shown } = settings;
  /** Numbers of messages sent, and of messages dropped in memory. Spools count the messages that they drop. */
  const counts = { sent: 0, dropped: 0 };
  let refusal: string | undefined;
  /** Reason why there is no spool; reported only once. */
  let diskTrouble: string | undefined;
  const telling = createTelling(shown, onEvent);
  let waiting: OutgoingMessage[] = [];
  /** Messages at the outlet that are neither delivered nor on disk yet, in order. */
  const under = new Set<OutgoingMessage>();
  let settling: (() => void)[] = [];
  let ending = false;
  let lane: Lane = openLane(await openDisk());

  const dropped = () => counts.dropped + (lane.spool?.dropped ?? 0);
  const tellChange = () => {
    const counted = { dropped: dropped(), kept: lane.spool?.messages ?? 0 };
    if (telling.change(lane.outlet.state(), counted)) refusal = undefined;
  };

  /** Opens the spool. A second loop of the same name was rejected earlier, so an error here means that the disk cannot be written. */
  async function openDisk(): Promise<Spool | undefined> {
    try {
      const spool = await openSpool({ path: options.spool, limit: options.spoolLimit, full: 'drop-oldest' });
      if (diskTrouble !== undefined) onEvent(`${shown}: predictions are stored on disk again`);
      diskTrouble = undefined;
      return spool;
    } catch (error) {
      trouble(error);
      return undefined;
    }
  }

  function trouble(error: unknown): void {
    if (diskTrouble === undefined)
      onEvent(`${shown}: predictions are only stored in memory, because of ${reasonOf(error)}`);
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
        if (refusal === undefined) onEvent(`${shown} rejects a prediction: ${reasonOf(error)}`);
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

  /** Replaces the lane. Messages in flight are sent again on the new one. */
  async function replaceLane(spool: Spool | undefined): Promise<void> {
    if (ending) return;
    const old = lane;
    old.giveUp.abort(new AiotError('AIOT_INTERRUPTED', 'restarted'));
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
    // Without a spool, this is not awaited, because it resolves only once the destination is reachable.
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
  /**
   * Maximum wait for one write, plus a second for each further message in it. After that, the messages go to disk, and are sent again
   * later.
   */
  timeoutMs: number;
  maxAgeMs: number | undefined;
  clock: Clock;
  onSent: (messages: number) => void;
  /** Called with messages that were not sent because they are too old. */
  onTooOld: (messages: number) => void;
}

/** Errors that a message itself causes at the destination. No retry fixes them. */
const ofTheMessage = new Set([
  'AIOT_PROGRAM_FAILED',
  'AIOT_STREAM_MESSAGE_REFUSED',
  'AIOT_STREAM_REFUSED',
  'AIOT_STREAM_UNFIT',
]);

/**
 * A sink for an unattended loop: a wrong password, a missing topic or an unknown host name may be fixed while the loop runs, so
 * these errors are retried. Only a wrong address is permanent.
 * @throws the errors of `open`, as retryable unless they are usage errors
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
 * Returns a signal for each successive sink. Each signal is aborted when the next sink opens, or when the line is given up.
 * Listeners do not accumulate on `giveUp`, which may exist for months.
 */
function signalsUntil(giveUp: AbortSignal): { next(): AbortSignal } {
  let current = new AbortController();
  onAbort(giveUp, () => current.abort(giveUp.reason));
  return {
    next() {
      current.abort(new AiotError('AIOT_INTERRUPTED', 'restarted'));
      current = new AbortController();
      if (giveUp.aborted) current.abort(giveUp.reason);
      return current.signal;
    },
  };
}

function within(timeoutMs: number, endpoint: string, write: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const message = `${endpoint} has not accepted it within ${timeoutMs} ms`;
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

/** Maximum wait for messages in flight when the loop ends, ms. */
const drainMs = { connected: 10_000, failing: 1000 };

/**
 * Waits until all messages are delivered, longer if the destination is accepting messages than if it is failing. Resolves to whether
 * everything was delivered.
 */
async function drained(outlet: Outlet): Promise<boolean> {
  const failing = outlet.state().state === 'failing';
  return Promise.race([
    outlet.idle(true).then(() => true),
    new Promise<false>((resolve) => {
      setTimeout(() => resolve(false), failing ? drainMs.failing : drainMs.connected).unref();
    }),
  ]);
}

/** Events of one destination: unreachable, reachable again and the resulting losses, and disk full; each reported once. */
interface Telling {
  /**
   * Checks a state that may have changed.
   * @param counts messages dropped since the loop began, and on disk now
   * @returns whether the destination has just become reachable again
   */
  change(state: ReturnType<Outlet['state']>, counts: { dropped: number; kept: number }): boolean;
}

/** @param shown address of the destination, without credentials */
function createTelling(shown: string, onEvent: (text: string) => void): Telling {
  /** Number of messages dropped before the destination became unreachable; null while it accepts messages. */
  let gone: number | null = null;
  let diskTold = false;
  return {
    change({ state, error, spooled }, { dropped, kept }) {
      const full = spooled?.error;
      if (full !== undefined && !diskTold)
        onEvent(`${shown}: ${full}; predictions are stored in memory as far as possible`);
      diskTold = full !== undefined;
      if (state === 'failing' && gone === null) {
        gone = dropped;
        onEvent(`${shown} accepts no predictions, so they are stored: ${error ?? 'no reason given'}`);
      }
      if (state !== 'connected' || gone === null) return false;
      const lost = dropped - gone;
      const missing = lost === 0 ? '' : `; ${plural(lost, 'prediction')} dropped meanwhile`;
      onEvent(`${shown} accepts predictions again, ${thousands(kept)} on disk${missing}`);
      gone = null;
      return true;
    },
  };
}
