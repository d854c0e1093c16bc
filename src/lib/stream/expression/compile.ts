import { evaluateByLibrary, parse } from './library.js';
import type { Expression } from './types.js';

/** @throws AIOT_STREAM_EXPRESSION when it is no JSONata, with the place */
export function compileExpression(text: string): Expression {
  const parsed = parse(text);
  return {
    text,
    simple: false,
    evaluate: (message, decode) => evaluateByLibrary(parsed, text, message, decode(message)),
  };
}
