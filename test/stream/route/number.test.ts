import { describe, expect, it } from 'vitest';
import { openNumber } from '../../../src/lib/stream/route/processors.js';

const message = { topic: 't', payload: Buffer.from('x'), time: 1, source: 's' };

describe('through: number', () => {
  it.each([
    [{}, ['1', '2', '3']],
    [{ from: 100 }, ['100', '101', '102']],
  ])('numbers messages in order with %o', async (settings, expected) => {
    const { process } = await openNumber(settings, {});
    const numbers: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const [made] = await process({
        ...message,
        headers: [
          ['a', 'b'],
          ['number', 'old'],
        ],
      });
      expect(made).toMatchObject({ topic: 't', payload: message.payload });
      expect(made?.headers?.[0]).toEqual(['a', 'b']);
      numbers.push(...(made?.headers ?? []).filter(([name]) => name === 'number').map(([, value]) => value));
    }
    expect(numbers).toEqual(expected);
  });

  it.each([[{ from: 'one' }], [{ from: 1.5 }], [{ start: 1 }]])('rejects %o', async (settings) => {
    await expect(openNumber(settings, {})).rejects.toMatchObject({ code: 'AIOT_ROUTE_INVALID' });
  });
});
