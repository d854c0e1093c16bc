import type { BoardAt } from '../write/with-board.js';

/** A board to work with: without a port, the only one there is. */
export type BoardRequest = Omit<BoardAt, 'port'> & { port?: string | undefined };
