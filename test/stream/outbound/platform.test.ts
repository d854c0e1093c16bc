import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeContexts } from '../../../src/lib/core/contexts.js';
import { openSink } from '../../../src/lib/stream/open.js';
import { type TestPlatform, testPlatform } from '../../support/platform.js';

let own: TestPlatform;
const before = process.env.AIOT_CONFIG_DIR;
beforeAll(async () => {
  own = await testPlatform();
  process.env.AIOT_CONFIG_DIR = `${own.folder}/config`;
  const { http, mqtts } = own.platform.urls;
  const context = { url: http, mqtt: mqtts, ca: own.platform.ca, token: own.token };
  await writeContexts({ current: 'local', contexts: { local: context } });
}, 60_000);
afterAll(async () => {
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
  await own?.stop();
});

describe('the platform’s datasets', () => {
  it('contain written messages once the write resolves', async () => {
    const sink = await openSink('aiot://dataset/motor?recording=r1');
    const samples = Array.from({ length: 200 }, (_, n) => ({
      topic: 'shaded-pole-motor-sensor_data',
      payload: Buffer.from(`{"deviceID": "${n % 2}", "current": ${n}.5, "fft_data": "true"}`),
      time: 1_000_000 + n * 10,
    }));
    await sink.write(samples);
    const { recordings } = await own.client.datasets.get('motor');
    expect(recordings.map(({ device, samples: count }) => [device, count]).sort()).toEqual([
      ['0', 100],
      ['1', 100],
    ]);
    const text = await own.client.datasets.csv('motor', '1', 'r1');
    expect(text.split('\n')[0]).toBe('current');
    expect(text.trim().split('\n').slice(1).map(Number)).toEqual(
      Array.from({ length: 100 }, (_, i) => 2 * i + 1.5),
    );
    await sink.close();
  });
});
