import { AiotError, type Clock } from '../../core/index.js';
import {
  createOutlet,
  type OutgoingMessage,
  type Outlet,
  openSink,
  openSpool,
  reasonOf,
  type Spool,
  type StreamOptions,
} from '../../stream/index.js';
import type { OutputState } from '../types.js';
import { drained } from './drained.js';
import { openLasting, signalsUntil } from './lasting.js';
import type { OutputSettings } from './settings.js';
import { createTelling } from './telling.js';

export interface LineOptions {
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
