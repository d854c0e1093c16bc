import { AiotError, type Clock, onAbort } from '../../core/index.js';
import type { OutgoingMessage, Sink } from '../../stream/index.js';

export interface LastingOptions {
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
export async function openLasting(open: () => Promise<Sink>, options: LastingOptions): Promise<Sink> {
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
export function signalsUntil(giveUp: AbortSignal): { next(): AbortSignal } {
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
