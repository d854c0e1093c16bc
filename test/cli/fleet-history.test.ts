import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { presenceHistorySchema } from '../../src/lib/api/contract/history.js';
import { fitted, historyText } from '../../src/lib/cli/render/history.js';
import { runCli } from '../support/cli.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';

const begin = Date.UTC(2026, 10, 20, 10);
const [minute, hour] = [60_000, 3_600_000];

describe('aiot fleet history', () => {
  let own: UpForTests;
  beforeAll(async () => {
    own = await upForTests();
  });
  afterAll(() => own?.stop());

  it('says that nothing is known on a new platform', async () => {
    const { stdout, code } = await runCli(['fleet', 'history']);
    expect(code).toBe(0);
    expect(stdout).toContain('nothing is known of this time');
    expect(stdout).toContain('aiot fleet history --show predictions');
    const { buckets, bucketMs } = await ok(presenceHistorySchema, ['fleet', 'history', '--since', '1h']);
    expect([buckets.length, bucketMs]).toEqual([expect.toSatisfy((n) => n === 60 || n === 61), minute]);
    expect(new Set(buckets.map(({ online }) => online))).toEqual(new Set([null]));
  });

  it.each([
    [['--model', 'watch'], '--show predictions'],
    [['--since', '1h', '--until', '2h'], '--until must be after --since'],
    [['--since', '90d'], 'a range of at most 31d'],
    [['--bucket', '5m'], '1m'],
    [['--show', 'drift'], 'presence'],
  ])('rejects %j', async (flags, text) => {
    const { code, stderr } = await runCli(['fleet', 'history', ...flags]);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
  });

  it('reports a bucket that is no longer kept, and a selector that is invalid', async () => {
    const old = await runCli(['fleet', 'history', '--since', '1d', '--bucket', '1m']);
    expect([old.code, old.stderr]).toEqual([2, expect.stringContaining('buckets of 1m are kept for 3h')]);
    const bad = await runCli(['fleet', 'history', '--selector', 'site==']);
    expect(bad.stderr).toContain('AIOT_SELECTOR_INVALID');
  });
});

describe('the text of a history', () => {
  const lines = (...given: Parameters<typeof historyText>) =>
    stripVTControlCharacters(historyText(...given)).split('\n');
  const range = { from: begin, to: begin + 3 * hour, bucketMs: hour };
  const at = (i: number) => begin + i * hour;

  it('says that an old time is no longer kept', () => {
    const buckets = [0, 1].map((i) => ({ at: at(i), minutes: 0, online: null, devices: null }));
    const day = 24 * hour;
    expect(lines({ ...range, buckets }, begin + 40 * day)[0]).toBe(
      'the history is kept for 31d, and this time is longer ago',
    );
    expect(lines({ ...range, buckets }, begin + 3 * hour)[0]).toContain('the platform did not run');
  });

  it('shows presence with its gaps', () => {
    const shown = lines({
      ...range,
      buckets: [
        { at: at(0), minutes: 60, online: 3, devices: 4 },
        { at: at(1), minutes: 0, online: null, devices: null },
        { at: at(2), minutes: 60, online: 1, devices: 4 },
      ],
    });
    expect(shown[0]).toBe('devices online  1  1 … 3');
    expect(shown.slice(-3)).toEqual([
      'online 50.0 % of the time, 4 devices',
      '2026-11-20 10:00 to 2026-11-20 13:00 UTC, 3 buckets of 1h',
      '1 bucket without data: the platform did not run, or is starting',
    ]);
  });

  it('shows predictions with shares, including those without a class', () => {
    const shown = lines({
      ...{ ...range, countedUntil: range.to, models: ['watch@1'], classes: ['idle', 'fault'] },
      buckets: [0, 1, 2].map((i) => ({ at: at(i), total: 10, counts: [8, 1] })),
    }).join('\n');
    expect(shown).toMatch(/^idle +24 +80\.0 %$/m);
    expect(shown).toMatch(/^fault +3 +10\.0 %$/m);
    expect(shown).toMatch(/^\(no class, or another one\) +3 +10\.0 %$/m);
  });

  it('shows latency, and says if there was none', () => {
    const given = { ...range, countedUntil: range.to, models: [] };
    const some = lines({ ...given, buckets: [{ at: at(0), total: 7, p50: 10, p99: 20 }] });
    expect(some[0]).toBe('p50 ms  10  10 … 10');
    expect(some.at(-2)).toBe('7 predictions');
    expect(lines({ ...given, buckets: [{ at: at(0), total: 0, p50: null, p99: null }] })[0]).toBe(
      'no predictions arrived',
    );
  });

  it('keeps gaps when values are merged to fit', () => {
    expect(fitted([1, 3, Number.NaN, 5, 6], 3)).toEqual([2, Number.NaN, 6]);
    expect(fitted([1, 2], 10)).toEqual([1, 2]);
  });
});
