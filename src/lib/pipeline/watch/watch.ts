import { setMaxListeners } from 'node:events';
import * as z from 'zod';
import { onAbort } from '../../core/tasks.js';
import type { Clock } from '../../core/time.js';
import { backOffMs } from '../../core/time.js';
import { type Cause, causeSchema, runRecordSchema, runStates } from '../run/record.js';

/** A source of requests to run. It may fire at any rate; the watcher decides when to run. */
export interface Trigger {
  kind: Cause['kind'];
  /** Runs until the signal is aborted. @throws permanent errors, which a retry cannot resolve */
  watch(fire: (text: string) => void, signal: AbortSignal): Promise<void>;
  /** Called after a successful run that this trigger may have caused. */
  succeeded?(model: Outcome['model']): Promise<void>;
}

interface WatchOptions {
  triggers: readonly Trigger[];
  run(cause: Cause, signal: AbortSignal): Promise<Outcome>;
  clock: Clock;
  signal: AbortSignal;
  onEvent(event: WatchEvent): void;
  /** Delay after the first of consecutive failures, and maximum delay, ms. */
  backoff?: { firstMs: number; mostMs: number };
}

const usualBackoff = { firstMs: 30_000, mostMs: 3_600_000 };

/**
 * Runs the pipeline whenever a trigger fires, one run at a time. Requests during a run cause exactly one more run after it. A failed run is
 * retried with increasing delays. If a gate was not passed, the next request is awaited. Ends when the signal is aborted.
 */
export async function watchTriggers(options: WatchOptions): Promise<void> {
  const { triggers, clock, signal, onEvent, backoff = usualBackoff } = options;
  let pending: Cause | null = null;
  let wake: () => void = () => {};
  const fire = (kind: Cause['kind']) => (text: string) => {
    if (signal.aborted) return;
    onEvent({ event: 'triggered', at: clock.now(), kind, text, coalesced: pending !== null });
    pending ??= { kind, text };
    wake();
  };
  const ending = new AbortController();
  setMaxListeners(0, ending.signal);
  onAbort(ending.signal, () => wake());
  const stop = () => ending.abort(signal.reason);
  const leave = onAbort(signal, stop);
  const failures: unknown[] = [];
  const watching = triggers.map(async (trigger) => {
    try {
      await trigger.watch(fire(trigger.kind), ending.signal);
    } catch (error) {
      if (ending.signal.aborted) return;
      failures.push(error);
      ending.abort(error);
    }
  });
  let failed = 0;
  try {
    while (!ending.signal.aborted) {
      if (pending === null) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const cause: Cause = pending;
      pending = null;
      onEvent({ event: 'started', at: clock.now(), cause });
      const outcome = await options.run(cause, ending.signal);
      onEvent({ event: 'ended', at: clock.now(), ...outcome });
      if (outcome.state === 'done') {
        failed = 0;
        for (const { kind, succeeded } of triggers) {
          await succeeded?.(outcome.model).catch((error: unknown) =>
            onEvent({ event: 'trouble', at: clock.now(), kind, text: messageOf(error) }),
          );
        }
      } else if (outcome.state === 'failed' || outcome.state === 'refused') {
        failed++;
        pending ??= cause;
        const waitMs = backOffMs(failed, backoff.firstMs, backoff.mostMs);
        onEvent({ event: 'waits', at: clock.now(), untilAt: clock.now() + waitMs, failures: failed });
        await clock.sleep(waitMs, ending.signal).catch(() => {});
      }
    }
  } finally {
    ending.abort();
    leave();
    await Promise.all(watching);
  }
  if (failures.length > 0) throw failures[0];
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const at = z.number();
const { kind } = causeSchema.shape;

/** The outcome of a run; `refused`: the run could not be started. */
const outcomeSchema = z.object({
  run: z.string().nullable(),
  state: z.enum([...runStates, 'refused']),
  reason: z.string().nullable(),
  model: runRecordSchema.shape.model,
});

export type Outcome = z.output<typeof outcomeSchema>;

/** Events of a watcher, in order; times are ms since 1970. */
export const watchEventSchema = z.discriminatedUnion('event', [
  /** A trigger has fired. `coalesced` = a run is already pending, and covers this request. */
  z.object({ event: z.literal('triggered'), at, kind, text: z.string(), coalesced: z.boolean() }),
  z.object({ event: z.literal('started'), at, cause: causeSchema }),
  outcomeSchema.extend({ event: z.literal('ended'), at }),
  z.object({ event: z.literal('waits'), at, untilAt: z.number(), failures: z.int() }),
  /** A trigger has a problem and continues to try. */
  z.object({ event: z.literal('trouble'), at, kind, text: z.string() }),
]);

export type WatchEvent = z.output<typeof watchEventSchema>;
