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

it('reads an HDF5 file with groups in themselves to an end, and prints none of its names', async () => {
  const bytes = readFileSync(join(root, 'test/golden/models/loop.h5'));
  await expect(readKerasH5(bytes)).rejects.toMatchObject({
    code: 'AIOT_FILE_MALFORMED',
    message: 'its groups lie more than 16 deep in one another',
  });
  expect(said).toEqual([]);
});

it('looks at no more of an HDF5 file than a network has', () => {
  const group = (arrays: number) => ({
    keys: Array.from({ length: arrays }, (_, n) => `${n}`),
    get: () => ({ shape: [], value: [] }),
  });
  const found = (arrays: number) => [...datasetsIn(group(arrays) as never)].length;
  expect(found(3000)).toBe(3000);
  expect(() => found(3001)).toThrow('there are more than 3000 groups and arrays in it');
});
