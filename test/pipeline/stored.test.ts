import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import { runPipeline } from '../../src/lib/pipeline/run/run-pipeline.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';

import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { projectOf, tidyProjects } from './project.js';

tidyProjects();

const yaml = `name: wrist
stream: { topic: motion, fields: { x: { unit: g } } }
signal: { rate: 100, window: 10, stride: 10 }
model: { labels: { still: [still], moving: [moving] } }
`;
let own: TestPlatform;
let device: MqttClient;
let dir: string;

beforeAll(async () => {
  own = await testPlatform();
  const { platform, token, client } = own;
  await addContext('own', { url: platform.urls.http, ca: platform.ca, token });
  const out = join(own.folder, 'm1');
  await provisionDevice({ client, name: 'm1', type: 'virtual', out });
  device = await connectDevice(platform.urls.mqtts, out);
  dir = await projectOf({ 'aiot.yaml': yaml });
}, 30_000);
afterAll(async () => {
  await device?.endAsync(true);
  await own?.stop();
});

async function send(recording: string, seq: number) {
  const x = Array.from({ length: 50 }, (_, i) => Math.sin(seq + i));
  const message = { seq, t: 1_000_000 + seq * 500, rate: 100, recording, x };
  await device.publishAsync('aiot/v1/m1/telemetry/motion', JSON.stringify(message), { qos: 1 });
}
const say = (recording: string, label: string, part = {}) =>
  own.client.labels.post({ stream: 'motion', device: 'm1', recording, label, ...part });
async function extract() {
  const { steps } = await runPipeline({ dir, context: 'own', until: 'extract' });
  const [{ state, cached, result, error } = steps[0]!] = steps;
  return { state, cached, error: error?.code, rows: (result as { rows?: number } | null)?.rows };
}

it('a pipeline fetches platform recordings again only if samples, labels or labeled parts were added', async () => {
  for (const recording of ['a', 'b']) for (const seq of [0, 1]) await send(recording, seq);
  await say('a', 'still');
  const fetched = { state: 'done', cached: false, error: undefined };
  expect(await extract()).toEqual({ ...fetched, rows: 100 });
  expect(await extract()).toEqual({ ...fetched, cached: true, rows: 100 });
  await say('b', 'moving');
  expect(await extract()).toEqual({ ...fetched, rows: 200 });
  await send('b', 2);
  expect(await extract()).toEqual({ ...fetched, rows: 250 });
  await say('b', 'still', { from: 1_000_500, to: 1_000_900 });
  expect(await extract()).toEqual({ ...fetched, rows: 250 });
  expect((await extract()).cached).toBe(true);
}, 120_000);

it('a pipeline reruns a step that depends on the user’s platform every time', async () => {
  const run = `[echo, '{"skipped": "no device"}']`;
  const other = await projectOf({
    'aiot.yaml': `name: look\npipeline: { steps: [{ name: look, run: ${run}, platform: true }] }\n`,
  });
  for (const _ of [1, 2]) {
    const { steps } = await runPipeline({ dir: other, context: 'own' });
    expect(steps).toMatchObject([{ state: 'skipped', cached: false, reason: 'no device' }]);
  }
});

it('a pipeline reuses no result if the platform is unreachable, and reports that', async () => {
  await own.platform.stop();
  expect(await extract()).toMatchObject({
    state: 'failed',
    cached: false,
    error: 'AIOT_PLATFORM_UNREACHABLE',
  });
  await own.start();
}, 60_000);
