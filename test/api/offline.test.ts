import { describe, expect, it } from 'vitest';
import { offlineDevices } from '../../src/lib/api/rollouts/offline.js';
import { type Rollout, rolloutPolicySchema } from '../../src/lib/api/rollouts/schema.js';

const opened = Date.UTC(2026, 10, 21, 8);

function rollout(more: Partial<Rollout> = {}): Rollout {
  const wave = { state: 'open', devices: 2, pending: 1, offered: 1, opened };
  return {
    ...{ id: 'ro_1', state: 'running', releases: [{ kind: 'model', name: 'pump', version: 1, sequence: 1 }] },
    ...{ policy: rolloutPolicySchema.parse({}), waves: [wave, { ...wave, state: 'waiting', offered: 0 }] },
    ...more,
  } as unknown as Rollout;
}

/** A platform with these devices: the time when they were last seen, and their state and wave in the rollout. */
function client(
  devices: Record<string, { lastSeen: number | null; state?: string; wave?: number; offered?: number }>,
) {
  const all = Object.entries(devices).map(([name, device]) => ({ name, ...device }));
  const asked: string[] = [];
  return {
    asked,
    devices: {
      list: async (selector: string) => {
        asked.push(selector);
        return all;
      },
    },
    rollouts: {
      devices: async (_id: string, { state }: { state: string }) =>
        all
          .filter((device) => device.state === state)
          .map(({ name, wave, offered }) => ({ name, wave, times: { offered }, updated: opened })),
    },
  };
}
const find = (of: ReturnType<typeof client>, one: Rollout) =>
  offlineDevices(of as unknown as Parameters<typeof offlineDevices>[0], one);

describe('the offline devices that a rollout waits for', () => {
  it('are those that have not started; some of them have never connected', async () => {
    const platform = client({
      'pump-2': { lastSeen: null, state: 'offered', wave: 0, offered: opened + 1000 },
      'pump-1': { lastSeen: opened, state: 'pending', wave: 1 },
      'pump-3': { lastSeen: opened, state: 'committed', wave: 0 },
      'pump-4': { lastSeen: null },
    });
    expect(await find(platform, rollout())).toEqual({
      ...{ names: ['pump-1', 'pump-2'], never: ['pump-2'], of: 4, wave: 0 },
      until: opened + 1000 + rollout().policy.deadlineMs,
    });
    expect(platform.asked).toEqual(['online=false']);
  });

  it('wait without a limit before their first offer, and list no device that has connected as new', async () => {
    const platform = client({ 'pump-1': { lastSeen: opened, state: 'pending', wave: 1 } });
    expect(await find(platform, rollout())).toEqual({ names: ['pump-1'], of: 4, wave: 1, until: null });
  });

  it.each<[string, Partial<Rollout>, Parameters<typeof client>[0]]>([
    ['all devices are online', {}, {}],
    ['the offline devices are not in the rollout', {}, { 'pump-9': { lastSeen: null } }],
    ['the rollout has ended', { state: 'done' }, { 'pump-1': { lastSeen: null, state: 'pending', wave: 0 } }],
  ])('are none if %s', async (_, more, devices) => {
    expect(await find(client(devices), rollout(more))).toBeNull();
  });
});
