import type jsonata from 'jsonata';
import { thousands } from '../../core/figures.js';

// Limits on JSONata expressions, for the program and for the dashboard.

/**
 * Maximum number of steps in one evaluation, which take less than a second. Without a limit, endless recursion would block the process,
 * because the library never returns to the event loop.
 */
const mostSteps = 500_000;

/** Throws once an evaluation has taken too many steps. */
export function limitSteps(expression: jsonata.Expression): void {
  const taken = new WeakMap<object, number>();
  const entered = (_node: unknown, _input: unknown, { base }: { base: object }) => {
    const steps = (taken.get(base) ?? 0) + 1;
    if (steps > mostSteps) throw new Error(`it takes more than ${thousands(mostSteps)} steps`);
    taken.set(base, steps);
  };
  // The library calls this function before each step. Its types allow only texts as names.
  expression.assign(Symbol.for('jsonata.__evaluate_entry') as unknown as string, entered);
}

/** Up to this text length, a cheap pattern is searched without a time limit, because that takes less than a millisecond. */
export const shortText = 1000;

/**
 * Whether a pattern has at most one repetition, which follows no group, and alternatives in at most one group. For others, the time of a
 * search can double with each character, or with each group.
 */
export function isCheap({ source }: RegExp): boolean {
  const repetitions = source.match(/[*+?{]/g) ?? [];
  const groups = source.match(/\(/g) ?? [];
  return repetitions.length <= 1 && !/\)[*+?{]/.test(source) && (groups.length <= 1 || !source.includes('|'));
}
