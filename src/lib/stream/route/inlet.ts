import { untilAborted } from '../../core/index.js';
import type { Delivery, Source } from '../message.js';
import { backOff, mayPass, reasonOf } from './failures.js';
import type { RouteState } from './types.js';

export interface InletOptions {
  /** For states until the source is open: no credentials. */
  endpoint: string;
  open: (onState: (state: 'connected' | 'disconnected') => void) => Promise<Source>;
  /** Takes a batch; what it waits for holds the source up. */
  take: (batch: readonly Delivery[]) => Promise<void> | void;
  /** When aborted, nothing more is read. */
  stop: AbortSignal;
  onChange: () => void;
}

/** The way from one source: opened until it is there, read, and opened anew when it breaks. */
export interface Inlet {
  /** Resolves when the source is open. @throws what cannot pass, such as a wrong address; the reason of `stop` */
  ready(): Promise<void>;
  /** Resolves when the source has no more, or at `stop`. The source stays open: what is under way is acknowledged to it. @throws what `take` throws */
  read(): Promise<void>;
  close(): Promise<void>;
  state(): RouteState['from'][number];
}

export function createInlet(options: InletOptions): Inlet {
  const { stop } = options;
  let source: Source | undefined;
  let state: RouteState['from'][number]['state'] = 'opening';
  let error: string | undefined;

  const become = (next: typeof state, why?: unknown) => {
    const reason = why === undefined ? undefined : reasonOf(why);
    if (state === next && error === reason) return;
    state = next;
    error = reason;
    options.onChange();
  };

  async function open(retryAll: boolean): Promise<Source> {
    for (let failures = 0; ; failures++) {
      stop.throwIfAborted();
      const opening = options.open((to) => {
        if (state === 'closed') return;
        if (to === 'connected') become('connected');
        else become('failing', 'the connection was lost');
      });
      try {
        const found = await untilAborted(opening, stop);
        become('connected');
        return found;
      } catch (cause) {
        if (stop.aborted) {
          // Nobody waits for it any more.
          opening.then((late) => late.close()).catch(() => {});
          throw cause;
        }
        if (!retryAll && !mayPass(cause)) throw cause;
        become('failing', cause);
        await backOff(failures, stop);
      }
    }
  }

  /** Until its end (true), or `stop` (false). @throws TakeError, and what the source throws */
  async function readOne(from: Source): Promise<boolean> {
    const batches = from[Symbol.asyncIterator]();
    for (;;) {
      const next = await untilAborted(batches.next(), stop).catch((cause: unknown) => {
        if (stop.aborted) return undefined;
        throw cause;
      });
      if (next === undefined) return false;
      if (next.done) return true;
      try {
        await options.take(next.value);
      } catch (cause) {
        throw new TakeError(cause);
      }
      if (stop.aborted) return false;
    }
  }

  return {
    async ready() {
      source = await open(false);
    },
    async read() {
      for (let failures = 0; source; failures++) {
        try {
          await readOne(source);
          return;
        } catch (cause) {
          if (cause instanceof TakeError) throw cause.cause;
          if (!mayPass(cause)) throw cause;
          become('failing', cause);
          // What it has given and has not been told of comes again.
          await source.close().catch(() => {});
          await backOff(failures, stop).catch(() => {});
          if (stop.aborted) return;
          const again = await open(true).catch((error: unknown) => {
            if (!stop.aborted) throw error;
          });
          if (!again) return;
          source = again;
        }
      }
    },
    async close() {
      await source?.close();
      become('closed');
    },
    state: () => ({
      endpoint: source?.endpoint ?? options.endpoint,
      state,
      ...(error === undefined ? {} : { error }),
    }),
  };
}

/** What went wrong in the reader's own work, and not at the source. */
class TakeError extends Error {
  constructor(cause: unknown) {
    super('not taken', { cause });
  }
}
