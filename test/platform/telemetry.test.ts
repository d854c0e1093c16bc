import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { record } from '../support/recording.js';

describe('telemetry', () => {
  let own: TestPlatform;
  let device: MqttClient;

  beforeAll(async () => {
    own = await testPlatform();
    const out = join(own.folder, 'motor-1');
    await provisionDevice({ client: own.client, name: 'motor-1', type: 'virtual', out });
    device = await connectDevice(own.platform.urls.mqtts, out);
  });
  afterAll(async () => {
    await device.endAsync(true);
    await own.stop();
  });

  const publish = (payload: object, stream = 'imu') =>
    device.publishAsync(`aiot/v1/motor-1/telemetry/${stream}`, JSON.stringify(payload), { qos: 1 });

  it('is available as a dataset once the publish is acknowledged', async () => {
    await publish({ seq: 0, t: 1000, rate: 100, recording: 'walking1', x: [0.1, 0.2], y: [1, 2] });
    await publish({ seq: 1, t: 1020, rate: 100, recording: 'walking1', x: [0.3], y: [3] });
    expect(await own.client.datasets.get('imu')).toMatchObject({
      name: 'imu',
      fields: ['x', 'y'],
      recordings: [
        {
          id: 'walking1',
          device: 'motor-1',
          label: null,
          rateHz: 100,
          samples: 3,
          startedAt: 1000,
          duplicates: 0,
          missing: 0,
        },
      ],
    });
    expect(await own.client.datasets.csv('imu', 'motor-1', 'walking1')).toBe('x,y\n0.1,1\n0.2,2\n0.3,3\n');
  });

  it('counts repeats and gaps, and keeps the order of the sequence numbers', async () => {
    for (const seq of [5, 9, 6, 5]) await publish({ seq, t: seq, rate: 10, recording: 'r2', v: seq }, 'gaps');
    await own.client.labels.post({ stream: 'gaps', device: 'motor-1', recording: 'r2', label: 'resting' });
    const expected = { samples: 3, duplicates: 1, missing: 2, label: 'resting' };
    expect((await own.client.datasets.get('gaps')).recordings[0]).toMatchObject(expected);
    expect(await own.client.datasets.csv('gaps', 'motor-1', 'r2')).toBe('v\n5\n6\n9\n');
    expect(await own.client.datasets.list()).toContainEqual(
      expect.objectContaining({ name: 'gaps', recordings: 1, samples: 3, labels: { resting: 1 } }),
    );
  });

  it('rejects labels for recordings that have not arrived, singly or in bulk, and stores none of them', async () => {
    const arrived = { stream: 'early', device: 'motor-1', recording: 'r1' };
    const refused = { code: 'AIOT_NOT_FOUND', exit: 4, message: 'motor-1 has no recording r1 in early' };
    await expect(own.client.labels.post({ ...arrived, label: 'walk' })).rejects.toMatchObject({
      ...refused,
      next: expect.stringContaining('aiot data list early'),
    });
    await expect(own.client.labels.post({ ...arrived, label: null })).rejects.toMatchObject(refused);
    await publish({ seq: 0, t: 1000, recording: 'r1', v: 1 }, 'early');
    const { stream, ...r1 } = arrived;
    const many = [r1, { ...r1, recording: 'r2' }].map((one) => ({ ...one, label: 'run' }));
    await expect(own.client.datasets.label(stream, { labels: many })).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
      message: 'motor-1 has no recording r2 in early',
    });
    // Either all labels are stored or none, so neither the early label of r1 nor the label sent together with r2's is stored.
    expect((await own.client.datasets.get('early')).recordings).toMatchObject([{ id: 'r1', label: null }]);
    await own.client.labels.post({ ...arrived, label: 'walk' });
    const elsewhere = { ...arrived, device: 'motor-2', label: 'walk' };
    await expect(own.client.labels.post(elsewhere)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    await expect(own.client.labels.post({ ...arrived, stream: 'late', label: 'walk' })).rejects.toMatchObject(
      {
        code: 'AIOT_NOT_FOUND',
      },
    );
    expect((await own.client.datasets.get('early')).recordings).toMatchObject([{ id: 'r1', label: 'walk' }]);
  });

  it.each([
    ['columns of different lengths', { seq: 1, rate: 10, recording: 'bad', x: [1, 2], y: [1] }],
    ['no fields', { seq: 2, recording: 'bad' }],
    ['an invalid recording name', { seq: 3, recording: '../up', x: 1 }],
  ])('drops a message with %s', async (_, payload) => {
    await publish(payload, 'bad');
    const datasets = await own.client.datasets.list();
    expect(datasets.map(({ name }) => name)).not.toContain('bad');
  });

  it('survives a restart with a torn log next to its database', async () => {
    const before = await own.client.datasets.get('gaps');
    await own.platform.stop();
    const database = join(own.folder, 'data', 'telemetry.db');
    await writeFile(`${database}-wal`, '{"at":1,"device":"motor-1","channel":"tele');
    await own.restart();
    expect(await own.client.datasets.get('gaps')).toEqual(before);
  });

  it('rejects labels for a removed recording until it starts again', async () => {
    const place = { stream: 'gone', device: 'motor-1', recording: 'r1' };
    const operator = { mqtts: own.platform.urls.mqtts, ca: own.ca, token: own.token };
    await record(operator, place);
    await own.client.datasets.remove('gone', { device: 'motor-1', recording: 'r1' });
    await expect(own.client.labels.post({ ...place, label: 'walk' })).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
    await record(operator, place);
    await own.client.labels.post({ ...place, label: 'walk' });
  });
});
