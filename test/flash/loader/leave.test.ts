import { afterEach, describe, expect, it } from 'vitest';
import { startsProgram } from '../../../src/lib/flash/loader/loader.js';
import type { AfterMode, LoaderOptions } from '../../../src/lib/flash/loader/types.js';
import { board, endLoaders } from './board.js';

afterEach(endLoaders);

describe('leaving a chip', () => {
  it.each<[NonNullable<LoaderOptions['after']>, 'esp32' | 'esp32c3', boolean]>([
    ['hard-reset', 'esp32', true],
    ['hard-reset', 'esp32c3', false],
    ['soft-reset', 'esp32', true],
    ['soft-reset', 'esp32', false],
    ['soft-reset', 'esp32c3', true],
    ['no-reset', 'esp32', true],
    ['watchdog-reset', 'esp32', true],
  ])(
    'reports whether the program runs after %s on an %s (stub: %s)',
    async (after: AfterMode, name, stub) => {
      const { chip, loader } = await board({ chip: name }, { stub, after });
      const told = startsProgram(loader, after);
      await loader.end();
      await chip.settled();
      expect(told).toBe(chip.state !== 'rom' && chip.state !== 'stub');
    },
  );
});
