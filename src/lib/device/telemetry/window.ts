import { onAbort } from '../../core/index.js';
/** Bounds how many publishes are unacknowledged at a time; the next one waits. */
export interface InFlight {
  /** Starts `send` when there is room, and resolves then, not when it is acknowledged. Rejects once any send has failed. */
  add(send: () => Promise<void>): Promise<void>;
  /** Resolves when all are acknowledged. */
  drained(): Promise<void>;
  /** Lets go of the signal, which may outlive many of these. */
  end(): void;
}

/** Waiting ends with the signal's reason when it is aborted. */
export function createInFlight(limit: number, signal?: AbortSignal): InFlight {
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason);
  });
  const leave = onAbort(signal, stop);
  aborted.catch(() => {});
  const check = () => {
    if (failure) throw failure.error;
  };
  return {
    async add(send) {
      while (running.size >= limit) await Promise.race([...running, aborted]);
      check();
      const sent: Promise<void> = send()
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => running.delete(sent));
      running.add(sent);
    },
    async drained() {
      await Promise.race([Promise.all(running), aborted]);
      check();
    },
    end: () => leave(),
  };
}
