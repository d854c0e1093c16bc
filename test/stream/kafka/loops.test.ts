import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { type NodeReading, readByNode } from '../../../src/lib/stream/kafka/source.js';

/** Two nodes with three partitions: `a` and `b` on node 1, `c` on node 2. Each response takes 10 ms. */
function reading(own: Partial<NodeReading<string>> = {}) {
  const under = new Map<string, number>();
  const seen = { fetches: {} as Record<string, number>, most: 0, states: [] as string[], mended: 0 };
  const stop = new AbortController();
  const options: NodeReading<string> = {
    places: ['a', 'b', 'c'],
    over: () => stop.signal.aborted,
    prepare: async () => {},
    nodeOf: (place) => (place === 'c' ? 2 : 1),
    async read(_, places, { over, answered }) {
      while (!over()) {
        for (const place of places) {
          seen.fetches[place] = (seen.fetches[place] ?? 0) + 1;
          under.set(place, (under.get(place) ?? 0) + 1);
          seen.most = Math.max(seen.most, under.get(place)!);
        }
        const asked = [...places];
        await delay(10);
        for (const place of asked) under.set(place, under.get(place)! - 1);
        answered();
      }
    },
    async mend() {
      seen.mended++;
      await delay(20);
    },
    onState: (state) => seen.states.push(state),
    ...own,
  };
  return { options, seen, stop };
}

it('a Kafka reader keeps one read loop per reachable broker, and resumes that of a broker that returns', async () => {
  let away = true;
  const { options, seen, stop } = reading();
  const { read } = options;
  options.read = async (nodeId, places, loop) => {
    if (nodeId === 1 && away) throw new Error('connection refused');
    await read(nodeId, places, loop);
  };
  const ended = readByNode(options);
  await expect.poll(() => seen.mended).toBeGreaterThan(3);
  await expect.poll(() => seen.fetches.c).toBeGreaterThan(5);
  expect(seen.states).toEqual(['disconnected']);
  away = false;
  await expect.poll(() => seen.fetches).toMatchObject({ a: expect.any(Number), b: expect.any(Number) });
  await expect.poll(() => seen.states).toEqual(['disconnected', 'connected']);
  await delay(100);
  expect(seen.states).toEqual(['disconnected', 'connected']);
  expect(seen.most).toBe(1);
  stop.abort();
  await ended;
});

it('a Kafka reader moves partitions to the loop of their new leader, and continues with the others', async () => {
  let moved = false;
  const { options, seen, stop } = reading({ nodeOf: (place) => (place === 'c' || moved ? 2 : 1) });
  const { read } = options;
  options.read = (nodeId, places, loop) =>
    nodeId === 1 ? Promise.reject(new Error('not the leader')) : read(nodeId, places, loop);
  options.mend = async () => {
    moved = true;
  };
  const ended = readByNode(options);
  await expect.poll(() => seen.fetches.a).toBeGreaterThan(1);
  stop.abort();
  await ended;
  expect(seen.most).toBe(1);
});

it('a Kafka reader ends every loop before failing with a permanent error', async () => {
  let reads = 0;
  const { options } = reading({
    mend: async ([error]) => {
      throw error;
    },
  });
  const { read } = options;
  options.read = async (nodeId, places, loop) => {
    if (nodeId === 1) throw new Error('not let in');
    reads++;
    await read(nodeId, places, loop);
    reads--;
  };
  await expect(readByNode(options)).rejects.toThrow('not let in');
  expect(reads).toBe(0);
});
