import { createRequire } from 'node:module';
import { createContext, Script } from 'node:vm';
import type jsonata from 'jsonata';
import { AiotError } from '../../core/errors.js';
import { textOrBase64 } from '../../core/text.js';
import type { Header, Message } from '../message.js';
import {
  bail,
  type Evaluate,
  functions,
  giveUp,
  isNumber,
  type Node,
  operators,
  type Scope,
  truth,
} from './expression-functions.js';
import { isCheap, limitSteps, shortText } from './step-limit.js';
import type { Decoder } from './values.js';

/**
 * Compiles an expression for repeated evaluation. Common forms become closures, which are about a hundred times as fast as the library:
 * paths, comparisons, and/or, arithmetic, literals, constructors, `&`, conditions, and the functions of expression-functions.ts. The
 * library evaluates all other expressions, and takes over if a closure meets a value that it does not support.
 * @throws AIOT_STREAM_EXPRESSION with the position if it is not JSONata
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
        // The library treats an array payload as a sequence of contexts.
        if (!Array.isArray(root)) return evaluate(root, scope);
      } catch (error) {
        if (error !== bail) throw error;
      }
      return evaluateByLibrary(parsed, text, message, root);
    },
  };
}

/**
 * A JSONata expression about one message. Its root is the decoded payload (`temperature > 80`). The variables are
 * `$topic`, `$time` (ms since 1970), `$key` (text), `$headers` (by name; several headers with one name are an array),
 * `$source`, `$qos`, `$retain` and `$position`.
 */
export interface Expression {
  readonly text: string;
  /**
   * Whether the expression is one of the common forms, which are evaluated synchronously. The library evaluates others,
   * and returns promises.
   */
  readonly simple: boolean;
  /**
   * Names of the payload's top-level fields that the expression reads; a payload reduced to these fields gives the same
   * result. Undefined if the expression reads anything else.
   */
  readonly reads?: readonly string[];
  /**
   * Returns undefined if there is no result, such as for a missing field. Even a simple expression returns a promise if
   * the message contains values that only the library handles.
   * @throws AIOT_STREAM_EVALUATION (or rejects), and the errors of `decode`
   */
  evaluate(message: Message, decode: Decoder): unknown | Promise<unknown>;
}

/**
 * Fields allowed on a node of a simple form; other fields (grouping, ordering, tuples) would change the node's meaning.
 */
const known = new Set(
  'type value position lhs rhs steps expressions expression condition then else arguments procedure predicate'.split(
    ' ',
  ),
);

/** Compiles a node to a closure; undefined if it contains something that only the library handles. */
function compileNode(node: Node): Evaluate | undefined {
  try {
    return compiled(node);
  } catch (error) {
    if (error === bail) return undefined;
    throw error;
  }
}

function onlyKnown(node: object): void {
  for (const [name, value] of Object.entries(node)) if (value !== undefined && !known.has(name)) giveUp();
}

function compiled(node: Node): Evaluate {
  onlyKnown(node);
  const evaluate = compilers[node.type]?.(node) ?? giveUp();
  return (node.predicate ?? []).reduce((whole, { expr }) => item(whole, indexOf(expr)), evaluate);
}

/** The value of `$name` for a message, by name. */
export const variables: Record<string, (message: Message) => unknown> = {
  topic: ({ topic }) => topic,
  time: ({ time }) => time,
  key: ({ key }) => (key === undefined ? undefined : textOrBase64(key)),
  headers: ({ headers }) => headersOf(headers),
  source: ({ source }) => source,
  qos: ({ qos }) => qos,
  retain: ({ retain }) => retain,
  position: ({ position }) => position,
};

const compilers: Record<string, (node: Node) => Evaluate> = {
  string: constant,
  number: constant,
  value: constant,
  path,
  variable,
  binary,
  unary,
  condition,
  block,
  function: call,
};

function constant({ value }: Node): Evaluate {
  return () => value;
}

function variable({ value }: Node): Evaluate {
  if (value === '') return (input) => input;
  if (value === '$') return (_input, scope) => scope.root;
  const read = typeof value === 'string' && Object.hasOwn(variables, value) ? variables[value]! : giveUp();
  return (_input, { message }) => read(message);
}

/**
 * Compiles a path. A step into an array applies to each item and follows special rules, so the library evaluates it.
 */
function path({ steps = [] }: Node): Evaluate {
  const [first, ...rest] = steps.map((step, index) => pathStep(step as Node, index));
  if (!first) return giveUp();
  if (rest.length === 0) return first;
  return (input, scope) => {
    let value = first(input, scope);
    for (const step of rest) {
      if (value === undefined) return undefined;
      if (Array.isArray(value)) throw bail;
      value = step(value, scope);
    }
    return value;
  };
}

function pathStep(step: Node, index: number): Evaluate {
  const { stages = [], ...plain } = step as Omit<Node, 'stages'> & { stages?: Node['predicate'] };
  onlyKnown(plain);
  const evaluate =
    plain.type === 'name' ? name(String(plain.value)) : index === 0 ? compiled(plain) : giveUp();
  return stages.reduce(
    (whole, { type, expr }) => (type === 'filter' ? item(whole, indexOf(expr)) : giveUp()),
    evaluate,
  );
}

function name(wanted: string): Evaluate {
  return (input) => {
    if (typeof input !== 'object' || input === null) return undefined;
    return Object.hasOwn(input, wanted) ? (input as Record<string, unknown>)[wanted] : undefined;
  };
}

/**
 * The index in a predicate such as `[2]` or `[-1]`. Any other predicate is a condition on each item, and is left to the
 * library.
 */
function indexOf(expr: Node): number {
  return expr.type === 'number' && typeof expr.value === 'number' ? Math.floor(expr.value) : giveUp();
}

function item(whole: Evaluate, index: number): Evaluate {
  return (input, scope) => {
    const value = whole(input, scope);
    if (!Array.isArray(value)) return index === 0 || index === -1 ? value : undefined;
    return value.at(index);
  };
}

function binary({ value: operator, lhs, rhs }: Node): Evaluate {
  const left = compiled(lhs as Node);
  const right = compiled(rhs!);
  if (operator === 'and') return (input, scope) => truth(left(input, scope)) && truth(right(input, scope));
  if (operator === 'or') return (input, scope) => truth(left(input, scope)) || truth(right(input, scope));
  const operate = Object.hasOwn(operators, String(operator)) ? operators[String(operator)]! : giveUp();
  return (input, scope) => operate(left(input, scope), right(input, scope));
}

function unary(node: Node): Evaluate {
  if (node.value === '{') return object(node.lhs as [Node, Node][]);
  if (node.value === '[') return array(node.expressions as Node[]);
  const negated = compiled(node.expression!);
  return (input, scope) => {
    const value = negated(input, scope);
    if (value === undefined) return undefined;
    if (!isNumber(value)) throw bail;
    return -value;
  };
}

function array(expressions: Node[]): Evaluate {
  const items = expressions.map((node) => ({ evaluate: compiled(node), whole: node.value === '[' }));
  return (input, scope) => {
    const result: unknown[] = [];
    for (const { evaluate, whole } of items) {
      const value = evaluate(input, scope);
      if (value === undefined) continue;
      // An array from the message is flattened; an array literal is added as one item.
      if (Array.isArray(value) && !whole) for (const each of value) result.push(each);
      else result.push(value);
    }
    return result;
  };
}

function object(pairs: [Node, Node][]): Evaluate {
  const names = pairs.map(([key]) => (key.type === 'string' ? String(key.value) : giveUp()));
  // Names that only the library handles. The library rejects the first two, and the third is special in JavaScript.
  const refused = ['_jsonata_lambda', '_jsonata_function', '__proto__'];
  if (new Set([...names, ...refused]).size < names.length + refused.length) giveUp();
  const values = pairs.map(([, value]) => compiled(value));
  return (input, scope) => {
    const result: Record<string, unknown> = {};
    for (let index = 0; index < values.length; index++) {
      const value = values[index]!(input, scope);
      if (value !== undefined) result[names[index]!] = value;
    }
    return result;
  };
}

function condition(node: Node): Evaluate {
  const asked = compiled(node.condition!);
  const then = compiled(node.then!);
  const otherwise = node.else ? compiled(node.else) : () => undefined;
  return (input, scope) => (truth(asked(input, scope)) ? then(input, scope) : otherwise(input, scope));
}

/** Compiles an expression in parentheses. Several expressions in parentheses may define variables, so they are left to the library. */
function block({ expressions = [] }: Node): Evaluate {
  return expressions.length === 1 ? compiled(expressions[0] as Node) : giveUp();
}

function call({ procedure, arguments: given = [] }: Node): Evaluate {
  const { type, value: named } = (procedure as Node | undefined) ?? giveUp();
  const own =
    type === 'variable' && Object.hasOwn(functions, String(named)) ? functions[String(named)] : undefined;
  if (!own || given.length < own.least || given.length > own.most) return giveUp();
  const [first, second] = given.map((node) => compiled(node as Node));
  if (!first) return (_input, scope) => own.call(scope);
  if (!second) return (input, scope) => own.call(scope, first(input, scope));
  return (input, scope) => own.call(scope, first(input, scope), second(input, scope));
}

function headersOf(headers: readonly Header[] = []): Record<string, unknown> {
  const named: Record<string, unknown> = Object.create(null);
  for (const [name, value] of headers) {
    const text = typeof value === 'string' ? value : textOrBase64(value);
    const known = named[name];
    named[name] = known === undefined ? text : Array.isArray(known) ? [...known, text] : [known, text];
  }
  return { ...named };
}

/** Loads the library when the first expression is compiled. The load is synchronous, so that compiling is synchronous too. */
function library(): typeof jsonata {
  return createRequire(import.meta.url)('jsonata') as typeof jsonata;
}

/** Time limits for one search, and for all searches of the process within a period, ms. */
const searchMs = 100;
const searchesMs = 500;
const searchPeriodMs = 5000;

/**
 * A regular expression with a time limit for searches. For some patterns, the time doubles with each character, and a running search
 * cannot be interrupted. The library calls `exec` as it would for a RegExp.
 */
export class BoundedRegExp {
  private static periodEnds = 0;
  private static leftMs = searchesMs;
  private static searchIn: ((pattern: RegExp, text: string, timeout: number) => unknown) | undefined;
  private readonly isCheap: boolean;

  constructor(private readonly pattern: RegExp) {
    this.isCheap = isCheap(pattern);
  }

  set lastIndex(value: number) {
    this.pattern.lastIndex = value;
  }

  get lastIndex(): number {
    return this.pattern.lastIndex;
  }

  /** @throws Error if the search takes too long */
  exec(text: string): RegExpExecArray | null {
    if (this.isCheap && text.length <= shortText) return this.pattern.exec(text);
    const started = Date.now();
    if (started >= BoundedRegExp.periodEnds || started < BoundedRegExp.periodEnds - searchPeriodMs) {
      BoundedRegExp.periodEnds = started + searchPeriodMs;
      BoundedRegExp.leftMs = searchesMs;
    }
    const timeout = Math.min(searchMs, Math.ceil(BoundedRegExp.leftMs));
    if (timeout <= 0) throw new Error('its regular expressions have taken too long');
    BoundedRegExp.searchIn ??= searcher();
    const began = performance.now();
    try {
      return BoundedRegExp.searchIn(this.pattern, text, timeout) as RegExpExecArray | null;
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
      throw new Error(`its regular expression takes more than ${timeout} ms`);
    } finally {
      BoundedRegExp.leftMs -= performance.now() - began;
    }
  }
}

function searcher() {
  const place = createContext({ pattern: /./, text: '' });
  const script = new Script('pattern.exec(text)');
  return (pattern: RegExp, text: string, timeout: number): unknown => {
    Object.assign(place, { pattern, text });
    try {
      return script.runInContext(place, { timeout });
    } finally {
      Object.assign(place, { pattern: /./, text: '' });
    }
  };
}

/** @throws AIOT_STREAM_EXPRESSION with the position in the text */
export function parse(text: string): jsonata.Expression {
  try {
    const expression = library()(text, { RegexEngine: BoundedRegExp as unknown as RegExpConstructor });
    limitSteps(expression);
    return expression;
  } catch (error) {
    const { message, position } = error as { message?: string; position?: number };
    const place = position === undefined ? '' : ` (at character ${position})`;
    const next = operatorAdvice(text);
    throw new AiotError('AIOT_STREAM_EXPRESSION', `${text}: ${message ?? 'not valid JSONata'}${place}`, {
      ...(next ? { next } : {}),
      cause: error,
    });
  }
}

/** JSONata's equivalents of the operators that C, Python and JavaScript share. */
const operatorsElsewhere: Record<string, string> = {
  '==': '=',
  '===': '=',
  '!==': '!=',
  '&&': 'and',
  '||': 'or',
};

/** Suggests JSONata's operators if an invalid expression contains those of another language; undefined otherwise. */
function operatorAdvice(text: string): string | undefined {
  const withoutStrings = text.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, '');
  const found = [...new Set(withoutStrings.match(/!==|={2,3}|&&|\|\|/g))];
  if (found.length === 0) return undefined;
  const pairs = found.map((operator) => `"${operatorsElsewhere[operator]}" instead of "${operator}"`);
  return `In JSONata, write ${pairs.join(' and ')}, such as --where 'temperature > 80 and state = "on"'.`;
}

/** Evaluates any expression with the library. @throws AIOT_STREAM_EVALUATION */
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
    // Copying an array removes the library's internal marks on collected sequences.
    return Array.isArray(result) ? Array.from(result) : result;
  } catch (error) {
    const { message: reason } = error as { message?: string };
    throw new AiotError('AIOT_STREAM_EVALUATION', `${text}: ${reason ?? String(error)}`, { cause: error });
  }
}

/**
 * Names of the root fields that an expression reads. Undefined if it contains anything but comparisons, arithmetic and
 * `and`/`or` of fields and constants. Call only for nodes that compileNode can compile.
 */
function fieldsRead(node: Node): readonly string[] | undefined {
  const names = new Set<string>();
  return collect(node, names) ? [...names] : undefined;
}

function collect(node: Node, names: Set<string>): boolean {
  if (node.predicate) return false;
  switch (node.type) {
    case 'string':
    case 'number':
    case 'value':
      return true;
    case 'binary':
      return collect(node.lhs as Node, names) && collect(node.rhs!, names);
    case 'block':
      return node.expressions?.length === 1 && collect(node.expressions[0] as Node, names);
    case 'path': {
      const [step, ...more] = node.steps ?? [];
      if (!step || more.length > 0 || 'stages' in step) return false;
      if (step.type !== 'name') return collect(step as Node, names);
      names.add(String((step as Node).value));
      return true;
    }
    default:
      return false;
  }
}

/**
 * Comparisons of a payload's field with a text, such as `label = "walking"`. Only those joined by `and` or `or` are included.
 * @throws AIOT_STREAM_EXPRESSION
 */
export function comparedTexts(text: string): readonly { path: readonly string[]; text: string }[] {
  const found: { path: string[]; text: string }[] = [];
  const visit = (node: Node): void => {
    if (node.type === 'block') {
      for (const each of node.expressions ?? []) visit(each as Node);
      return;
    }
    if (node.type !== 'binary') return;
    const sides = [node.lhs as Node, node.rhs!];
    if (node.value === 'and' || node.value === 'or') sides.forEach(visit);
    if (node.value !== '=') return;
    const field = sides.find(({ type }) => type === 'path');
    const literal = sides.find(({ type }) => type === 'string');
    const steps = field?.steps ?? [];
    if (literal && steps.length > 0 && steps.every((step) => step.type === 'name' && !('stages' in step)))
      found.push({ path: steps.map(({ value }) => String(value)), text: String(literal.value) });
  };
  visit(parse(text).ast() as Node);
  return found;
}

/**
 * Paths of the payload's fields that an expression reads from the root, such as `[['temperature'], ['motor',
 * 'current']]`. Fields read in other contexts, such as conditions on an array's items, are not included.
 * @throws AIOT_STREAM_EXPRESSION
 */
export function fieldPaths(text: string): readonly (readonly string[])[] {
  const paths: string[][] = [];
  const visit = (node: Node | undefined): void => {
    switch (node?.type) {
      case 'binary':
        visit(node.lhs as Node);
        visit(node.rhs);
        return;
      case 'unary':
        if (node.value === '{') for (const pair of node.lhs as [Node, Node][]) pair.forEach(visit);
        else
          [...(node.expressions ?? []), node.expression].forEach((each) => {
            visit(each as Node);
          });
        return;
      case 'condition':
        [node.condition, node.then, node.else].forEach(visit);
        return;
      case 'block':
        for (const each of node.expressions ?? []) visit(each as Node);
        return;
      case 'function':
        for (const each of node.arguments ?? []) visit(each as Node);
        return;
      case 'path': {
        const steps = node.steps ?? [];
        const other = steps.findIndex((step) => step.type !== 'name');
        if (other === 0) visit(steps[0] as Node);
        else paths.push(steps.slice(0, other < 0 ? undefined : other).map(({ value }) => String(value)));
      }
    }
  };
  visit(parse(text).ast() as Node);
  return paths;
}
