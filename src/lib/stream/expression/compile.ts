import { compileNode } from './compile-node.js';
import { fieldsRead } from './fields-read.js';
import { evaluateByLibrary, parse } from './library.js';
import { bail, type Node, type Scope } from './node.js';
import type { Expression } from './types.js';

/**
 * The expression, ready to be evaluated for message after message. The common forms (paths, comparisons, and/or, arithmetic,
 * literals, constructors, `&`, conditions, the functions of functions.ts) become closures, about a hundred times as fast as the
 * library; the rest, and values that only it treats or refuses, are the library's.
 * @throws AIOT_STREAM_EXPRESSION when it is no JSONata, with the place
 */
export function compileExpression(text: string): Expression {
  const parsed = parse(text);
  const evaluate = compileNode(parsed.ast() as Node);
  if (!evaluate) {
    return {
      text,
      simple: false,
      evaluate: (message, decode) => evaluateByLibrary(parsed, text, message, decode(message)),
    };
  }
  const reads = fieldsRead(parsed.ast() as Node);
  return {
    text,
    simple: true,
    ...(reads ? { reads } : {}),
    evaluate(message, decode) {
      const root = decode(message);
      const scope: Scope = { message, root };
      try {
        // The library takes a payload that is an array for a sequence of contexts.
        if (!Array.isArray(root)) return evaluate(root, scope);
      } catch (error) {
        if (error !== bail) throw error;
      }
      return evaluateByLibrary(parsed, text, message, root);
    },
  };
}
