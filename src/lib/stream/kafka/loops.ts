/** What a loop is told, and tells. */
export interface Loop {
  over(): boolean;
  /** To be called after each answer. */
  answered(): void;
}

/** What loops of reading are about; `P` is a place that is read. */
export interface Reading<P> {
  places: readonly P[];
  /** Everything is read, or nobody wants it any more. */
  over(): boolean;
  /** Before loops begin. */
  prepare(): Promise<void>;
  /** The node that has a place. @throws when none has it now */
  nodeOf(place: P): number;
  /** Reads places of a node until an error, or until it is over. `places` may grow. */
  read(nodeId: number, places: P[], loop: Loop): Promise<void>;
  /** After errors, before what they left alone is read again. @throws what will not pass */
  mend(errors: readonly unknown[]): Promise<void>;
  onState?: ((state: 'connected' | 'disconnected') => void) | undefined;
}

interface Owned<P> {
  places: P[];
  answered: boolean;
}

/**
 * Has every place read: one loop for each node, whatever becomes of the others. When one ends with an error, its places alone are
 * given out again, to the nodes that have them then. Resolves when it is over and every loop has ended.
 * @throws what `mend` throws, when every loop has ended
 */
export async function readByNode<P>(reading: Reading<P>): Promise<void> {
  const loops = new Map<number, Owned<P>>();
  let errors: unknown[] = [];
  let stopped = false;
  const over = () => stopped || reading.over();
  let connected = true;
  let wake = () => {};
  const running = new Set<Promise<void>>();
  const alone = () => {
    const owned = new Set([...loops.values()].flatMap(({ places }) => places));
    return reading.places.filter((place) => !owned.has(place));
  };

  function begin(nodeId: number, place: P): void {
    const known = loops.get(nodeId);
    if (known) {
      known.places.push(place);
      return;
    }
    const loop: Owned<P> = { places: [place], answered: false };
    loops.set(nodeId, loop);
    const work = Promise.resolve()
      .then(() => reading.read(nodeId, loop.places, { over, answered: () => answer(loop) }))
      .catch((error: unknown) => void errors.push(error))
      .finally(() => {
        loops.delete(nodeId);
        running.delete(work);
        wake();
      });
    running.add(work);
  }

  function answer(loop: Owned<P>): void {
    loop.answered = true;
    if (connected || alone().length > 0 || ![...loops.values()].every(({ answered }) => answered)) return;
    connected = true;
    reading.onState?.('connected');
  }

  async function giveOut(): Promise<void> {
    try {
      await reading.prepare();
    } catch (error) {
      errors.push(error);
      return;
    }
    for (const place of alone()) {
      try {
        begin(reading.nodeOf(place), place);
      } catch (error) {
        errors.push(error);
      }
    }
  }

  try {
    while (!over()) {
      if (alone().length > 0) await giveOut();
      if (errors.length === 0 && loops.size === 0) return;
      if (errors.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (over() || errors.length === 0) continue;
      const before = errors;
      errors = [];
      if (connected) reading.onState?.('disconnected');
      connected = false;
      await reading.mend(before);
    }
  } finally {
    stopped = true;
    await Promise.allSettled([...running]);
  }
}
