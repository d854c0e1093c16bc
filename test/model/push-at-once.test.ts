import { afterAll, beforeAll, expect, it } from 'vitest';
import { pushTiny } from '../support/bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

it('twelve concurrent model pushes all succeed, with distinct versions and sequence numbers', async () => {
  const pushes = Array.from({ length: 12 }, (_, seed) => pushTiny(own.client, own.key, { seed }));
  const done = await Promise.all(pushes);
  const numbers = Array.from({ length: 12 }, (_, i) => i + 1);
  expect(done.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual(numbers);
  expect(done.map(({ sequence }) => sequence).toSorted((a, b) => a - b)).toEqual(numbers);
});
