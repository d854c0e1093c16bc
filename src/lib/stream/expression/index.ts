/** JSONata about messages, the common forms of it fast. */
export { compileExpression } from './compile.js';
export type { Expression } from './types.js';
