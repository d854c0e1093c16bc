import { describe, expect, it } from 'vitest';
import { problemsOf } from '../../src/lib/core/issues.js';
import { headSchema, keysOf } from '../../src/lib/platform/backup/format.js';

const headWith = (scrypt: object) => ({
  ...{ format: 'aiot-backup/1', aiot: '1.0.0', schema: 1, created: 1 },
  scrypt: { salt: 'c2FsdA==', N: 2 ** 17, r: 8, p: 1, ...scrypt },
});
const head = (scrypt: object) => headSchema.safeParse(headWith(scrypt));

describe('the key derivation parameters of a backup', () => {
  it.each([
    ['N is not a power of two', { N: 3 }, 'scrypt: expected a power of two as N'],
    [
      'more than 1 GiB of memory',
      { N: 2 ** 20, r: 32 },
      'scrypt: expected scrypt parameters that need at most 1 GiB',
    ],
    ['N above the limit', { N: 2 ** 21 }, 'scrypt.N: expected at most 1048576; got 2097152'],
  ])('are rejected: %s', (_, scrypt, message) => {
    const { error } = head(scrypt);
    const problems = error ? problemsOf(error, { value: headWith(scrypt) }) : [];
    expect(
      problems.map(({ path, message }) => `${path.join('.')}: ${message.split('; got {')[0]}`),
    ).toContain(message);
  });

  it.each([[{ N: 2, r: 1, p: 1 }], [{ N: 2, r: 1, p: 16 }], [{ N: 2 ** 10, r: 32, p: 2 }]])(
    'may be as weak as %o',
    async (scrypt) => {
      const read = head(scrypt);
      expect(read.success).toBe(true);
      const { seal, mac } = await keysOf('a passphrase', read.data!.scrypt);
      expect([seal.length, mac.length]).toEqual([32, 32]);
    },
  );
});
