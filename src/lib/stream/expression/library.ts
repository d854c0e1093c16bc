import { createRequire } from 'node:module';
import type jsonata from 'jsonata';
import { AiotError } from '../../core/index.js';
import type { Message } from '../message.js';
import { variables } from './variables.js';

/** Loaded with the first expression, and not with this module; at once, so that expressions can be compiled without waiting. */
function library(): typeof jsonata {
  return createRequire(import.meta.url)('jsonata') as typeof jsonata;
}

/** @throws AIOT_STREAM_EXPRESSION with the place in the text */
export function parse(text: string): jsonata.Expression {
  try {
    return library()(text);
  } catch (error) {
    const { message, position } = error as { message?: string; position?: number };
    const place = position === undefined ? '' : ` (at character ${position})`;
    throw new AiotError('AIOT_STREAM_EXPRESSION', `${text}: ${message ?? 'no JSONata'}${place}`, {
      cause: error,
    });
  }
}

/** Evaluates with the library, whatever is in the expression. @throws AIOT_STREAM_EVALUATION */
export async function evaluateByLibrary(
  expression: jsonata.Expression,
  text: string,
  message: Message,
  value: unknown,
): Promise<unknown> {
  const bindings: Record<string, unknown> = {};
  for (const [name, read] of Object.entries(variables)) bindings[name] = read(message);
  try {
    const result: unknown = await expression.evaluate(value, bindings);
    // Without the library's own marks on what it collected.
    return Array.isArray(result) ? Array.from(result) : result;
  } catch (error) {
    const { message: reason } = error as { message?: string };
    throw new AiotError('AIOT_STREAM_EVALUATION', `${text}: ${reason ?? String(error)}`, { cause: error });
  }
}
