import { AiotError } from '../../core/errors.js';
import { textOrBase64 } from '../../core/text.js';
import { compileExpression } from '../decode/expression.js';
import type { Decoder } from '../decode/values.js';
import type { Message } from '../message.js';

/** A text with embedded expressions, evaluated for one message. */
type Template = (message: Message, decode: Decoder) => string | Promise<string>;

/**
 * Compiles a template. `{{EXPRESSION}}` is replaced with the expression's result (no text if there is none; objects as
 * JSON). `\n`, `\t` and `\\` are escapes as in JSON. Everything else is unchanged, so that JSON text needs no escaping.
 * @throws AIOT_STREAM_EXPRESSION (not JSONata, or not closed)
 */
export function compileTemplate(text: string): Template {
  const parts = partsOf(text).map((part) =>
    typeof part === 'string' ? part : compileExpression(part.expression),
  );
  return (message, decode) => {
    const values = parts.map((part) => (typeof part === 'string' ? part : part.evaluate(message, decode)));
    return values.some((value) => value instanceof Promise)
      ? Promise.all(values).then(joined)
      : joined(values);
  };
}

const joined = (values: readonly unknown[]) =>
  values.map((value) => (value === undefined ? '' : textOf(value))).join('');

function partsOf(text: string): (string | { expression: string })[] {
  const parts: ReturnType<typeof partsOf> = [];
  let rest = text;
  for (;;) {
    const open = rest.indexOf('{{');
    parts.push(unescaped(open < 0 ? rest : rest.slice(0, open)));
    if (open < 0) return parts;
    const close = closing(rest, open + 2);
    if (close < 0) {
      throw new AiotError(
        'AIOT_STREAM_EXPRESSION',
        `${rest.slice(open)}: expected a closing }} after the expression`,
      );
    }
    parts.push({ expression: rest.slice(open + 2, close) });
    rest = rest.slice(close + 2);
  }
}

/**
 * Position of the `}}` that ends the expression, or -1. Braces of objects in the expression are counted; braces in
 * strings are skipped.
 */
function closing(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text[at]!;
    if (char === '"' || char === "'" || char === '`') {
      const end = endOfQuote(text, at);
      if (end < 0) return -1;
      at = end;
    } else if (char === '{') depth++;
    else if (char === '}' && depth > 0) depth--;
    else if (char === '}' && text[at + 1] === '}') return at;
  }
  return -1;
}

function endOfQuote(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === text[start]) return at;
  }
  return -1;
}

function unescaped(text: string): string {
  return text.replace(/\\([nt\\])/g, (_, char: string) => ({ n: '\n', t: '\t' })[char] ?? char);
}

/** Converts a message's value to text: text unchanged, bytes as UTF-8 or base64, anything else as JSON. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (ArrayBuffer.isView(value)) return textOrBase64(value as Uint8Array);
  return JSON.stringify(value) ?? '';
}
