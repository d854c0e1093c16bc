import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { NatsConnection } from 'nats';
import { root } from '../../support/cli.js';
import { type MotionServer, startMotionServer, startStage } from '../../support/motion-server.js';
import { describeReal } from '../../support/real.js';
import { recordingSamples, sensingOf } from '../../support/samples.js';

const walking = join(root, 'templates/har-imu/data/recordings/walking1.csv');
const expected = { 'Nats-Expected-Stream': 'RPI' };

describeReal('nats', 'the motion system with its original containers', () => {
  describeReal('streams', 'of nats-py and pandas, over TLS and a token', () => {
    let server: MotionServer;
    let client: NatsConnection;
    const options = () => ({ env: server.env, credentials: server.credentials });

    beforeAll(async () => {
      server = await startMotionServer();
      client = await server.client();
    });
    afterAll(async () => {
      await client?.close();
      await server?.stop();
    });
    beforeEach(async () => {
      const manager = await client.jetstreamManager();
      await manager.streams.delete('RPI').catch(() => {});
    });

    it('makes the stream as the original had it, and sends axes that its extractor reads as the same floats', async () => {
      const samples = recordingSamples(walking).slice(0, 500);
      samples[3] = [1e-5, -0, 2];
      const sensing = startStage({
        stage: 'sense',
        ...options(),
        openSensing: async () => sensingOf(samples),
      });
      const result = await sensing.ended;
      expect(result).toMatchObject({ taken: 500, published: 1500, lost: 0 });
      const { config, state } = await (await client.jetstreamManager()).streams.info('RPI');
      expect(config).toMatchObject({
        subjects: ['x', 'y', 'z', 'feats', 'predictions', 'output'],
        retention: 'workqueue',
        max_age: 30_000_000_000,
        duplicate_window: 29_000_000_000,
        storage: 'file',
        discard: 'old',
        num_replicas: 1,
        max_msgs: -1,
        max_bytes: -1,
        max_msg_size: -1,
        max_consumers: -1,
        max_msgs_per_subject: -1,
      });
      expect(state.messages).toBe(1500);
      const features = join(root, 'test/golden/har-row.csv');
      const [x, y, z, frame] = await server.container('extractor', 115, features).lines;
      expect([x, y, z].map((said) => (said?.texts as string[]).map(Number))).toEqual(
        [0, 1, 2].map((axis) => samples.map((sample) => sample[axis])),
      );
      expect((x?.texts as string[])[3]).toBe('1e-05');
      expect((y?.texts as string[])[3]).toBe('-0.0');
      expect((z?.texts as string[])[3]).toBe('2.0');
      expect(x?.headers).toMatchObject(expected);
      expect(frame).toEqual({ rows: 500 });
    });
  });
});
