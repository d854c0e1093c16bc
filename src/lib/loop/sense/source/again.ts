import { AiotError, type Clock } from '../../../core/index.js';
import type { SourceFaults } from '../../../sensor/index.js';
import type { Tell } from '../events.js';
import type { Incoming, RawSource } from '../types.js';

/** Waits between attempts, ms: doubled each time. */
const pause = { first: 500, longest: 30_000 };

export interface AgainOptions {
  clock: Clock;
  signal: AbortSignal;
  tell: Tell;
  /** Also the first time; only what another attempt may mend. */
  patient: boolean;
}

/**
 * A source that is opened again, for as long as it takes, when reading it fails: unplugged, its driver gone. What comes then follows
 * nothing.
 * @throws what opening it throws the first time; while reading, only bugs
 */
export async function openAgain(open: () => Promise<RawSource>, options: AgainOptions): Promise<RawSource> {
  const { clock, signal, tell } = options;
  let source = await firstOf(open, options);
  let closed = false;
  let connected = true;
  const before: SourceFaults = { overruns: 0, retries: 0, reconnects: 0 };
  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);

  /** @returns whether it is open again */
  const reopen = async (error: AiotError): Promise<boolean> => {
    connected = false;
    tell('lost', `${source.endpoint} is gone: ${error.message}`);
    addTo(before, source.faults);
    await source.close().catch(() => {});
    for (let waitMs = pause.first; !stop.aborted; waitMs = Math.min(2 * waitMs, pause.longest)) {
      await clock.sleep(waitMs, stop).catch(() => {});
      if (stop.aborted) break;
      const again = await open().catch((failure: unknown) => {
        if (!(failure instanceof AiotError)) throw failure;
        return null;
      });
      if (again === null) continue;
      source = again;
      if (closed) await source.close();
      before.reconnects++;
      connected = true;
      tell('found', `${source.endpoint} is back`);
      return true;
    }
    return false;
  };

  async function* batches(): AsyncGenerator<Incoming> {
    let apart = false;
    while (!closed) {
      try {
        for await (const batch of source) {
          yield apart ? { ...batch, apart } : batch;
          apart = false;
        }
        return;
      } catch (error) {
        if (closed) return;
        if (!(error instanceof AiotError) || error.family === 'bug') throw error;
        if (!(await reopen(error))) return;
        apart = true;
      }
    }
  }

  return {
    get endpoint() {
      return source.endpoint;
    },
    fields: source.fields,
    get rateHz() {
      return source.rateHz;
    },
    get timing() {
      return source.timing;
    },
    get kept() {
      return source.kept ?? false;
    },
    get connected() {
      return connected && (source.connected ?? true);
    },
    get faults() {
      return addTo({ ...before }, source.faults);
    },
    [Symbol.asyncIterator]: () => batches(),
    async close() {
      closed = true;
      ended.abort();
      await source.close();
    },
  };
}

async function firstOf(open: () => Promise<RawSource>, options: AgainOptions): Promise<RawSource> {
  const { clock, signal, tell, patient } = options;
  for (let waitMs = pause.first; ; waitMs = Math.min(2 * waitMs, pause.longest)) {
    try {
      return await open();
    } catch (error) {
      // What is written wrong does not come right by waiting.
      const mayCome = error instanceof AiotError && (error.family === 'outside' || error.exit === 4);
      if (!patient || !mayCome) throw error;
      if (waitMs === pause.first) tell('lost', `no sensor yet, waiting for it: ${error.message}`);
      await clock.sleep(waitMs, signal);
    }
  }
}

function addTo(sum: SourceFaults, more: Readonly<SourceFaults>): SourceFaults {
  sum.overruns += more.overruns;
  sum.retries += more.retries;
  sum.reconnects += more.reconnects;
  return sum;
}
