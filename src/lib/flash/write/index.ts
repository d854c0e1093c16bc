/** What is written to chips on cables: planned, refused where it would brick, compared, recorded. */
export { type FlashBoardOptions, type FlashJob, flashBoard } from './flash-board.js';
export { type FlashBoardsOptions, flashBoards } from './flash-boards.js';
export { unhealthy } from './judge.js';
export type { FlashRequest } from './request.js';
export {
  type BoardOutcome,
  type Boards,
  boardsSchema,
  type Flashed,
  flashedSchema,
  flashResultSchema,
  type Planned,
} from './result.js';
export type { BoardRow } from './row.js';
export { runFlash } from './run-flash.js';
export { type OpenBoard, withBoard } from './with-board.js';
