import type jsonata from 'jsonata';
import type { Message } from '../message.js';

/** What an expression is evaluated in. */
export interface Scope {
  message: Message;
  /** The decoded payload. */
  root: unknown;
  /** ms since 1970, the same throughout one evaluation, as in the library. */
  now?: number;
}

/** A compiled part of an expression: its value, where the context (`$`) is `input`. @throws `bail` */
export type Evaluate = (input: unknown, scope: Scope) => unknown;

/** A node of the library's syntax tree, with those fields of it that its types do not tell. */
export type Node = Omit<jsonata.ExprNode, 'type' | 'lhs' | 'rhs' | 'value'> & {
  type: string;
  value?: unknown;
  lhs?: unknown;
  rhs?: Node;
  expression?: Node;
  condition?: Node;
  then?: Node;
  else?: Node;
  predicate?: { type: string; expr: Node; position?: number }[];
};

/** Thrown where a value is of a kind that only the library treats (or refuses): the message is then evaluated by it. */
export const bail = Symbol('left to the library');

export function isNumber(value: unknown): value is number {
  // The library refuses what is not finite.
  return typeof value === 'number' && (Number.isFinite(value) || giveUp());
}

export function giveUp(): never {
  throw bail;
}
