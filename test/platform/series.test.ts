import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { deviceSeries } from '../../src/lib/platform/devices/series.js';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { fakeDevice } from '../support/fake-device.js';
import { testPlatform } from '../support/platform.js';
import { seriesSuite } from './series-suite.js';

describe('telemetry of a device in buckets, from SQLite', () => {
  let opened: Telemetry | undefined;
  let folder = '';
  seriesSuite(async () => {
    folder ||= await mkdtemp(join(tmpdir(), 'aiot-series-'));
    opened ??= await openTelemetry({ folder, now: Date.now });
    return opened;
  });
  afterAll(async () => {
    await opened?.close();
    if (folder) await rm(folder, { recursive: true });
  });
});

it('the API returns the buckets of telemetry that a device has sent', async () => {
  const own = await testPlatform();
  try {
    await provisionDevice({
      client: own.client,
      name: 'pump',
      type: 'virtual',
      out: join(own.folder, 'pump'),
    });
    const { client } = await fakeDevice(own.platform.urls.mqtts, join(own.folder, 'pump'), 'pump');
    const hour = 3_600_000;
    const begin = Math.floor(Date.now() / hour) * hour - 24 * hour * 20;
    for (const [seq, rpm] of [10, 30, 50].entries())
      await client.publishAsync(
        'aiot/v1/pump/telemetry/motor',
        JSON.stringify({ seq, t: begin + seq * 1000, rpm }),
        { qos: 1 },
      );
    await client.endAsync();
    const found = await own.client.devices.series('pump', { from: begin - hour, to: begin + 30 * 24 * hour });
    expect(found.bucketMs).toBe(2 * hour);
    expect(found.series.map(({ buckets }) => buckets)).toMatchObject([
      [{ count: 3, min: 10, mean: 30, max: 50 }],
    ]);
    await expect(own.client.devices.series('nothing', {})).rejects.toThrow('no device is named nothing');
  } finally {
    await own.stop();
  }
});

it('answers in time although messages follow a long time without any, and reads few of them twice', async () => {
  const [second, day] = [1000, 86_400_000];
  const start = Date.UTC(2026, 10, 1);
  const last = start + 6 * day;
  let [clock, read] = [0, 0];
  const take = { channel: 'telemetry', stream: 'motor', device: 'd', startedAt: start, endedAt: last };
  // A message every ten seconds for six days, then none for 24 days. Reading a message takes 0.2 ms.
  const telemetry = {
    streams: async () => [{ name: 'motor' }],
    takes: async () => [take],
    async *readByTime(_: unknown, span: { from: number; to: number }) {
      const first = Math.max(start, span.from - 3600 * second);
      for (let at = first - (first % (10 * second)); at <= Math.min(last, span.to); at += 10 * second) {
        clock += 0.2;
        read++;
        yield { at, payload: { t: at, rpm: 1 } };
      }
    },
  };
  const parts = { telemetry: telemetry as never, now: () => start + 30 * day, elapsed: () => clock };
  let samples = 0;
  for (let to: number | undefined = start + 30 * day; to !== undefined; ) {
    const before = clock;
    const { series, readFrom } = await deviceSeries(parts, 'd', { from: start, to, bucketMs: 7200 * second });
    expect(clock - before).toBeLessThan(4000);
    for (const { buckets } of series) for (const { count } of buckets) samples += count;
    to = readFrom > start ? readFrom : undefined;
  }
  expect(samples).toBe((6 * day) / (10 * second) + 1);
  expect(read).toBeLessThan(2 * samples);
});
