/**
 * Runs networks on this machine: the bit-exact device interpreter, the real LiteRT, and the memory a device will need.
 */
export { createInterpreter } from './interpreter/interpreter.js';
export type { Interpreter, InterpreterOptions, OnTensor, Values } from './interpreter/types.js';
