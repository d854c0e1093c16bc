import { expect, it } from 'vitest';
import { deviceSeries } from '../../src/lib/platform/devices/series.js';
import type { Entry } from '../../src/lib/platform/journal/entry.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';

const [minute, hour, day] = [60_000, 3_600_000, 86_400_000];
const start = Date.UTC(2026, 10, 1);

/** Telemetry in buckets, on any engine. @param engine opens an empty store; a device name is used by one test */
export function seriesSuite(engine: () => Promise<Telemetry>): void {
  const sent = (device: string, t: number, payload: object, stream = 'motor'): Entry => ({
    ...{ at: start + 40 * day, device, channel: 'telemetry', stream },
    payload: { t, recording: 'r', ...payload },
  });

  it('has the minimum, mean and maximum of each bucket over 30 days, with gaps, and with late messages', async () => {
    const telemetry = await engine();
    let seq = 0;
    const send = (t: number, payload: object, stream?: string) =>
      telemetry.append(sent('series-a', t, { seq: seq++, ...payload }, stream));
    // Every hour for 30 days, apart from the 11th.
    const hours = Array.from({ length: 720 }, (_, i) => i).filter((i) => i < 240 || i >= 264);
    await Promise.all(hours.map((i) => send(start + i * hour, { rpm: i })));
    await send(start + 5 * day, { x: 7 }, 'climate');
    const ask = () => deviceSeries({ telemetry, now: () => start + 30 * day }, 'series-a', { from: start });
    const first = await ask();
    expect(first).toMatchObject({ from: start, to: start + 30 * day, bucketMs: 2 * hour, readFrom: start });
    expect(first.series.map(({ stream, field }) => [stream, field])).toEqual([
      ['climate', 'x'],
      ['motor', 'rpm'],
    ]);
    const rpm = first.series[1]?.buckets ?? [];
    expect(rpm.length).toBe(348);
    expect(rpm[0]).toEqual({ at: start, count: 2, min: 0, mean: 0.5, max: 1 });
    expect(rpm[120]?.at).toBe(start + 11 * day);
    expect(rpm.at(-1)).toEqual({ at: start + 718 * hour, count: 2, min: 718, mean: 718.5, max: 719 });

    // A late message, and one in the gap.
    await send(start + minute, { rpm: -5 });
    await send(start + 10 * day, { rpm: 100 });
    const later = (await ask()).series[1]?.buckets ?? [];
    expect(later.length).toBe(349);
    expect(later[0]).toEqual({ at: start, count: 3, min: -5, mean: -4 / 3, max: 1 });
    expect(later[120]).toEqual({ at: start + 10 * day, count: 1, min: 100, mean: 100, max: 100 });
  });

  it('puts each sample of a batch into its bucket, and has finer buckets for a shorter range', async () => {
    const telemetry = await engine();
    // Ten samples a minute apart, which begin before the range.
    const values = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    await telemetry.append(
      sent('series-b', start, { seq: 0, rate: 1 / 60, x: values, y: values.map(String) }),
    );
    const range = { from: start + 4 * minute, to: start + 9 * minute };
    const found = await deviceSeries({ telemetry, now: () => start + day }, 'series-b', range);
    expect(found.bucketMs).toBe(1000);
    expect(found.series).toEqual([
      {
        ...{ stream: 'motor', field: 'x' },
        buckets: [4, 5, 6, 7, 8].map((x) => ({ at: start + x * minute, count: 1, min: x, mean: x, max: x })),
      },
    ]);
  });

  it('continues in further responses if reading takes long, with the same buckets', async () => {
    const telemetry = await engine();
    const all = Array.from({ length: 100 }, (_, i) => i);
    await Promise.all(
      all.map((i) => telemetry.append(sent('series-c', start + i * hour, { seq: i, rpm: i }))),
    );
    let time = 0;
    // Each look at the clock is 400 ms later.
    const parts = { telemetry, now: () => start + 100 * hour, elapsed: () => (time += 400) };
    const found: number[] = [];
    let to: number | undefined = start + 100 * hour;
    let responses = 0;
    while (to !== undefined) {
      const part = await deviceSeries(parts, 'series-c', { from: start, to, bucketMs: hour });
      expect(part.to).toBe(to);
      found.unshift(...(part.series[0]?.buckets ?? []).map(({ mean }) => mean));
      to = part.readFrom > start ? part.readFrom : undefined;
      responses++;
    }
    expect(responses).toBeGreaterThan(2);
    expect(found).toEqual(all);
  });

  it('rejects ranges that are too long or have too many buckets', async () => {
    const telemetry = await engine();
    const ask = (query: object) =>
      deviceSeries({ telemetry, now: () => start + 60 * day }, 'series-d', query);
    await expect(ask({ from: start })).rejects.toThrow('querystring: from: the range exceeds 31d');
    await expect(ask({ from: start + 60 * day })).rejects.toThrow('expected a time before `to`');
    const many = { from: start, to: start + day, bucketMs: minute };
    await expect(ask(many)).rejects.toThrow('querystring: bucketMs: the range has more than 500 buckets');
    expect((await ask({})).series).toEqual([]);
  });
}
