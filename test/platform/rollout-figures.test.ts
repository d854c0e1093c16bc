import { describe, expect, it } from 'vitest';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import type { RolloutState } from '../../src/lib/fleet/rollout/types.js';
import { DeviceMemory } from '../../src/lib/platform/devices/memory.js';
import type { DeviceRecord } from '../../src/lib/platform/devices/records.js';
import { RolloutFigures } from '../../src/lib/platform/releases/rollouts.js';

import { fc } from '../support/property.js';

const members = ['a', 'b', 'c', 'd'];
const strangers = ['x', 'y'];

function rollout(revision: number): RolloutState {
  const devices = new Map(members.map((name) => [name, { name }]));
  return {
    head: { id: 'ro_1', revision, releases: [{ kind: 'model' }] },
    devices,
  } as unknown as RolloutState;
}

function reported(version: number | null): Reported {
  return { model: version === null ? null : { name: 'har', version } } as Reported;
}

function device(name: string, version: number | null): DeviceRecord {
  const certificates = { fingerprint: `f-${name}`, nextFingerprint: null };
  return { name, ...certificates, reported: reported(version) } as DeviceRecord;
}

const change = fc.record({
  name: fc.constantFrom(...members, ...strangers),
  what: fc.constantFrom('reports', 'goes', 'comes', 'is asked for'),
  version: fc.option(fc.integer({ min: 1, max: 3 })),
});

describe('the versions running on the devices of a rollout', () => {
  it('match a full count, whatever devices report and whichever join or leave', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 40 }), async (changes) => {
        const memory = new DeviceMemory();
        for (const name of [...members, ...strangers]) memory.remember(device(name, 1));
        const figures = new RolloutFigures(
          {
            find: (name) => memory.find(name) ?? null,
            onReported: (listener) => memory.onReported(listener),
          },
          async () => null,
        );
        let revision = 1;
        for (const { name, what, version } of changes) {
          const known = memory.find(name);
          if (what === 'reports' && known) memory.assign(known, { reported: reported(version) });
          else if (what === 'goes' && known) memory.forget(known);
          else if (what === 'comes') memory.remember(device(name, version));
          else if (what === 'is asked for') await figures.of(rollout(revision++).head, rollout(revision));
        }
        const { runs } = await figures.of(rollout(revision).head, rollout(revision));
        const expected: Record<string, number> = {};
        for (const name of members) {
          const model = memory.find(name)?.reported?.model;
          const key = `${model?.name ?? null} ${model?.version ?? null}`;
          expected[key] = (expected[key] ?? 0) + 1;
        }
        const told = Object.fromEntries(runs.map((each) => [`${each.name} ${each.version}`, each.devices]));
        expect(told).toEqual(expected);
      }),
    );
  });

  it('are read again once an ended rollout has continued', async () => {
    const memory = new DeviceMemory();
    for (const name of members) memory.remember(device(name, 2));
    let reads = 0;
    const figures = new RolloutFigures(
      { find: (name) => memory.find(name) ?? null, onReported: (listener) => memory.onReported(listener) },
      async () => {
        reads++;
        return rollout(reads);
      },
    );
    for (const revision of [1, 1, 2, 2]) {
      const { runs } = await figures.of(rollout(revision).head, undefined);
      expect(runs).toEqual([{ name: 'har', version: 2, devices: 4 }]);
    }
    expect(reads).toBe(2);
  });
});
