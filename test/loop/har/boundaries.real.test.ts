import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { encodeFrame } from '../../../src/lib/loop/har/windows.js';
import { createPredictor } from '../../../src/lib/model/bundle/predictor.js';
import { root } from '../../support/cli.js';
import { harBundle, harNames, keeperOf } from '../../support/har-bundle.js';
import { type MotionServer, startMotionServer, startStage } from '../../support/motion-server.js';
import { describeReal } from '../../support/real.js';
import { recordingSamples, sensingOf } from '../../support/samples.js';

const walking = join(root, 'templates/har-imu/data/recordings/walking1.csv');
const golden = join(root, 'test/golden/har-row.csv');
const expected = { 'Nats-Expected-Stream': 'RPI' };

describeReal('nats', 'the motion system with its original containers', () => {
  describeReal('streams', 'with nats-py and pandas, over TLS with a token', () => {
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

    it('creates the original stream, and sends axes that the original extractor reads as the same floats', async () => {
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
      const said = await server.container('extractor', 115, golden).lines;
      const texts = said.slice(0, 3).map((one) => one.texts as string[]);
      expect(texts.map((of) => of.map(Number))).toEqual(
        [0, 1, 2].map((axis) => samples.map((sample) => sample[axis])),
      );
      expect(texts.map((of) => of[3])).toEqual(['1e-05', '-0.0', '2.0']);
      expect(said[0]?.headers).toMatchObject(expected);
      expect(said[3]).toEqual({ rows: 500 });
    });

    it('predicts from a table of the original extractor, matching columns by name', async () => {
      const samples = recordingSamples(walking);
      const bundle = harBundle(samples);
      await startStage({
        stage: 'sense',
        ...options(),
        openSensing: async () => sensingOf(samples.slice(0, 500)),
      }).ended;
      await server.container('extractor', 115, golden).lines;
      const predict = startStage({
        stage: 'predict',
        ...options(),
        openModels: async () => keeperOf(bundle),
      });
      await predict.told('label');
      const [names = [], row = []] = readFileSync(golden, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(','));
      const inputs = bundle.info.signal.features as string[];
      const wanted = createPredictor(bundle).answer(inputs.map((name) => Number(row[names.indexOf(name)])));
      expect(predict.events).toContainEqual(expect.objectContaining({ kind: 'label', label: wanted.label }));
      expect(await predict.stop()).toMatchObject({ taken: 1, published: 1, refused: 0 });
    });

    it('reads samples from the original sensor, and sends its predictor features that match numpy', async () => {
      const extract = startStage({ stage: 'extract', ...options() });
      await extract.told('ready');
      const [sent, tables] = await Promise.all([
        server.container('sensor', 1000, walking).lines,
        server.container('predictor', 2, walking).lines,
      ]);
      expect(sent).toEqual([{ published: 1000 }]);
      expect(tables).toHaveLength(2);
      const names = readFileSync(golden, 'utf8').split('\n')[0]!.split(',');
      for (const table of tables) {
        expect(table).toMatchObject({ columns: names, shape: [1, 60], index: [0], headers: expected });
        expect(table.members).toEqual(['columns', 'index', 'data']);
        expect(table.worst).toBeLessThan(1e-9);
      }
      expect(await extract.stop()).toMatchObject({
        taken: 1000,
        windows: 2,
        published: 2,
        lost: 0,
        refused: 0,
      });
    });

    it('predicts the same as from raw samples, and the original output service reads the labels', async () => {
      const samples = recordingSamples(walking);
      const bundle = harBundle(samples);
      const direct = createPredictor(bundle);
      const wanted = samples.map((sample) => direct.push(sample)).filter((answer) => answer !== null);
      const predict = startStage({
        stage: 'predict',
        ...options(),
        openModels: async () => keeperOf(bundle),
      });
      const extract = startStage({ stage: 'extract', ...options() });
      await Promise.all([predict.told('ready'), extract.told('ready')]);
      const heard = server.container('output', 2);
      await heard.ready;
      await startStage({
        stage: 'sense',
        ...options(),
        openSensing: async () => sensingOf(samples.slice(0, 1000)),
      }).ended;
      const said = await heard.lines;
      expect(said.map(({ label }) => label)).toEqual(wanted.slice(0, 2).map(({ label }) => label));
      expect(said[0]?.headers).toMatchObject(expected);
      await extract.stop();
      expect(await predict.stop()).toMatchObject({ taken: 2, published: 2, refused: 0 });
    });

    it('votes on labels from the original predictor, and publishes only the winning label', async () => {
      const output = startStage({ stage: 'output', ...options() });
      await output.told('ready');
      const heard = server.container('listen', 4);
      await heard.ready;
      const told = server.container('predictor', 4);
      await told.ready;
      const stream = client.jetstream();
      const table = encodeFrame(harNames, new Float64Array(115));
      for (let i = 0; i < 4; i++) await stream.publish('feats', table);
      expect(await told.lines).toHaveLength(4);
      expect((await heard.lines).map(({ label }) => label)).toEqual(Array(4).fill('walking'));
      expect(await output.stop()).toMatchObject({ taken: 4, published: 4 });
    });
  });
});
