import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
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
