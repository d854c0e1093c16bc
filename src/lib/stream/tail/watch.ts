import { AiotError } from '../../core/index.js';
import { compileExpression } from '../expression/compile.js';
import type { Selector } from './select.js';
import type { Shown, TailOptions } from './types.js';

/** `expect` and `never`: a stream as a check. */
export interface Watch {
  /** As it was written. */
  text: string;
  never: boolean;
  /** After so many of them it is decided. */
  count: number;
  /** Of these, the ones for which it is true. */
  choose(batch: readonly Shown[]): Promise<readonly Shown[]>;
  /** The last one for which it was not. */
  readonly lastOther: Shown | undefined;
}

/** @throws AIOT_STREAM_EXPRESSION, AIOT_USAGE (flags that do not go together) */
export function createWatch(options: TailOptions, selector: Selector): Watch | undefined {
  const { expect, never, withinMs, count = 1 } = options;
  if (expect !== undefined && never !== undefined) {
    throw new AiotError('AIOT_USAGE', 'expected --expect or --never, got both');
  }
  if (withinMs !== undefined && expect === undefined) {
    throw new AiotError('AIOT_USAGE', '--within is the time for --expect', {
      next: 'Use --for to end after a time.',
    });
  }
  const text = expect ?? never;
  if (text === undefined) return undefined;
  const expression = compileExpression(text);
  let lastOther: Shown | undefined;
  return {
    text,
    never: never !== undefined,
    count: never === undefined ? count : 1,
    async choose(batch) {
      const chosen: Shown[] = [];
      for (const shown of batch) {
        const holds = selector.holds(expression, shown.message);
        if (holds === true || (holds !== false && (await holds))) chosen.push(shown);
        else lastOther = shown;
      }
      return chosen;
    },
    get lastOther() {
      return lastOther;
    },
  };
}
