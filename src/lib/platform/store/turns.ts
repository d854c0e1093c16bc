/** Runs tasks one after the other: for checks and writes that belong together. */
export type Turn = <T>(task: () => Promise<T>) => Promise<T>;

/**
 * Turns by name: of the tasks of one name one runs at a time, over all processes that share the database. A task may take
 * a turn of another name; those that do so take them in the same order.
 */
export interface Turns {
  of(name: string): Turn;
}

/** For a database that this process alone has. */
export function localTurns(): Turns {
  const turns = new Map<string, Turn>();
  return {
    of(name) {
      const turn = turns.get(name) ?? serially();
      turns.set(name, turn);
      return turn;
    },
  };
}

export function serially(): Turn {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const result = last.then(task, task);
    last = result.catch(() => {});
    return result;
  };
}
