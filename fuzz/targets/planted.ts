import { collectGarbage } from '../../src/lib/core/process.js';
import type { Target } from '../types.js';

/** Targets with one planted fault each, which prove that the fuzzer finds faults. They run only if requested by name. */
export const planted: readonly Target[] = [
  {
    name: 'planted/error',
    seeds: () => ['header', 'here'],
    run: (input) => {
      if (input.length > 12) throw new TypeError('no reader says this');
    },
  },
  {
    name: 'planted/hang',
    seeds: () => ['a'],
    run: (input) => {
      while (input.length > 3) input[0] = 0;
    },
  },
  {
    name: 'planted/slow',
    seeds: () => ['a'],
    timeMs: 50,
    run: (input) => {
      const end = performance.now() + (input.length > 3 ? 80 : 0);
      while (performance.now() < end) input[0] = 0;
    },
  },
  {
    name: 'planted/memory',
    seeds: () => ['abcd'],
    run: (input) => (input.length > 5 ? Buffer.alloc(100 * 1024 * 1024, input) : null),
  },
  {
    name: 'planted/peak',
    seeds: () => ['abcd'],
    peakMiB: 100,
    run: (input) => {
      if (input.length > 5) for (let n = 0; n < 3; n++) Buffer.alloc(150 * 1024 * 1024, input).fill(0);
      collectGarbage();
      collectGarbage();
    },
  },
  {
    name: 'planted/prototype',
    seeds: () => ['{"__proto__":{"x":1}}'],
    run: (input) => {
      const [key, value] = Object.entries(JSON.parse(`${input}`) as object)[0] ?? ['x', 1];
      const out: Record<string, unknown> = {};
      out[key] = value;
      return out;
    },
    throws: ['SyntaxError', 'TypeError'],
  },
];
