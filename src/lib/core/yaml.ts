import {
  type Document,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type YAMLParseError,
} from 'yaml';
import type { z } from 'zod';
import type { ErrorCode } from './catalogue.js';
import { AiotError } from './errors.js';
import { type Problem, problemsOf } from './issues.js';

interface YamlOptions<Value> {
  /** Code of the error that is thrown. */
  code: ErrorCode;
  /** Transforms the plain values before the schema validates them. Failed transformations are reported as problems. */
  prepare?: (value: unknown) => { value: unknown; problems: Problem[] };
  /** Checks across fields. `given`: the file's values before defaults are applied. */
  check?: (value: Value, given: unknown) => Problem[];
}

/**
 * Parses a YAML file and validates it against a schema. All problems are reported, each as `file:line:column: field: expected;
 * got`.
 * @throws an error with the code given
 */
export function parseYaml<Schema extends z.ZodType>(
  text: string,
  file: string,
  schema: Schema,
  options: YamlOptions<z.output<Schema>>,
): z.output<Schema> {
  const { code } = options;
  const lines = new LineCounter();
  const deep = tooDeepYaml(text);
  if (deep !== null) throw new AiotError(code, `${file}:${deep}:1: nested deeper than ${deepestYaml} levels`);
  // The parser prints warnings on stderr, regardless of --json and --quiet, and they quote the file, which may contain secrets. Relevant
  // problems are rejected below.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, logLevel: 'error' });
  const at = (offset: number, reason: string) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}: ${reason}`;
  };
  const [syntax] = document.errors;
  if (syntax) throw new AiotError(code, at(syntax.pos[0], `not valid YAML: ${reasonOf(syntax)}`));
  const given = plain(document, (offset, reason) => new AiotError(code, at(offset, reason)));
  const { value, problems: early } = options.prepare?.(given) ?? { value: given, problems: [] };
  const result = early.length > 0 ? undefined : schema.safeParse(value);
  const problems = !result
    ? early
    : result.success
      ? (options.check?.(result.data, value) ?? [])
      : problemsOf(result.error, { value, schema });
  if (result?.success && problems.length === 0) return result.data;
  const told = problems.map(({ path, message }) =>
    at(offsetOf(document, path), `${path.join('.') || 'the file'}: ${message}`),
  );
  throw new AiotError(code, told.join('\n'));
}

function reasonOf({ code, message }: YAMLParseError): string {
  if (code === 'MULTIPLE_DOCS') return 'expected one document, got another "---"';
  return message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? message;
}

/**
 * The document as plain values. Constructs that the parser accepts but no file needs are rejected with their position. Examples are an
 * alias without an anchor, recursive aliases, millions of aliases, and the name `__proto__`, which objects do not store.
 */
function plain(document: Document, refuse: (offset: number, reason: string) => AiotError): unknown {
  let aliasAt: number | undefined;
  visit(document, {
    Pair(_, { key }) {
      if (isScalar(key) && key.value === '__proto__')
        throw refuse(key.range?.[0] ?? 0, '__proto__ is not allowed as a name');
      if (isMap(key) || isSeq(key))
        throw refuse(key.range?.[0] ?? 0, 'expected a name before the colon, got a list or a map');
    },
    Alias(_, alias, path) {
      const offset = alias.range?.[0] ?? 0;
      aliasAt ??= offset;
      const target = alias.resolve(document);
      if (!target)
        throw refuse(offset, `*${alias.source}: the anchor &${alias.source} is not defined before it`);
      if (path.includes(target)) throw refuse(offset, `*${alias.source}: used inside its own anchor`);
    },
  });
  try {
    return document.toJS();
  } catch (error) {
    if (aliasAt === undefined) throw error;
    throw refuse(aliasAt, 'its aliases (*) expand to more values than allowed');
  }
}

/** Offset of the deepest part of the path that exists in the document. A key is preferred to its value. */
function offsetOf(document: Document, path: PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const key of path) {
    if (isSeq(node) && typeof key === 'number') {
      node = node.items[key];
      const range = (node as { range?: [number, number, number] } | undefined)?.range;
      if (range) offset = range[0];
      continue;
    }
    if (!isMap(node)) break;
    const pair = node.items.find((item) => isPair(item) && String(item.key) === String(key));
    if (!pair) break;
    const range = (pair.key as { range?: [number, number, number] } | null)?.range;
    if (range) offset = range[0];
    node = pair.value;
  }
  return offset;
}

/** Maximum nesting depth. None of our files comes close to it, and a recursive parser can handle it. */
export const deepestYaml = 200;

/**
 * Line at which a YAML text is nested deeper than `deepestYaml`. The parser uses part of the stack for each level, and a stack overflow
 * ends the process. Counted without parsing: brackets, consecutive indicators on a line, and increasing indentation. Text in quotes and in
 * blocks is counted as well, so the limit is far above what people write.
 * @returns the line, from 1
 */
export function tooDeepYaml(text: string): number | null {
  const above: { indent: number; levels: number }[] = [];
  let levels = 0;
  let brackets = 0;
  for (const [index, line] of text.split('\n').entries()) {
    const content = line.trimStart();
    const indent = line.length - content.length;
    if (content !== '' && !content.startsWith('#')) {
      while (above.length > 0 && above.at(-1)!.indent >= indent) levels -= above.pop()!.levels;
      const counted = countLine(content, brackets);
      if (levels + counted.deepest > deepestYaml) return index + 1;
      brackets = counted.brackets;
      above.push({ indent, levels: counted.chain });
      levels += counted.chain;
    }
  }
  return null;
}

function countLine(line: string, open: number): { deepest: number; brackets: number; chain: number } {
  let [brackets, chain, longest, deepest] = [open, 0, 0, open];
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!;
    const isLast =
      at + 1 === line.length || line[at + 1] === ' ' || line[at + 1] === '\t' || line[at + 1] === '\r';
    if (char === '[' || char === '{') brackets++;
    else if (char === ']' || char === '}') brackets = Math.max(0, brackets - 1);
    else if ((char === ':' || char === '-' || char === '?') && isLast) chain++;
    // After one of these characters, further indicators are not nested in the previous ones, so the chain starts again.
    if (',[]{}"\''.includes(char)) chain = 0;
    longest = Math.max(longest, chain);
    deepest = Math.max(deepest, brackets + chain);
  }
  return { deepest, brackets, chain: longest };
}
