import { functions } from './functions.js';
import { bail, type Evaluate, giveUp, isNumber, type Node } from './node.js';
import { operators, truth } from './operators.js';
import { variables } from './variables.js';

/** Fields that a node may have to be one of the simple forms; any other (grouping, ordering, tuples) changes what it means. */
const known = new Set(
  'type value position lhs rhs steps expressions expression condition then else arguments procedure predicate'.split(
    ' ',
  ),
);

/** The node as a closure, or undefined when there is something in it that only the library does. */
export function compileNode(node: Node): Evaluate | undefined {
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

/** Steps from value to value. A step of an array is one of each of its items, with rules of its own: the library's. */
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

/** Only `[2]` and `[-1]`: anything else chooses by what it is for each item. */
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
      // An array that comes from the message is joined in; one that is written as such stays one.
      if (Array.isArray(value) && !whole) for (const each of value) result.push(each);
      else result.push(value);
    }
    return result;
  };
}

function object(pairs: [Node, Node][]): Evaluate {
  const names = pairs.map(([key]) => (key.type === 'string' ? String(key.value) : giveUp()));
  // Twice the same name is an error, and these two are not let in by the library; the third is no ordinary name in JavaScript.
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

/** Parentheses. With several expressions in them there are variables, too. */
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
