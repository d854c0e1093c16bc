import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceRecord } from '../../src/lib/platform/devices/devices.js';
import { SparkplugService } from '../../src/lib/platform/events/sparkplug.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { createLocalStreams, type LocalStreams, type Offered } from '../../src/lib/platform/streams.js';
import type { Delivery } from '../../src/lib/stream/message.js';
import { openSource } from '../../src/lib/stream/open.js';
import { dataType, rebirthMetric, sparkplugCodec } from '../../src/lib/stream/sparkplug/payload.js';
import { openSparkplugSource } from '../../src/lib/stream/sparkplug/source.js';
import { parseStreamUrl } from '../../src/lib/stream/url.js';
import { startBroker } from '../support/broker.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { collected, sparkplugDefinition, sparkplugSuite, waitLong } from './sparkplug-suite.js';

describe('the edge node on the platform’s broker', () => {
  sparkplugSuite({
    definition: () => ({}),
    async open(own) {
      const scopes = ['stream:spBv1.0/#'];
      const { token } = await own.client.tokens.create({ name: 'scada', role: 'ci', scopes });
      const credentials = { ca: own.ca, username: 'scada', password: token };
      const options = { ...credentials, overflow: 'wait' } as const;
      return openSparkplugSource(
        parseStreamUrl('sparkplug:///works'),
        parseStreamUrl(own.platform.urls.mqtts),
        options,
      );
    },
  });
});

describe('a project’s definition of an edge node', () => {
  let own: TestPlatform;
  beforeAll(async () => {
    own = await testPlatform();
  });
  afterAll(() => own.stop());

  it('is recorded without credentials, belongs to one project, and outlives a restart', async () => {
    const broker = 'mqtt://a:$AIOT_NOTIFY_NONE@127.0.0.1:1/';
    const apply = (project: string, definition: ReturnType<typeof sparkplugDefinition> | null) =>
      own.platform.applySparkplug({ project, definition });
    expect(await apply('plant', sparkplugDefinition({ broker }))).toEqual({
      ...{ project: 'plant', change: 'created', broker: 'mqtt://127.0.0.1:1' },
    });
    await expect(apply('other', sparkplugDefinition({ project: 'other' }))).rejects.toMatchObject({
      code: 'AIOT_ALREADY_EXISTS',
    });
    expect(await apply('other', null)).toMatchObject({ change: 'unchanged' });
    await own.restart();
    expect(await apply('plant', sparkplugDefinition({ broker }))).toMatchObject({ change: 'unchanged' });
    const { entries } = await own.client.audit.log({ limit: 1000, type: 'sparkplug.apply' });
    expect(entries.map(({ subject, data }) => [subject, data])).toEqual([
      ['plant', { change: 'created', broker: 'mqtt://127.0.0.1:1' }],
    ]);
    await expect(apply('plant', sparkplugDefinition({ selector: 'name' }))).rejects.toThrow();
  });
});

describe('the worker of the edge node', () => {
  let store: Store;
  let streams: LocalStreams;
  let published: string[];
  let visits: number;
  let reads: string[];
  let stop: () => Promise<void>;

  beforeEach(async () => {
    store = await openStore(':memory:');
    [published, visits, reads, stop] = [[], 0, [], async () => {}];
    streams = createLocalStreams({
      endpoint: 'aiot://stream',
      publish: async ({ topic }) => void published.push(topic.split('/').slice(2).join('/')),
      retained: async () => [],
    });
  });
  afterEach(async () => {
    // First, because a delayed message would keep the worker from ending.
    streams.close();
    await stop();
    await store.destroy();
  });

  /** Runs the worker with two devices that are online, and use the same model. */
  async function run(external: string | null) {
    const definition = sparkplugDefinition({ everyMs: 1 });
    await store
      .insertInto('meta')
      .values({ key: 'sparkplug', value: JSON.stringify(definition) })
      .execute();
    const reported = { model: { name: 'tiny', version: 1 }, firmware: { version: '1.0' } };
    const records = ['a', 'b'].map(
      (name) => ({ name, state: 'active', reported }) as unknown as DeviceRecord,
    );
    const reader = {
      end: async () => '0',
      async *from(_: string, signal: AbortSignal) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    };
    const parts = {
      ...{ store, events: {}, telemetry: { reader }, broker: { streams, external } },
      devices: {
        async visit(look: (device: DeviceRecord) => void) {
          visits++;
          records.forEach(look);
        },
        online: () => true,
      },
      models: {
        async get(name: string, version: number) {
          reads.push(`${name}@${version}`);
          return { answer: { kind: 'classes' } };
        },
      },
      ...{ log: pino({ level: 'silent' }), now: Date.now },
    };
    const service = new SparkplugService(
      parts as unknown as ConstructorParameters<typeof SparkplugService>[0],
    );
    const ending = new AbortController();
    const work = service.worker().run(ending.signal);
    stop = async () => {
      ending.abort();
      await work;
    };
  }

  it('reads each model once', async () => {
    await run(null);
    await expect.poll(() => visits, waitLong).toBeGreaterThan(2);
    expect(reads).toEqual(['tiny@1']);
  });

  it('publishes in order while a reader in the same process delays a message', async () => {
    const held: Delivery[] = [];
    const reader = await streams.openSource('spBv1.0/works/NBIRTH/#', { overflow: 'wait' });
    void (async () => {
      for await (const batch of reader) held.push(...batch);
    })();
    await run(null);
    await expect.poll(() => held.length, waitLong).toBe(1);
    held[0]?.ack();
    await expect.poll(() => published, waitLong).toEqual(['NBIRTH/hall', 'DBIRTH/hall/a', 'DBIRTH/hall/b']);
    published = [];
    const metrics = [{ name: rebirthMetric, type: dataType.boolean, value: true }];
    const payload = Buffer.from((await sparkplugCodec()).encode({ metrics }));
    const command: Offered = { topic: 'spBv1.0/works/NCMD/hall', payload, qos: 0, retain: false };
    streams.offer(command, () => {});
    await expect.poll(() => held.length, waitLong).toBe(2);
    for (let turn = 0; turn < 10; turn++) await nextTurn();
    expect(published).toEqual([]);
    held[1]?.ack();
    await expect.poll(() => published, waitLong).toEqual(['NBIRTH/hall', 'DBIRTH/hall/a', 'DBIRTH/hall/b']);
  });

  it('has a will and repeats its births on the platform’s broker if that is external', async () => {
    const broker = await startBroker();
    const source = await openSource(`sparkplug://127.0.0.1:${broker.port}/works?rebirth=false`, {
      overflow: 'wait',
    });
    try {
      const heard = collected(source);
      await run(`mqtt://127.0.0.1:${broker.port}`);
      const types = () => heard.map(({ type }) => type);
      const births = ['NBIRTH', 'DBIRTH', 'DBIRTH'];
      await expect.poll(types, waitLong).toEqual(births);
      const client = broker.aedes as unknown as { clients: Record<string, { conn: { destroy(): void } }> };
      client.clients['aiot-works-hall']?.conn.destroy();
      await expect.poll(types, waitLong).toEqual([...births, 'NDEATH', ...births]);
      await stop();
      await expect.poll(() => types().at(-1), waitLong).toBe('NDEATH');
    } finally {
      await stop();
      await source.close();
      await broker.close();
    }
  });
});
