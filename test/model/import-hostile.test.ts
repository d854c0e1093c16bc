import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { datasetsIn, readKerasH5 } from '../../src/lib/model/import/keras-files.js';
import { root } from '../support/cli.js';

const said: unknown[] = [];
const { warn } = console;
beforeEach(() => {
  said.length = 0;
  console.warn = (...words: unknown[]) => void said.push(words);
});
afterEach(() => {
  console.warn = warn;
});

it('the HDF5 reader stops if a file’s groups contain themselves, and prints no names', async () => {
  const bytes = readFileSync(join(root, 'test/golden/models/loop.h5'));
  await expect(readKerasH5(bytes)).rejects.toMatchObject({
    code: 'AIOT_FILE_MALFORMED',
    message: 'its groups are nested more than 16 deep',
  });
  expect(said).toEqual([]);
});

it('the HDF5 reader reads at most 3,000 groups and arrays', () => {
  const group = (arrays: number) => ({
    keys: Array.from({ length: arrays }, (_, n) => `${n}`),
    get: () => ({ shape: [], value: [] }),
  });
  const found = (arrays: number) => [...datasetsIn(group(arrays) as never)].length;
  expect(found(3000)).toBe(3000);
  expect(() => found(3001)).toThrow('it contains more than 3000 groups and arrays');
});
