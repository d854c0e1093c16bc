/** One board at a cable, looked at and cleared: what its chip is, what its flash holds. */
export { type BoardInfo, boardInfo, boardInfoSchema } from './board-info.js';
export { type BoardErased, boardErasedSchema, eraseBoard } from './erase-board.js';
export { type BoardRead, boardReadSchema, readBoard } from './read-board.js';
export { type BoardVerified, boardVerifiedSchema, verifyBoard } from './verify-board.js';
