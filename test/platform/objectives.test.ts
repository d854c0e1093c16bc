import { expect, it } from 'vitest';
import { Histogram } from '../../src/lib/core/prometheus.js';
import type { Devices } from '../../src/lib/platform/devices/devices.js';
import { Objectives } from '../../src/lib/platform/objectives.js';
import type { Store } from '../../src/lib/platform/store/database.js';

const minute = 60_000;

function scene() {
  const ingest = new Histogram();
  const online = new Set<string>();
  const known = [
    { name: 'a', state: 'active', lastSeen: 1 },
    { name: 'b', state: 'active', lastSeen: 1 },
    { name: 'never', state: 'active', lastSeen: null },
    { name: 'gone', state: 'revoked', lastSeen: 1 },
  ];
  const devices = {
    visit: async (look: (device: (typeof known)[number]) => void) => known.forEach(look),
    online: (name: string) => online.has(name),
  } as unknown as Devices;
  const rows: { state: string; count: number }[] = [];
  let reads = 0;
  const query = { select: () => query, where: () => query, groupBy: () => query, execute: async () => rows };
  const store = {
    selectFrom: () => {
      reads++;
      return query;
    },
  } as unknown as Store;
  let at = 0;
  const objectives = new Objectives({ store, devices, ingest, now: () => at });
  objectives.start()();
  return {
    ...{ ingest, online, rows },
    reads: () => reads,
    async pass(minutes: number) {
      for (let i = 0; i < minutes; i++) {
        at += minute;
        await objectives.sample();
      }
    },
    async shown(name: string) {
      const found = (await objectives.list()).find((one) => one.name === name);
      return found && [found.good, found.total, found.met];
    },
  };
}

it('counts messages stored within 250 ms in the last hour', async () => {
  const { ingest, pass, shown } = scene();
  expect(await shown('ingest')).toEqual([0, 0, null]);
  for (const seconds of [0.001, 0.25, 0.3, 5]) ingest.note(seconds);
  expect(await shown('ingest')).toEqual([2, 4, false]);
  await pass(59);
  expect(await shown('ingest')).toEqual([2, 4, false]);
  for (let i = 0; i < 200; i++) ingest.note(0.002);
  await pass(2);
  expect(await shown('ingest')).toEqual([200, 200, true]);
});

it('counts the devices that have connected before and may connect, once a minute', async () => {
  const { online, pass, shown } = scene();
  online.add('a').add('b').add('gone').add('never');
  expect(await shown('presence')).toEqual([0, 0, null]);
  await pass(1);
  expect(await shown('presence')).toEqual([2, 2, true]);
  online.delete('b');
  await pass(3);
  expect(await shown('presence')).toEqual([5, 8, false]);
  online.add('b');
  await pass(70);
  expect(await shown('presence')).toEqual([120, 120, true]);
});

it('counts the outcomes of updates at most once a minute', async () => {
  const { rows, pass, reads, shown } = scene();
  rows.push(
    { state: 'committed', count: 94 },
    { state: 'failed', count: 4 },
    { state: 'rolledBack', count: 2 },
  );
  expect(await shown('updates')).toEqual([94, 100, false]);
  rows.splice(1);
  expect(await shown('updates')).toEqual([94, 100, false]);
  expect(reads()).toBe(1);
  await pass(1);
  expect(await shown('updates')).toEqual([94, 94, true]);
});
