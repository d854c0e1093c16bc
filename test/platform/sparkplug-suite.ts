import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Sparkplug } from '../../src/lib/fleet/sparkplug.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { deliveriesOf, type Source } from '../../src/lib/stream/message.js';
import type { SparkplugValue } from '../../src/lib/stream/sparkplug/source.js';
import { pushTiny } from '../support/bundle.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

export const sparkplugDefinition = (more: Partial<Sparkplug> = {}): Sparkplug => ({
  ...{ project: 'plant', broker: null, group: 'works', node: 'hall', selector: 'all', everyMs: 1000 },
  ...{ aliases: true, stream: 'motors' },
  fields: [
    { field: 'temperature', unit: 'degC' },
    { field: 'load', unit: '' },
  ],
  ...more,
});

export const waitLong = { timeout: 30_000, interval: 20 };

/** The JSON values of a source, as they arrive. */
export function collected(source: Source): SparkplugValue[] {
  const heard: SparkplugValue[] = [];
  void (async () => {
    for await (const { message, ack } of deliveriesOf(source)) {
      heard.push(JSON.parse(Buffer.from(message.payload).toString()) as SparkplugValue);
      ack();
    }
  })();
  return heard;
}

interface Side {
  /** Fields of the definition for this broker. */
  definition(): Partial<Sparkplug>;
  /** Reads the node's messages. */
  open(own: TestPlatform): Promise<Source>;
}

/** Behavior that is the same on the platform's broker and on another one. */
export function sparkplugSuite(side: Side): void {
  let own: TestPlatform;
  let device: FakeDevice;
  let source: Source;
  let heard: SparkplugValue[];
  const apply = (more: Partial<Sparkplug> | null = {}) =>
    own.platform.applySparkplug({
      project: 'plant',
      definition: more && sparkplugDefinition({ ...side.definition(), ...more }),
    });
  const send = (channel: string, message: object) =>
    device.client.publishAsync(`aiot/v1/pump.1/${channel}`, JSON.stringify(message), { qos: 1 });
  const connect = () => fakeDevice(own.platform.urls.mqtts, join(own.folder, 'pump.1'), 'pump.1');
  const last = (type: string) => heard.findLast((one) => one.type === type);

  beforeAll(async () => {
    own = await testPlatform();
    for (const name of ['pump.1', 'idle'])
      await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
    const { name, version, sequence, digest } = await pushTiny(own.client, own.key);
    device = await connect();
    await device.report('IDLE', {
      model: { name, version, sequence, digest },
      firmware: { version: '1.0' },
    });
    source = await side.open(own);
    heard = collected(source);
    expect(await apply()).toMatchObject({ project: 'plant', change: 'created' });
  });
  afterAll(async () => {
    await source.close();
    await device.client.endAsync(true);
    await own.stop();
  });

  it('announces each device that is online, with all metrics and their types', async () => {
    await expect
      .poll(() => last('DBIRTH'), waitLong)
      .toMatchObject({
        ...{ group: 'works', node: 'hall', device: 'pump.1', online: true },
        metrics: {
          ...{ temperature: null, load: null, 'prediction/label': null, 'prediction/confidence': null },
          ...{ 'version/firmware': '1.0', 'version/model': 'tiny@1' },
        },
      });
    expect(heard.some(({ device: name }) => name === 'idle')).toBe(false);
  });

  it('sends values and predictions that have changed, without another birth', async () => {
    const births = heard.filter(({ type }) => type === 'DBIRTH').length;
    await send('telemetry/motors', { t: 1, rate: 10, temperature: [20, 21.5], load: [7, 8], other: [1, 2] });
    await send('telemetry/unrelated', { t: 1, temperature: 99 });
    await send('inference', {
      ...{ seq: 0, t: Date.now(), model: { name: 'tiny', version: 1 }, window: 0, latencyMs: 1 },
      ...{ label: 'low', voted: 'high', scores: [0.25, 0.75] },
    });
    const merged = () =>
      Object.assign({}, ...heard.filter(({ type }) => type === 'DDATA').map(({ metrics }) => metrics));
    await expect.poll(merged, waitLong).toEqual({
      ...{ temperature: 21.5, load: 8, 'prediction/label': 'high', 'prediction/confidence': 75 },
    });
    await send('telemetry/motors', { t: 2, temperature: 22, load: 8 });
    await expect.poll(() => last('DDATA')?.metrics, waitLong).toEqual({ temperature: 22 });
    expect(heard.filter(({ type }) => type === 'DBIRTH')).toHaveLength(births);
    expect(heard.filter(({ gap, unresolved }) => gap || unresolved)).toEqual([]);
  });

  it('answers a host that asks for births', async () => {
    const late = await side.open(own);
    const later = collected(late);
    await send('telemetry/motors', { t: 3, temperature: 23, load: 8 });
    await expect.poll(() => later.map(({ type }) => type), waitLong).toEqual(['DDATA', 'NBIRTH', 'DBIRTH']);
    expect(later[2]?.metrics).toMatchObject({ temperature: 23, load: 8, 'prediction/label': 'high' });
    await late.close();
  });

  it('declares a device offline when it disconnects, and announces it again', async () => {
    await device.client.endAsync(true);
    await expect
      .poll(() => heard.at(-1), waitLong)
      .toMatchObject({ type: 'DDEATH', device: 'pump.1', online: false });
    device = await connect();
    await expect
      .poll(() => heard.at(-1), waitLong)
      .toMatchObject({ type: 'DBIRTH', metrics: { temperature: 23, 'version/model': 'tiny@1' } });
  });

  it('begins again as another node, and leaves', async () => {
    expect(await apply({ node: 'yard' })).toMatchObject({ change: 'changed' });
    await expect.poll(() => last('NDEATH'), waitLong).toMatchObject({ node: 'hall' });
    await expect.poll(() => last('DBIRTH'), waitLong).toMatchObject({ node: 'yard', device: 'pump.1' });
    expect(await apply({ node: 'yard' })).toMatchObject({ change: 'unchanged' });
    expect(await apply(null)).toMatchObject({ change: 'removed', broker: null });
    await expect.poll(() => last('NDEATH'), waitLong).toMatchObject({ node: 'yard' });
  });
}
