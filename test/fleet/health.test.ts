import { describe, expect, it } from 'vitest';
import { causeCodes } from '../../src/lib/api/contract/attention.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { causesOf, type HealthFacts, healthOf, silentAfterMs } from '../../src/lib/fleet/health.js';

const now = Date.UTC(2026, 4, 10, 3, 0);
const minute = 60_000;
const day = 86_400_000;

const report: Reported = {
  ...{ t: now - minute, type: 'virtual', state: 'IDLE', rollout: null, model: null, floor: 0 },
  ...{ download: null, golden: null, error: null },
};

const well: HealthFacts = {
  ...{ name: 'pump-7', state: 'active', tags: {}, created: now - 100 * day, expires: now + 300 * day },
  ...{ online: true, lastSeen: now - minute, watchedSince: now - 50 * day, wasSilent: false },
  ...{ reported: report, connections: [now - 20 * minute], errorSince: null, rejected: null },
  bootSince: null,
};

const error = { code: 'AIOT_GOLDEN_FAILED', message: '1 of 3 golden vectors differ' };
/** A device that was last seen this long ago. */
const absent = (ms: number) => ({
  ...{ online: false, lastSeen: now - ms, reported: { ...report, t: now - ms } },
});
const vitals = (values: NonNullable<Reported['vitals']>) => ({ reported: { ...report, vitals: values } });
const connections = Array.from({ length: 7 }, (_, i) => now - (7 - i) * minute);

/** What is wrong, the expected causes, and words that an operator needs in the message or in the next step. */
const cases: [string, Partial<HealthFacts>, string[], RegExp][] = [
  [
    'an expired certificate',
    { expires: now - day },
    ['failing certificate-expired'],
    /2026-05-09.*device rotate pump-7/,
  ],
  [
    'a certificate that expires soon',
    { expires: now + 9 * day },
    ['degraded certificate-expiring'],
    /2026-05-19/,
  ],
  [
    'an update that was rolled back',
    { reported: { ...report, state: 'ROLLED_BACK', rollout: 'ro_1', error }, errorSince: now - 9 * minute },
    ['failing update-failed'],
    /rolled back: 1 of 3 golden vectors differ \(AIOT_GOLDEN_FAILED\).*rollout show ro_1/,
  ],
  [
    'a rejected firmware update',
    { reported: { ...report, kind: 'firmware', rollout: 'ro_1', error } },
    ['failing update-failed'],
    /its firmware update was rejected/,
  ],
  [
    'a model that does not fit the sensor',
    { reported: { ...report, sensor: { stream: 'a', fields: ['x'], rate: 50, unfit: 'it needs y' } } },
    ['failing sensor-unfit'],
    /it needs y.*device show pump-7/,
  ],
  ['an empty battery', vitals({ battery: { percent: 3 } }), ['failing battery-empty'], /at 3 %.*now/],
  ['a low battery', vitals({ battery: { percent: 12.4 } }), ['degraded battery-low'], /at 12 %/],
  ['a full disk', vitals({ disk: { freeBytes: 1e7, totalBytes: 1e9 } }), ['failing disk-full'], /1\.0 %/],
  [
    'a nearly full disk',
    vitals({ disk: { freeBytes: 5e7, totalBytes: 1e9 } }),
    ['degraded disk-low'],
    /5\.0 %/,
  ],
  ['a long absence', absent(2 * day), ['silent silent'], /silent-after=6h/],
  ['many connections', { connections }, ['degraded restarting'], /7 times within 1h.*device logs pump-7/],
  [
    'many restarts after brownouts',
    { connections, bootSince: now - minute, ...vitals({ boot: { reason: 'brownout' } }) },
    ['failing restarting'],
    /brownout.*power supply/,
  ],
  [
    'one crash',
    { bootSince: now - 50 * minute, ...vitals({ boot: { reason: 'panic' } }) },
    ['degraded restarting'],
    /a crash of its firmware/,
  ],
  [
    'little free memory',
    { reported: { ...report, heap: { free: 9000, largest: 4000, least: 2048 } } },
    ['degraded memory-low'],
    /2\.0 KiB|2048/,
  ],
  [
    'dropped messages',
    vitals({ queue: { waiting: 5, dropped: 40 } }),
    ['degraded messages-lost'],
    /40 messages/,
  ],
  [
    'rejected messages',
    { rejected: { count: 1, first: now - minute, message: 'a: expected a number' } },
    ['degraded messages-rejected'],
    /1 message violated .* was not stored.*expected a number.*conform --selector pump-7/,
  ],
  [
    'settings that it does not run',
    {
      settings: {
        drift: { state: 'drifted', differences: [{ path: 'rpm', desired: 900, reported: 1 }] },
        since: now - minute,
      },
    },
    ['degraded settings-drift'],
    /rpm is 1 instead of 900.*settings show pump-7/,
  ],
  [
    'settings that it rejected',
    {
      settings: { drift: { state: 'rejected', differences: [] }, since: now - minute },
      reported: {
        ...report,
        settings: {
          digest: null,
          error: { digest: 'd', code: 'AIOT_SETTINGS_REJECTED', message: 'no motor' },
        },
      },
    },
    ['degraded settings-drift'],
    /rejected its settings: no motor \(AIOT_SETTINGS_REJECTED\)/,
  ],
  [
    'a signal that differs from the training data',
    {
      drift: {
        ...{ model: 'watch', version: 3, stream: 'motors', field: 'current', since: now - minute },
        ...{ measure: 'psi', value: 1.2, limit: 0.25 },
      },
    },
    ['degraded drift'],
    /training data of watch@3: current has a PSI of 1\.2.*export motors --selector pump-7.*data drift pump-7\.csv/,
  ],
  [
    'a stuck sensor',
    {
      drift: {
        ...{ model: 'watch', version: 3, stream: 'motors', field: 'current', since: now - minute },
        ...{ measure: 'stuck', value: 600, limit: 60 },
      },
    },
    ['degraded drift'],
    /current kept one value for 600 samples, at most 59 are usual/,
  ],
  [
    'a clock that is ahead',
    { reported: { ...report, t: now + 3 * day } },
    ['degraded clock-wrong'],
    /ahead by at least 3 d/,
  ],
  [
    'a clock that was never set',
    { reported: { ...report, t: 5000 } },
    ['degraded clock-wrong'],
    /1970-01-01.*NTP/,
  ],
];

describe('health of a device', () => {
  it('is ok without a problem, and unknown before the first connection', () => {
    expect(causesOf(well, now)).toEqual([]);
    expect(healthOf(well, [])).toBe('ok');
    const young: HealthFacts = {
      ...well,
      state: 'registered',
      lastSeen: null,
      reported: null,
      expires: null,
      online: false,
    };
    expect(causesOf(young, now)).toEqual([]);
    expect(healthOf(young, [])).toBe('unknown');
  });

  it.each(cases)('names %s, and nothing else', (_name, facts, expected, words) => {
    const causes = causesOf({ ...well, ...facts }, now);
    expect(causes.map(({ state, code }) => `${state} ${code}`)).toEqual(expected);
    expect(causes.map(({ message, next }) => `${message} ${next}`).join()).toMatch(words);
    expect(causes[0]?.since).toBeLessThanOrEqual(now);
    expect(healthOf(well, causes)).toBe(expected[0]?.split(' ')[0]);
  });

  it('has a case for every cause', () => {
    const named = new Set(cases.flatMap(([, , codes]) => codes.map((code) => code.split(' ')[1])));
    expect([...named].sort()).toEqual([...causeCodes].sort());
  });

  it('forgets a crash after an hour, although the device reconnects and reports the reason again', () => {
    const crashed = { ...well, connections: [now], ...vitals({ boot: { reason: 'panic' } }) };
    expect(causesOf({ ...crashed, bootSince: now - 59 * minute }, now)).toMatchObject([
      { code: 'restarting', since: now - 59 * minute },
    ]);
    expect(causesOf({ ...crashed, bootSince: now - 60 * minute }, now)).toEqual([]);
    expect(causesOf({ ...crashed, bootSince: null }, now)).toEqual([]);
  });

  it('lists the cause before its effect', () => {
    const causes = causesOf({ ...well, expires: now - 2 * day, ...absent(2 * day) }, now);
    expect(causes.map(({ code }) => code)).toEqual(['certificate-expired', 'silent']);
    expect(healthOf(well, causes)).toBe('failing');
  });

  it('allows a sleeping device the time in its tag, and ignores an invalid tag', () => {
    const asleep = { ...well, ...absent(90 * minute) };
    expect(causesOf({ ...asleep, tags: { 'silent-after': '2h' } }, now)).toEqual([]);
    expect(causesOf({ ...asleep, tags: { 'silent-after': '1h' } }, now)).toHaveLength(1);
    expect(silentAfterMs({ 'silent-after': 'soon' })).toBe(5 * minute);
  });

  it('waits after a restart of the platform before it calls a device silent that was well before', () => {
    const offline = { ...well, ...absent(day), watchedSince: now - minute };
    expect(causesOf(offline, now)).toEqual([]);
    expect(causesOf({ ...offline, wasSilent: true }, now)).toHaveLength(1);
    expect(causesOf(offline, now + 5 * minute)).toHaveLength(1);
  });

  it('leaves out suspended and revoked devices', () => {
    for (const state of ['suspended', 'revoked'] as const)
      expect(causesOf({ ...well, state, expires: now - day, online: false }, now)).toEqual([]);
  });
});
