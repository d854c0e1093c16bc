import { describe, expect, it } from 'vitest';
import { sentEvents } from '../../src/lib/api/streams.js';

async function* pieces(piece: string, times: number) {
  for (let n = 0; n < times; n++) yield Buffer.from(piece);
}

describe('server-sent events', () => {
  it.each([
    ['one line that never ends', 'x'.repeat(64 * 1024)],
    ['lines of one event that never ends', `data: ${'x'.repeat(64 * 1024)}\n`],
  ])('are aborted at 4 MiB: %s', async (_, piece) => {
    const read = async () => {
      for await (const event of sentEvents(pieces(piece, 10_000))) return event;
    };
    await expect(read()).rejects.toMatchObject({ code: 'AIOT_PLATFORM_FAILED' });
  });

  it('are all read, even if they exceed 4 MiB together', async () => {
    let count = 0;
    for await (const { data } of sentEvents(pieces(`data: ${'x'.repeat(60 * 1024)}\ndata: y\n\n`, 200))) {
      expect(data?.length).toBe(60 * 1024 + 2);
      count++;
    }
    expect(count).toBe(200);
  });
});
