import type { Delivery, Source } from '../message.js';

/** A source that has had nothing for this long is not waited for any more, ms. */
const patienceMs = 200;

interface Lane {
  source: Source;
  batches: AsyncIterator<readonly Delivery[]>;
  /** What it gave last, and how much of it has been taken. */
  batch: readonly Delivery[];
  next: number;
  /** Under way while there is nothing of it here. */
  pull: Promise<void> | undefined;
  since: number;
  ended: boolean;
  /** It broke off; told when what it had given before has been taken. */
  failure?: { error: unknown };
}

/**
 * Several sources as one, in the order of their messages' times: a message is given on when no source that has something, or is
 * likely to have soon, can have an older one. Of each source one batch at most is held.
 */
export function mergeByTime(sources: readonly Source[], now: () => number = Date.now): Source {
  const [only] = sources;
  if (only && sources.length === 1) return only;
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

async function* merged(sources: readonly Source[], now: () => number): AsyncGenerator<Delivery[]> {
  const lanes: Lane[] = sources.map((source) => ({
    source,
    batches: source[Symbol.asyncIterator](),
    batch: [],
    next: 0,
    pull: undefined,
    since: now(),
    ended: false,
  }));
  for (;;) {
    const empty = lanes.filter((lane) => !lane.ended && lane.next >= lane.batch.length);
    for (const { failure } of lanes) if (failure) throw failure.error;
    for (const lane of empty) lane.pull ??= pull(lane, now);
    const full = lanes.filter((lane) => lane.next < lane.batch.length);
    const awaited = empty.filter((lane) => now() - lane.since < patienceMs);
    if (full.length === 0 && empty.length === 0) return;
    if (full.length === 0) await Promise.race(empty.map((lane) => lane.pull));
    else if (awaited.length > 0) await firstOf(awaited, now);
    else yield takeOldest(full);
  }
}

/** Resolves when one of them has something, or when the one waited for longest is not waited for any more. */
async function firstOf(awaited: readonly Lane[], now: () => number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const left = Math.max(1, Math.min(...awaited.map(({ since }) => since + patienceMs - now())));
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, left);
  });
  await Promise.race([over, ...awaited.map((lane) => lane.pull)]);
  clearTimeout(timer);
}

/** Never rejects: nobody may be waiting for it when it fails. */
async function pull(lane: Lane, now: () => number): Promise<void> {
  try {
    const { value, done } = await lane.batches.next();
    lane.ended = done === true;
    lane.batch = done ? [] : value;
  } catch (error) {
    lane.ended = true;
    lane.failure = { error };
  } finally {
    lane.next = 0;
    lane.pull = undefined;
    lane.since = now();
  }
}

/** All that may go now: until one of the lanes is empty, for its next message may be older than what the others have. */
function takeOldest(full: readonly Lane[]): Delivery[] {
  const taken: Delivery[] = [];
  for (;;) {
    let oldest: Lane | undefined;
    for (const lane of full) {
      if (!oldest || lane.batch[lane.next]!.message.time < oldest.batch[oldest.next]!.message.time)
        oldest = lane;
    }
    if (!oldest) return taken;
    taken.push(oldest.batch[oldest.next]!);
    oldest.next++;
    if (oldest.next < oldest.batch.length) continue;
    oldest.since = Date.now();
    return taken;
  }
}
