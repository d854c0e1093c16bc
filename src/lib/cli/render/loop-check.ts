import type { CheckedLoop } from '../../loop/operate/index.js';
import { dim, green, red, yellow } from './style.js';

const marks = { ok: () => green('✓'), warning: () => yellow('!'), failed: () => red('✗') };

/** A line each, and below it what to do. */
export function checkedLoopText({ checks }: CheckedLoop): string {
  const width = Math.max(...checks.map(({ check }) => check.length));
  return checks
    .map(({ check, state, detail, next }) => {
      const advice = next === null ? '' : `\n  ${' '.repeat(width)}  ${dim('Try:')} ${next}`;
      return `${marks[state]()} ${check.padEnd(width)}  ${detail}${advice}`;
    })
    .join('\n');
}
