import { afterEach, describe, expect, it, vi } from 'vitest';
import { GatheredReads } from '../../src/lib/platform/access/tokens.js';

/** A table whose queries end when the test lets them. */
function slowTable(rows: Record<string, string>) {
  const queries: { keys: string[]; end: () => void; fail: (error: Error) => void }[] = [];
  const reads = new GatheredReads<string>(
    (keys) =>
      new Promise((resolve, reject) => {
        // As in a database, the query sees the rows of the moment at which it begins.
        const found = new Map(keys.flatMap((key) => (key in rows ? [[key, rows[key]!]] : [])));
        queries.push({ keys, end: () => resolve(found), fail: reject });
      }),
  );
  return { rows, queries, reads };
}

describe('reads of tokens', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('share one query while another runs', async () => {
    const { queries, reads } = slowTable({ a: 'of a', b: 'of b' });
    const all = ['a', 'b', 'a', 'unknown'].map((key) => reads.find(key));
    expect(queries.map(({ keys }) => keys)).toEqual([['a']]);
    queries[0]!.end();
    await all[0];
    await expect.poll(() => queries.length).toBe(2);
    expect(queries[1]!.keys).toEqual(['b', 'a', 'unknown']);
    queries[1]!.end();
    expect(await Promise.all(all)).toEqual(['of a', 'of b', 'of a', undefined]);
  });

  it('never return a row from before the request, so that a revocation applies at once', async () => {
    const { rows, queries, reads } = slowTable({ a: 'valid' });
    const before = reads.find('a');
    rows.a = 'revoked';
    const after = reads.find('a');
    queries[0]!.end();
    expect(await before).toBe('valid');
    await expect.poll(() => queries.length).toBe(2);
    queries[1]!.end();
    expect(await after).toBe('revoked');
  });

  it('report an error only to the requests of its query', async () => {
    const { queries, reads } = slowTable({ a: 'of a', b: 'of b' });
    const [first, second] = [reads.find('a'), reads.find('b')];
    queries[0]!.fail(new Error('unreachable'));
    await expect(first).rejects.toThrow('unreachable');
    await expect.poll(() => queries.length).toBe(2);
    queries[1]!.end();
    expect(await second).toBe('of b');
  });

  it('do not wait for a query that stalls', async () => {
    vi.useFakeTimers();
    const { queries, reads } = slowTable({ a: 'of a', b: 'of b' });
    const [stalled, other] = [reads.find('a'), reads.find('b')];
    await vi.advanceTimersByTimeAsync(99);
    expect(queries).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(queries.map(({ keys }) => keys)).toEqual([['a'], ['b']]);
    queries[1]!.end();
    expect(await other).toBe('of b');
    queries[0]!.end();
    expect(await stalled).toBe('of a');
    // The end of the stalled query starts nothing twice.
    expect(await vi.advanceTimersByTimeAsync(1000)).toBeDefined();
    expect(queries).toHaveLength(2);
  });

  it('ask for at most 500 keys at a time', async () => {
    const rows = Object.fromEntries(Array.from({ length: 1201 }, (_, i) => [`k${i}`, `r${i}`]));
    const { queries, reads } = slowTable(rows);
    const all = Promise.all(Object.keys(rows).map((key) => reads.find(key)));
    for (let at = 0; at < 4; at++) {
      await expect.poll(() => queries.length).toBe(at + 1);
      queries[at]!.end();
    }
    expect(await all).toEqual(Object.values(rows));
    expect(queries.map(({ keys }) => keys.length)).toEqual([1, 500, 500, 200]);
  });
});
