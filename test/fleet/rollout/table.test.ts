import { describe, expect, it } from 'vitest';
import { rolloutPolicySchema } from '../../../src/lib/api/rollouts/schema.js';
import { DeviceTable } from '../../../src/lib/fleet/rollout/table.js';
import type { RolloutDevice } from '../../../src/lib/fleet/rollout/types.js';
import { startRollout } from '../../../src/lib/fleet/rollout/waves.js';

const names = Array.from({ length: 1500 }, (_, i) => `d${i}`);
const { devices } = startRollout({
  ...{ id: 'ro_1', releases: [{ kind: 'model', name: 'har', version: 2, sequence: 7 }], rollback: null },
  ...{ selector: 'all', by: 'ann', created: 5, devices: names },
  policy: rolloutPolicySchema.parse({ waves: [10, '50%'] }),
});
const table = DeviceTable.of(devices);
const as = (name: string, change: Partial<RolloutDevice>) => ({ ...table.get(name)!, ...change });

describe('the devices of a rollout', () => {
  it('are found by name, in the order of their waves', () => {
    expect([...table.keys()]).toEqual(names);
    expect([...table].map(([name]) => name)).toEqual(names);
    expect([table.size, table.has('d1499'), table.has('x'), table.get('x')]).toEqual([
      1500,
      true,
      false,
      undefined,
    ]);
    expect(names.map((name) => table.get(name)!.name)).toEqual(names);
    for (const { devices } of table.blocks) {
      expect(devices.length).toBeLessThanOrEqual(256);
      expect(new Set(devices.map(({ wave }) => wave)).size).toBe(1);
    }
    expect([0, 1, 2].map((wave) => table.span(wave))).toEqual([
      [0, 1],
      [1, 4],
      [4, 7],
    ]);
    // One wave has no devices.
    const last = DeviceTable.from([as('d0', { wave: 2 })]);
    expect([0, 1, 2].map((wave) => last.span(wave))).toEqual([
      [0, 0],
      [0, 0],
      [0, 1],
    ]);
  });

  it('do not change in place, and share all unchanged blocks with the changed table', () => {
    const changed = [as('d3', { state: 'offered', offered: 9 }), as('d1400', { state: 'failed' })];
    const after = table.with([...changed, { ...changed[0]!, name: 'stranger' }]);
    expect(table.get('d3')!.state).toBe('pending');
    expect([after.get('d3'), after.get('d1400'), after.size]).toEqual([...changed, 1500]);
    const shared = after.blocks.filter((block, i) => block === table.blocks[i]);
    expect(shared.length).toBe(table.blocks.length - 2);
    expect(table.with([])).toBe(table);
    // The result equals a table built from the same devices at once.
    expect(after).toEqual(DeviceTable.from(after.values()));
  });

  it.each<[Partial<RolloutDevice>, object]>([
    [{ state: 'pending' }, { due: 0, asked: Infinity, offered: false, runs: false }],
    [
      { state: 'pending', retryAt: 70, offered: 3 },
      { due: 70, asked: Infinity, offered: false, runs: false },
    ],
    [
      { state: 'offered', offered: 30 },
      { due: Infinity, asked: 30, offered: true, runs: false },
    ],
    [
      { state: 'updating', offered: 30 },
      { due: Infinity, asked: 30, offered: false, runs: false },
    ],
    [
      { state: 'recalled', offered: 30 },
      { due: Infinity, asked: 30, offered: false, runs: false },
    ],
    [
      { state: 'restoring', offered: 30 },
      { due: Infinity, asked: 30, offered: false, runs: false },
    ],
    [
      { state: 'shadowing', offered: 30 },
      { due: 0, asked: Infinity, offered: false, runs: false },
    ],
    [
      { state: 'committed', offer: 1, offered: 30 },
      { due: Infinity, asked: Infinity, offered: false, runs: true },
    ],
    [{ state: 'committed' }, { due: Infinity, asked: Infinity, offered: false, runs: false }],
    [
      { state: 'failed', holds: true, offer: 1 },
      { due: Infinity, asked: Infinity, offered: false, runs: true },
    ],
  ])('are summarized by their block: %o', (change, told) => {
    expect(DeviceTable.from([as('d0', change)]).blocks).toMatchObject([told]);
  });
});
