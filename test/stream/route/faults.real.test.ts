import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import mqtt from 'mqtt';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { openSource } from '../../../src/lib/stream/open.js';
import { text, until } from '../../support/fake-streams.js';
import { type KafkaBroker, kcat, kcatWrite, startKafka } from '../../support/kafka.js';
import { type Mosquitto, startMosquitto } from '../../support/mosquitto.js';
import { describeReal } from '../../support/real.js';
import { type BridgeProcess, startBridge, startRoutes } from './bridge-process.js';

const many = process.env.AIOT_LONG === '1' ? 100_000 : 6000;
const stops: (() => Promise<unknown>)[] = [];
let environment: Record<string, string> = {};
const bridges: BridgeProcess[] = [];

function bridge(...words: string[]): BridgeProcess {
  const started = startBridge(words, environment);
  bridges.push(started);
  return started;
}

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-faults-'));
  environment = { AIOT_CONFIG_DIR: join(folder, 'config'), AIOT_DATA_DIR: join(folder, 'data') };
  stops.push(() => rm(folder, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const one of bridges.splice(0)) await one.end('SIGKILL');
});
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** Publishes with mqtt.js at QoS 1, so that acknowledged messages have arrived, whatever happens to the broker. */
async function publish(port: number, topic: string, count: number, perSecond: number): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
    clientId: `p-${topic}`,
    clean: false,
    reconnectPeriod: 50,
  });
  const sent: Promise<unknown>[] = [];
  for (let n = 0; n < count; n++) {
    sent.push(client.publishAsync(topic, JSON.stringify({ n, pad: 'x'.repeat(100) }), { qos: 1 }));
    if (n % Math.ceil(perSecond / 20) === 0) await delay(50);
  }
  await Promise.all(sent);
  await client.endAsync();
}

/**
 * Returns the numbers in a topic, in order, once `count` different ones have arrived or after two minutes. They
 * are read with kcat, because a consumer group would first have to join.
 */
async function kafkaValues(address: string, topic: string, count: number): Promise<number[]> {
  for (const deadline = Date.now() + 120_000; ; await delay(250)) {
    const lines = kcat(address, topic, '%s\n').trim().split('\n');
    const values = lines.filter((line) => line !== '').map((line) => (JSON.parse(line) as { n: number }).n);
    if (new Set(values).size >= count || Date.now() > deadline) return values;
  }
}

describeReal('kafka', 'a bridge from Mosquitto to Kafka', () => {
  let kafka: KafkaBroker;
  let broker: Mosquitto;
  beforeAll(async () => {
    [kafka, broker] = await Promise.all([
      startKafka(),
      startMosquitto({
        settings: [
          'persistence true',
          'autosave_on_changes true',
          'autosave_interval 1',
          'max_inflight_messages 1000',
        ],
      }),
    ]);
    stops.push(
      () => kafka.stop(),
      () => broker.stop(),
    );
  }, 60_000);

  test('delivers every message even if both are restarted under load, and drains on SIGTERM', async () => {
    await kafka.createTopic('load');
    const started = bridge(
      `mqtt://127.0.0.1:${broker.port}/load?qos=1&clientId=b1&clean=false`,
      `kafka://${kafka.address}/load`,
    );
    await started.ready;
    const publishing = publish(broker.port, 'load', many, many / 6);
    const faults = (async () => {
      await delay(1000);
      await kafka.kill();
      await delay(1000);
      await broker.restart({ signal: 'SIGTERM', downMs: 300 });
      await kafka.start();
      await delay(1000);
      await broker.restart({ signal: 'SIGTERM', downMs: 300 });
    })();
    await Promise.all([publishing, faults]);
    const got = await kafkaValues(kafka.address, 'load', many);
    expect(new Set(got).size).toBe(many);
    expect(await started.end('SIGTERM')).toBe(0);
    expect(started.output()).toContain('connected again');
  }, 240_000);

  test('delivers each message once and in order with --exactly-once despite repeated kill -9', async () => {
    await kafka.createTopic('once');
    const words = [
      `mqtt://127.0.0.1:${broker.port}/once?qos=1&clientId=b2&clean=false`,
      `kafka://${kafka.address}/once`,
      '--dedupe',
      'n',
      '--exactly-once',
    ];
    await bridge(...words).ready;
    const count = Math.min(many, 4000);
    const publishing = publish(broker.port, 'once', count, count / 8);
    for (let kill = 0; kill < 2; kill++) {
      await delay(700);
      await bridges.at(-1)?.end('SIGKILL');
      await bridge(...words).ready;
    }
    await publishing;
    const got = await kafkaValues(kafka.address, 'once', count);
    expect(got).toEqual(Array.from({ length: count }, (_, n) => n));
  }, 240_000);

  test.each([
    ['tumbling', 'size: 1s', 1000],
    ['overlapping', 'size: 2s, every: 1s', 1000],
  ])(
    'delivers each %s window once and in full despite repeated kill -9',
    async (name, window, every) => {
      const [from, to] = [`in-${name}`, `out-${name}`];
      await kafka.createTopic(from);
      await kafka.createTopic(to);
      const folder = await mkdtemp(join(tmpdir(), 'aiot-windows-'));
      stops.push(() => rm(folder, { recursive: true, force: true }));
      const file = join(folder, 'routes.yaml');
      await writeFile(
        file,
        `routes:
  windows:
    from: kafka://${kafka.address}/${from}?group=${name}&from=beginning
    window: { ${window}, key: d, time: t, path: ${join(folder, 'state')} }
    map: '{"d": key, "start": start, "all": values.n}'
    dedupe: { key: 'key & "/" & start', exactlyOnce: true }
    batch: { messages: 5 }
    to: kafka://${kafka.address}/${to}
`,
      );
      const run = () => {
        const started = startRoutes(file, environment);
        bridges.push(started);
        return started;
      };
      const count = 3000;
      // Recent, because a result has its window's time, and Kafka deletes old records. Nothing is in the future.
      const base = Math.floor((Date.now() - 240_000) / 1000) * 1000;
      const message = (n: number) => ({ n, d: n % 2 === 0 ? 'even' : 'odd', t: base + n * 50 });
      const lines = (first: number, end: number) =>
        Array.from({ length: end - first }, (_, i) => JSON.stringify(message(first + i))).join('\n');
      const results = () =>
        kcat(kafka.address, to, '%s\n')
          .trim()
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line) as { d: string; start: number; all: number[] });
      for (let part = 0; part < 3; part++) {
        const before = results().length;
        const started = run();
        await started.ready;
        kcatWrite(kafka.address, from, `${lines((part * count) / 3, ((part + 1) * count) / 3)}\n`);
        // Killed in the middle of its work: as soon as some of the part's windows have arrived.
        await expect.poll(() => results().length, { timeout: 120_000, interval: 20 }).toBeGreaterThan(before);
        await started.end('SIGKILL');
      }
      // A later message closes the last windows.
      const last = { d: 'none', t: base + count * 50 + 60_000, n: -1 };
      kcatWrite(kafka.address, from, `${JSON.stringify(last)}\n`);
      const expected = new Map<string, number[]>();
      const size = window.startsWith('size: 2s') ? 2000 : 1000;
      for (let n = 0; n < count; n++) {
        const { d, t } = message(n);
        for (let start = Math.floor(t / every) * every; start + size > t; start -= every)
          expected.set(`${d}/${start}`, [...(expected.get(`${d}/${start}`) ?? []), n]);
      }
      await run().ready;
      await expect
        .poll(() => results().length, { timeout: 120_000, interval: 200 })
        .toBeGreaterThanOrEqual(expected.size);
      const got = results().map(({ d, start, all }) => [`${d}/${start}`, [all].flat()] as const);
      expect(got).toHaveLength(expected.size);
      expect(Object.fromEntries(got)).toEqual(Object.fromEntries(expected));
    },
    600_000,
  );
});

describeReal('mosquitto', 'bridges in one group', () => {
  test.each(['5', '3.1.1'])(
    'share the messages with MQTT %s, and lose none even if one is killed',
    async (version) => {
      const broker = await startMosquitto();
      const folder = await mkdtemp(join(tmpdir(), 'aiot-group-'));
      stops.push(
        () => broker.stop(),
        () => rm(folder, { recursive: true, force: true }),
      );
      const start = (name: string) =>
        bridge(
          `mqtt://127.0.0.1:${broker.port}/shared?group=g&clientId=${name}&clean=false&version=${version}`,
          `file:${join(folder, `${name}.ndjson`)}`,
          ...['--name', name],
        );
      const stored = async (name: string) => {
        const lines = (await readFile(join(folder, `${name}.ndjson`), 'utf8')).trim().split('\n');
        return lines.map((line) => (JSON.parse(line) as { payload: number }).payload);
      };
      const [first, second] = [start('b1'), start('b2')];
      await Promise.all([first.ready, second.ready]);
      const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`);
      const send = (from: number, to: number) =>
        Promise.all(
          Array.from({ length: to - from }, (_, n) =>
            client.publishAsync('shared', String(from + n), { qos: 1 }),
          ),
        );
      await send(0, 200);
      await expect
        .poll(async () => (await stored('b1')).length > 50 && (await stored('b2')).length > 50)
        .toBe(true);
      await first.end('SIGKILL');
      await send(200, 400);
      // Mosquitto delivers the messages in the killed member's session either to that member when it returns, or
      // to the other one.
      await start('b1').ready;
      await expect
        .poll(async () => new Set([...(await stored('b1')), ...(await stored('b2'))]).size, {
          timeout: 30_000,
        })
        .toBe(400);
      await client.endAsync();
    },
    60_000,
  );
});

describeReal('mosquitto', 'a bridge between two Mosquittos', () => {
  test('loses nothing and keeps order and properties in a long outage with a kill -9 of the bridge', async () => {
    const [near, far] = await Promise.all([startMosquitto(), startMosquitto()]);
    stops.push(
      () => near.stop(),
      () => far.stop(),
    );
    const farSource = await openSource(
      `mqtt://127.0.0.1:${far.port}/faces?qos=1&clientId=check&clean=false`,
      { overflow: 'wait' },
    );
    const got: { text: string; headers: string }[] = [];
    void (async () => {
      for await (const batch of farSource) {
        for (const { message, ack } of batch) {
          got.push({ text: text(message.payload), headers: JSON.stringify(message.headers) });
          ack();
        }
      }
    })();
    // A port without a listener simulates a link that is down.
    const spool = join(environment.AIOT_DATA_DIR as string, 'spool');
    const from = `mqtt://127.0.0.1:${near.port}/faces?qos=1&clientId=f1&clean=false`;
    const down = bridge(from, 'mqtt://127.0.0.1:9/faces', '--spool', spool, '--name', 'faces');
    await until(() => down.output().includes('retrying'), 20_000);
    await down.ready;
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${near.port}`, { protocolVersion: 5 });
    const send = async (start: number, end: number) => {
      for (let n = start; n < end; n++) {
        const properties = { contentType: 'image/png', userProperties: { n: String(n) } };
        await client.publishAsync('faces', `face ${n}`, { qos: 1, properties });
      }
    };
    await send(0, 200);
    await delay(300);
    await down.end('SIGKILL');
    await send(200, 250);
    const up = bridge(from, `mqtt://127.0.0.1:${far.port}/faces`, '--spool', spool, '--name', 'faces');
    await up.ready;
    await send(250, 300);
    await until(() => new Set(got.map((one) => one.text)).size === 300, 20_000);
    // A message that was in the spool but not yet acknowledged when the bridge was killed arrives twice.
    const first = got.filter((one, index) => got.findIndex((other) => other.text === one.text) === index);
    expect(first.map((one) => one.text)).toEqual(Array.from({ length: 300 }, (_, n) => `face ${n}`));
    expect(first[299]?.headers).toContain('["n","299"]');
    expect(first[0]?.headers).toContain('["content-type","image/png"]');
    expect(await up.end('SIGTERM')).toBe(0);
    await client.endAsync();
    await farSource.close();
  }, 90_000);
});
