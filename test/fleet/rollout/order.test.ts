import { describe, expect, it } from 'vitest';
import type { Release } from '../../../src/lib/api/rollouts/schema.js';
import {
  inRolloutOrder,
  packOffline,
  splitIntoWaves,
  unpackOffline,
} from '../../../src/lib/fleet/rollout/waves.js';
import { fc, runs } from '../../support/property.js';

const release: Release = { kind: 'model', name: 'har', version: 2, sequence: 7 };
const names = Array.from({ length: 40 }, (_, i) => `pump-${i}`);
const nobody: ReadonlySet<string> = new Set();
const offline = new Set(names.filter((_, i) => i % 4 !== 0));

describe('the order of a rollout’s devices', () => {
  it('puts online devices first, so that a first wave of 10 % has only online ones', () => {
    const order = inRolloutOrder(names, [release], offline);
    const [first, second] = splitIntoWaves(order, ['10%', '25%']);
    expect(first).toHaveLength(4);
    expect([...first!, ...second!].filter((name) => offline.has(name))).toEqual([]);
    expect([...order].sort()).toEqual([...names].sort());
  });

  it('is otherwise pseudo-random, the same for any order of the names, and different for each release', () => {
    const order = inRolloutOrder(names, [release], nobody);
    expect(order).not.toEqual(names);
    expect(inRolloutOrder([...names].reverse(), [release], nobody)).toEqual(order);
    expect(inRolloutOrder(names, [{ ...release, version: 3 }], nobody)).not.toEqual(order);
    const both = inRolloutOrder(names, [release], offline);
    const part = (wanted: boolean) => (name: string) => offline.has(name) === wanted;
    expect(both).toEqual([...order.filter(part(false)), ...order.filter(part(true))]);
    expect(inRolloutOrder(names, [release], new Set(names))).toEqual(order);
  });

  it('takes one bit per device in a plan', () => {
    const device = fc.record({ name: fc.string(), away: fc.boolean() });
    fc.assert(
      fc.property(fc.uniqueArray(device, { selector: ({ name }) => name }), (devices) => {
        const all = devices.map(({ name }) => name);
        const away = new Set(devices.filter((each) => each.away).map(({ name }) => name));
        const packed = packOffline(all, away);
        expect(unpackOffline([...all].reverse(), packed)).toEqual(away);
        expect(Buffer.from(packed, 'base64')).toHaveLength(Math.ceil(all.length / 8));
      }),
      { numRuns: runs(200) },
    );
    expect(unpackOffline(names, '')).toEqual(nobody);
  });
});
