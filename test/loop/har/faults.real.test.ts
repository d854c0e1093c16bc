import { AckPolicy, type NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { decodeFrame } from '../../../src/lib/loop/har/windows.js';
import type { Sensing } from '../../../src/lib/loop/types.js';
import { harBundle, keeperOf } from '../../support/har-bundle.js';
import { type MotionServer, startMotionServer, startStage } from '../../support/motion-server.js';
import { describeReal } from '../../support/real.js';
import { sensingOf } from '../../support/samples.js';

/** The x, y and z values of a sample are correlated, so their correlation reveals a shift of one axis. */
const sample = (i: number) => {
  const value = Math.sin(i / 7) + Math.sin(i / 31);
  return [value, 2 * value + 1, -value];
};

describeReal('nats', 'a stage of the motion system under faults', () => {
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
    for (const name of ['RPI', 'SAMPLES']) await manager.streams.delete(name).catch(() => {});
  });

  /**
   * Publishes x, y and z in turn, like the original's script. `lost` lists messages (`sample.axis`) that never arrive.
   */
  const publish = async (from: number, to: number, lost: string[] = []) => {
    const stream = client.jetstream();
    const sent: Promise<unknown>[] = [];
    for (let i = from; i < to; i++) {
      sample(i).forEach((value, axis) => {
        if (!lost.includes(`${i}.${axis}`)) sent.push(stream.publish('xyz'[axis]!, String(value)));
      });
    }
    await Promise.all(sent);
  };
  const makeStream = () =>
    startStage({ stage: 'sense', ...options(), openSensing: async () => sensingOf([]) }).ended;
  const waiting = async (name = 'RPI') => {
    const { state } = await (await client.jetstreamManager()).streams.info(name, { subjects_filter: '>' });
    return state.subjects ?? {};
  };
  const tables = async () => {
    const manager = await client.jetstreamManager();
    const { state } = await manager.streams.info('RPI');
    const found: Map<string, number>[] = [];
    for (let at = state.first_seq; at <= state.last_seq; at++) {
      const message = await manager.streams.getMessage('RPI', { seq: at }).catch(() => undefined);
      if (message?.subject === 'feats') found.push(decodeFrame(message.data)!);
    }
    return found;
  };
  const until = async (holds: () => boolean | Promise<boolean>) => {
    for (let tries = 0; !(await holds()); tries++) {
      if (tries > 1500) throw new Error('it did not come');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  it('drops a sample with a missing axis, and shifts no other axis', async () => {
    await makeStream();
    const extract = startStage({ stage: 'extract', ...options() });
    await extract.told('ready');
    await publish(0, 1003, ['100.0', '250.1', '700.2']);
    await extract.told('window', 2);
    for (const table of await tables()) {
      expect(table.get('acc_x_corecoef')).toBeCloseTo(1, 12);
      expect(table.get('acc_y_corecoef')).toBeCloseTo(-1, 12);
    }
    await until(async () => Object.keys(await waiting()).join() === 'feats');
    expect(await extract.stop()).toMatchObject({ taken: 1000, windows: 2, published: 2, lost: 3 });
  });

  it('keeps a partly filled window across a pause and a restart', async () => {
    await makeStream();
    const first = startStage({ stage: 'extract', ...options() });
    await first.told('ready');
    await publish(0, 300);
    const consumers = await client.jetstreamManager();
    await until(async () => (await consumers.consumers.info('RPI', 'RPI-sub-z')).num_ack_pending === 300);
    // The stage reports a sample that is not a number, and has therefore processed the samples before it.
    for (const axis of ['x', 'y', 'z']) await client.jetstream().publish(axis, 'none');
    await first.told('lost');
    expect(await first.stop()).toMatchObject({ taken: 300, windows: 0, lost: 0, refused: 1 });
    await expect.poll(waiting).toEqual({ x: 300, y: 300, z: 300 });
    const second = startStage({ stage: 'extract', ...options() });
    await second.told('ready');
    await publish(300, 500);
    await second.told('window');
    const [table] = await tables();
    const mean =
      Array.from({ length: 500 }, (_, i) => sample(i)[0]!).reduce((sum, value) => sum + value, 0) / 500;
    expect(table?.get('acc_x_mean')).toBeCloseTo(mean, 12);
    expect(table?.get('acc_x_corecoef')).toBeCloseTo(1, 12);
    expect(await second.stop()).toMatchObject({ taken: 500, windows: 1, lost: 0 });
  });

  it('delivers every sample once and in order, in complete windows, when the server is killed midway', async () => {
    let go = () => {};
    const half = new Promise<void>((resolve) => {
      go = resolve;
    });
    const samples = Array.from({ length: 1000 }, (_, i) => sample(i));
    const paced = (): Sensing => {
      const source = sensingOf(samples);
      return {
        ...source,
        async *[Symbol.asyncIterator]() {
          let given = 0;
          for await (const batch of source) {
            yield batch;
            given += batch.count;
            if (given === 260) await half;
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        },
      };
    };
    const extract = startStage({ stage: 'extract', ...options() });
    await extract.told('ready');
    const sense = startStage({ stage: 'sense', ...options(), openSensing: async () => paced() });
    await until(async () => extract.events.length > 0 && ((await waiting()).z ?? 0) > 200);
    setTimeout(go, 50);
    await server.kill();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await server.start();
    // Requests to a killed server are never answered, so the test's own client reconnects.
    await client.close();
    client = await server.client();
    expect(await sense.ended).toMatchObject({ taken: 1000, published: 3000, lost: 0 });
    await extract.told('window', 2);
    for (const table of await tables()) expect(table.get('acc_x_corecoef')).toBeCloseTo(1, 12);
    const means = (await tables()).map((table) => table.get('acc_x_mean'));
    const meanOf = (from: number) =>
      samples.slice(from, from + 500).reduce((sum, [value = 0]) => sum + value, 0) / 500;
    for (const w of [0, 1]) expect(means[w]).toBeCloseTo(meanOf(500 * w), 12);
    expect(await extract.stop()).toMatchObject({ taken: 1000, windows: 2, lost: 0 });
  });

  it('waits for a server that is not running yet, and starts over when the stream is recreated', async () => {
    await server.kill();
    const extract = startStage({ stage: 'extract', ...options() });
    await extract.told('away');
    await server.start();
    await extract.told('ready');
    await client.close();
    client = await server.client();
    await publish(0, 500);
    await extract.told('window');
    const { streams } = await client.jetstreamManager();
    const { config } = await streams.info('RPI');
    await streams.delete('RPI');
    await streams.add(config);
    for (const axis of ['x', 'y', 'z']) {
      const durable = {
        durable_name: `RPI-sub-${axis}`,
        filter_subject: axis,
        ack_policy: AckPolicy.Explicit,
      };
      await (await client.jetstreamManager()).consumers.add('RPI', durable);
    }
    await publish(500, 1000);
    await extract.told('window', 2);
    expect(await extract.stop()).toMatchObject({ windows: 2, lost: 0 });
  });

  it('rejects an invalid feature table, and continues', async () => {
    const bundle = harBundle(Array.from({ length: 1500 }, (_, i) => sample(i)));
    const keeper = keeperOf(bundle);
    const predict = startStage({ stage: 'predict', ...options(), openModels: async () => keeper });
    await predict.told('ready');
    for (const bad of [
      '',
      'walking',
      'eyJjb2x1bW5zIjpbXX0=',
      Buffer.from('{"columns":["a"],"data":[[1]]}').toString('base64'),
    ])
      await client.jetstream().publish('feats', bad);
    const extract = startStage({ stage: 'extract', ...options() });
    await publish(0, 500);
    await predict.told('label');
    expect(await predict.stop()).toMatchObject({ taken: 5, published: 1, refused: 4 });
    expect(keeper.misbehaviours).toEqual([]);
    await until(async () => Object.keys(await waiting()).join() === 'predictions');
    await extract.stop();
  });

  it('rejects a model with other features, and a sensor without three axes', async () => {
    const bundle = harBundle(Array.from({ length: 1500 }, (_, i) => sample(i)));
    const other = {
      ...bundle,
      info: { ...bundle.info, signal: { ...bundle.info.signal, features: 'motion' as const } },
    };
    const predict = startStage({ stage: 'predict', ...options(), openModels: async () => keeperOf(other) });
    await expect(predict.ended).rejects.toMatchObject({ code: 'AIOT_MODEL_UNFIT' });
    const sense = startStage({
      stage: 'sense',
      ...options(),
      openSensing: async () => sensingOf([[1, 2]], { names: ['a', 'b'] }),
    });
    await expect(sense.ended).rejects.toMatchObject({ code: 'AIOT_LOOP_STAGE' });
  });

  it('uses one record per sample if the address has a subject', async () => {
    const url = `nats://127.0.0.1:${server.port}/samples?servername=nats`;
    const samples = Array.from({ length: 1000 }, (_, i) => sample(i));
    const sense = startStage({
      stage: 'sense',
      ...options(),
      urls: [url],
      openSensing: async () => sensingOf(samples),
    });
    expect(await sense.ended).toMatchObject({ taken: 1000, published: 1000 });
    const manager = await client.jetstreamManager();
    const { data } = await manager.streams.getMessage('SAMPLES', { seq: 3 });
    const [x, y, z] = sample(2);
    expect(JSON.parse(Buffer.from(data).toString())).toEqual({ n: 2, t: 1_700_000_000_020, x, y, z });
    await manager.streams.deleteMessage('SAMPLES', 5);
    const extract = startStage({ stage: 'extract', ...options(), urls: [url] });
    await extract.told('window');
    await client.jetstream().publish('samples', '{"x":1,"y":2}');
    await until(async () => Object.keys(await waiting('SAMPLES')).length > 0 && extract.events.length > 2);
    const [table] = await tables();
    expect(table?.get('acc_x_corecoef')).toBeCloseTo(1, 12);
    expect(await extract.stop()).toMatchObject({ windows: 1, published: 1, lost: 1 });
  });
});
