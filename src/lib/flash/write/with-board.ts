import type { Loader, LoaderOptions } from '../loader/types.js';

/** How a board is reached: replaced in tests. */
export type OpenBoard = (port: string, options: LoaderOptions) => Promise<Loader>;

export interface BoardAt {
  port: string;
  loader: LoaderOptions;
  open?: OpenBoard;
}

/**
 * Works with a board and ends it in any case: reset as asked when the work is done, the port let go also when it failed.
 * @throws what opening and `work` throw
 */
export async function withBoard<T>(at: BoardAt, work: (loader: Loader) => Promise<T>): Promise<T> {
  const open = at.open ?? (await import('./open-board.js')).openBoard;
  const loader = await open(at.port, at.loader);
  let done: T;
  try {
    done = await work(loader);
  } catch (error) {
    // The first reason is the one to tell.
    await loader.end().catch(() => {});
    throw error;
  }
  await loader.end();
  return done;
}
