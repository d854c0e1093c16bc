import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OfflineDevices } from '../../src/lib/api/rollouts/offline.js';
import { type Rollout, rolloutPolicySchema } from '../../src/lib/api/rollouts/schema.js';
import { offlineNote } from '../../src/lib/cli/live/rollout-news.js';
import { auditTable, eventText } from '../../src/lib/cli/render/platform.js';
import { rolloutStatusText, rolloutsTable, rolloutText } from '../../src/lib/cli/render/rollout.js';

const at = Date.UTC(2026, 10, 21, 8, 30);
const nothing = {
  ...{ pending: 0, offered: 0, updating: 0, shadowing: 0, recalled: 0, committed: 0, rolledBack: 0 },
  ...{ failed: 0, missed: 0, withdrawn: 0, restoring: 0, restored: 0, crashed: 0 },
};
const wave = (devices: number, more: Partial<Rollout['waves'][number]> = {}): Rollout['waves'][number] => ({
  ...{ state: 'open', devices, ...nothing, opened: at, ended: null, shadow: null, ...more },
});
const rollout = (more: Partial<Rollout>): Rollout => ({
  ...{ id: 'ro_01kaf3m0q8zj2x4v6b8d0f2h4j', state: 'running', reason: null, rollback: null, selector: 'all' },
  ...{ releases: [{ kind: 'model', name: 'pump', version: 3, sequence: 3 }], by: 'operator', approvals: [] },
  ...{ policy: rolloutPolicySchema.parse({}), created: at, ended: null, seconds: 1, waves: [wave(3)] },
  crashFree: null,
  ...more,
});

let columns: string | undefined;
beforeEach(() => {
  columns = process.env.COLUMNS;
  process.env.COLUMNS = '80';
});
afterEach(() => {
  if (columns === undefined) delete process.env.COLUMNS;
  else process.env.COLUMNS = columns;
});

describe('the list of rollouts', () => {
  it('shows the share of device-hours without a crash, and what the policy requires', () => {
    const text = (deviceHours: number, crashedHours: number) =>
      rolloutText(
        rollout({
          policy: rolloutPolicySchema.parse({ crashFree: { min: '99.5%', minHours: 200 } }),
          crashFree: {
            ...{
              deviceHours,
              crashedHours,
              share: deviceHours === 0 ? null : 1 - crashedHours / deviceHours,
            },
            causes: crashedHours > 0 ? [{ signature: '1a2b3c4d5e6f', reason: 'x', hours: 1 }] : [],
          },
        }),
      ).split('\n');
    expect(text(0, 0)).toContain('crash-free  0 of 200 device-hours needed');
    expect(text(300, 2)).toContain(
      'crash-free  99.33% of 300 device-hours; 2 with crashes, such as 1a2b3c4d5e6f',
    );
    expect(text(300, 2).join(' ').replaceAll(/ +/g, ' ')).toContain('99.5% of at least 200 device-hours');
    expect(rolloutText(rollout({}))).not.toContain('crash-free');
  });

  it('shows below a rollout why it failed, stopped or reached only some of its devices', () => {
    const failures = { code: 'AIOT_ROLLOUT_FAILURES', message: 'the limit is 1' };
    const lines = rolloutsTable([
      rollout({ state: 'failed', waves: [wave(2, { missed: 1 }), wave(1, { rolledBack: 1 })] }),
      rollout({ state: 'partly', waves: [wave(3, { committed: 1, failed: 2 })] }),
      rollout({ state: 'paused', reason: { code: 'AIOT_ROLLOUT_PAUSED', message: 'paused by user ann' } }),
      rollout({ state: 'rolledBack', reason: failures }),
      rollout({ state: 'running', waves: [wave(3, { failed: 1 })] }),
      rollout({ state: 'done', waves: [wave(3, { committed: 3 })] }),
    ]).split('\n');
    const row = (state: string, committed: number) =>
      `ro_01kaf3m0q8zj2x4v6b8d0f2h4j  pump@3   ${state.padEnd(11)}  ${committed} of 3     2026-11-21 08:30`;
    expect(lines).toEqual([
      'id                             release  state        committed  started (UTC)',
      row('failed', 0),
      '  1 offline until the deadline, 1 rolled back',
      row('partly', 1),
      '  2 failed',
      row('paused', 0),
      '  paused by user ann',
      row('rolled back', 0),
      '  the limit is 1',
      row('running', 0),
      row('done', 3),
    ]);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('wraps a long reason, and keeps it below its rollout if the row is a block', () => {
    const message =
      '12 of 40 devices of wave 1 failed; no failures are allowed in a wave of this size. '.repeat(2);
    const long = rollout({ state: 'paused', reason: { code: 'AIOT_ROLLOUT_FAILURES', message } });
    for (const width of [80, 40]) {
      process.env.COLUMNS = String(width);
      const lines = rolloutsTable([long, rollout({ state: 'done' })]).split('\n');
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
      const text = lines.join(' ').replaceAll(/ +/g, ' ');
      expect(text.indexOf(message.trim())).toBeGreaterThan(text.indexOf('paused'));
      expect(text.indexOf(message.trim())).toBeLessThan(text.indexOf('done'));
    }
  });
});

it('events and audit entries count waves from 1, as rollouts do', () => {
  process.env.COLUMNS = '200';
  const event = {
    ...{ id: 7, seq: 7, at, type: 'rollout.wave', subject: 'ro_1', who: 'platform' },
    ...{ data: { wave: 0, state: 'open', devices: 3 }, previous: '', hash: '' },
  };
  expect(stripVTControlCharacters(eventText(event))).toMatch(/by platform {2}wave=1 state=open devices=3$/);
  expect(auditTable([event])).toMatch(/ +ro_1 +wave=1 state=open devices=3$/);
  expect(event.data.wave).toBe(0);
});

it('a rollout says that its times are in UTC', () => {
  const status = { ...rollout({}), runs: [], saved: { byDelta: 0, fellBack: 0, bytes: 0 } };
  const text = rolloutStatusText(status, { devices: [], offline: null });
  expect(text).toMatch(/^started +2026-11-21 08:30 UTC by operator$/m);
  expect(text).toMatch(/^wave +state +devices +committed +updating +pending +failed /m);
});

it('a rollout shows how many devices crashed after the update, and which', () => {
  process.env.COLUMNS = '120';
  const status = {
    ...rollout({ waves: [wave(2, { committed: 2, crashed: 1 }), wave(8, { committed: 7, failed: 1 })] }),
    ...{ runs: [], saved: { byDelta: 0, fellBack: 0, bytes: 0 } },
  };
  const device = {
    ...{ name: 'pump-1', wave: 0, state: 'committed' as const, step: 'COMMITTED', error: null, offers: 1 },
    ...{ times: { committed: at, crashed: at + 1000 }, proof: null, shadow: null, updated: at },
  };
  const text = rolloutStatusText(status, { devices: [device], offline: null });
  expect(text).toMatch(/gates +per wave: at most 5% failed or crashed, at least 50% committed/);
  expect(text).toMatch(/wave .* not updated +crashed\n +1 +open .* 1\n +2 +open .* 0\n/);
  expect(text).toMatch(/pump-1 +committed, crashed +COMMITTED/);
  const none = rolloutStatusText({ ...status, waves: [wave(8)] }, { devices: [], offline: null });
  expect(none).not.toMatch(/not updated +crashed/);
});

describe('the note about offline devices', () => {
  const two: OfflineDevices = { names: ['pump-1', 'pump-2'], of: 9, wave: 0, until: at + 600_000 };
  const noteOf = (offline: Partial<OfflineDevices>, more: Partial<Rollout> = {}) =>
    offlineNote({ ...two, ...offline }, rollout({ waves: [wave(1), wave(8)], ...more }), at);
  const policy = (given: object) => ({ policy: rolloutPolicySchema.parse(given) });

  it.each<[string, string, string]>([
    [
      'an open wave',
      noteOf({}),
      '2 of 9 devices are offline (pump-1, pump-2); wave 1 waits until 08:40:00 UTC (--deadline 10m); to leave them out, use --selector online=true',
    ],
    [
      'a wave that is not open yet, and its own limit',
      noteOf(
        { names: ['a', 'b', 'c', 'd'], wave: 1, until: null },
        { ...policy({ offlineMs: 90_000 }), selector: 'site=lab or site=hall' },
      ),
      '4 of 9 devices are offline (a, b, c, …); wave 2 will wait for up to 90s (--offline-deadline); to leave them out, use --selector "online=true and (site=lab or site=hall)"',
    ],
    [
      'a device that has never connected',
      noteOf({ never: ['pump-2'] }),
      '2 of 9 devices are offline (pump-1, pump-2), 1 of which never connected (pump-2); wave 1 waits until 08:40:00 UTC (--deadline 10m); to leave them out, use --selector online=true',
    ],
    [
      'a wave that has passed, until another day',
      noteOf(
        { names: ['a'], until: at + 86_400_000 },
        {
          ...policy({ offlineMs: 86_400_000 }),
          waves: [wave(1, { state: 'passed' }), wave(8)],
          selector: 'a,b',
        },
      ),
      '1 of 9 devices is offline (a); the rollout waits until 2026-11-22 08:30 UTC (--offline-deadline 1d); to leave them out, use --selector "online=true and name in (a, b)"',
    ],
    [
      'a selector of online devices',
      noteOf({}, { selector: 'site=lab and online=true' }),
      '2 of 9 devices are offline (pump-1, pump-2); wave 1 waits until 08:40:00 UTC (--deadline 10m)',
    ],
    [
      'only offline devices',
      noteOf({ of: 2 }),
      '2 of 2 devices are offline (pump-1, pump-2); wave 1 waits until 08:40:00 UTC (--deadline 10m)',
    ],
    [
      'a command whose flag for the deadline has another name',
      offlineNote({ ...two, of: 2 }, rollout({ waves: [wave(2)] }), at, '--timeout'),
      '2 of 2 devices are offline (pump-1, pump-2); wave 1 waits until 08:40:00 UTC (--timeout 10m)',
    ],
  ])('reports how long the rollout waits for %s', (_, text, expected) => {
    expect(text).toBe(expected);
  });
});
