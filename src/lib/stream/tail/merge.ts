import type { Delivery, Source } from '../message.js';

/**
 * Combines several sources into one, in the order of their messages' times. A message is passed on once every source
 * has a message, or has had none for `patienceMs`. At most one batch from each source is held.
 */
export function mergeByTime(sources: readonly Source[], now: () => number = Date.now): Source {
  return {
    endpoint: sources.map(({ endpoint }) => endpoint).join(', '),
    get dropped() {
      return sources.reduce((sum, { dropped }) => sum + dropped, 0);
    },
    [Symbol.asyncIterator]: () => merged(sources, now),
    close: async () => {
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}

/** Silence after which the merge no longer waits for a source, ms. */
const patienceMs = 200;

interface MergeInput {
  source: Source;
  batches: AsyncIterator<readonly Delivery[]>;
  /** The source's last batch, and the index of the first message in it that has not been passed on yet. */
  batch: readonly Delivery[];
  next: number;
  /** The request for the next batch, in progress once the last batch is used up. */
  pull: Promise<void> | undefined;
  since: number;
  ended: boolean;
  /** The source's error, reported once its earlier messages have been passed on. */
  failure?: { error: unknown };
}

async function* merged(sources: readonly Source[], now: () => number): AsyncGenerator<Delivery[]> {
  const inputs: MergeInput[] = sources.map((source) => ({
    source,
    batches: source[Symbol.asyncIterator](),
    batch: [],
    next: 0,
    pull: undefined,
    since: now(),
    ended: false,
  }));
  for (;;) {
    const empty = inputs.filter((input) => !input.ended && input.next >= input.batch.length);
    for (const { failure } of inputs) if (failure) throw failure.error;
    for (const input of empty) input.pull ??= pull(input, now);
    const full = inputs.filter((input) => input.next < input.batch.length);
    const awaited = empty.filter((input) => now() - input.since < patienceMs);
    if (full.length === 0 && empty.length === 0) return;
    if (full.length === 0) await Promise.race(empty.map((input) => input.pull));
    else if (awaited.length > 0) await firstOf(awaited, now);
    else yield takeOldest(full);
  }
}

/** Resolves once one of the sources has messages, or the longest wait for a source has timed out. */
async function firstOf(awaited: readonly MergeInput[], now: () => number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const left = Math.max(1, Math.min(...awaited.map(({ since }) => since + patienceMs - now())));
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, left);
  });
  await Promise.race([over, ...awaited.map((input) => input.pull)]);
  clearTimeout(timer);
}

/** Requests the next batch. Never rejects, because possibly nothing awaits the promise when the request fails. */
async function pull(input: MergeInput, now: () => number): Promise<void> {
  try {
    const { value, done } = await input.batches.next();
    input.ended = done === true;
    input.batch = done ? [] : value;
  } catch (error) {
    input.ended = true;
    input.failure = { error };
  } finally {
    input.next = 0;
    input.pull = undefined;
    input.since = now();
  }
}

/**
 * Returns all messages that may be passed on now. Stops when one of the inputs is empty, because that input's next
 * message may be older than the messages of the other inputs.
 */
function takeOldest(full: readonly MergeInput[]): Delivery[] {
  const taken: Delivery[] = [];
  for (;;) {
    let oldest: MergeInput | undefined;
    for (const input of full) {
      if (!oldest || input.batch[input.next]!.message.time < oldest.batch[oldest.next]!.message.time)
        oldest = input;
    }
    if (!oldest) return taken;
    taken.push(oldest.batch[oldest.next]!);
    oldest.next++;
    if (oldest.next < oldest.batch.length) continue;
    oldest.since = Date.now();
    return taken;
  }
}
