import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { deliveriesOf, type Header, type Source } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { bridgeRoute } from '../../../src/lib/stream/route/bridge.js';
import { runRoutes } from '../../../src/lib/stream/route/run.js';
import type { RoutesEnd } from '../../../src/lib/stream/route/types.js';
import { type KafkaBroker, kcat, startKafka } from '../../support/kafka.js';
import { type Mosquitto, startMosquitto } from '../../support/mosquitto.js';
import { type NatsServer, natsClient, startNats } from '../../support/nats.js';
import { describeReal } from '../../support/real.js';

/** Headers for each of MQTT 5's own properties, and with the values that one of the brokers cannot carry. */
const headers: Header[] = [
  ['unit', 'C'],
  ['unit', 'K'],
  ['Ort der Messung', 'Küche'],
  ['raw', Buffer.from([0, 255, 10])],
  ['lines', 'one\ntwo'],
  ['empty', ''],
  ['content-type', 'application/json'],
  ['mqtt-response-topic', 'answers/b1'],
  ['mqtt-correlation-data', Buffer.from([1, 0, 254])],
  ['mqtt-payload-format-indicator', '1'],
];
const byName = (list: readonly Header[] = []) =>
  list.map(([name, value]) => `${name}=${Buffer.from(value as string).toString('hex')}`).sort();

let broker: Mosquitto;
let mqtt: string;
const stops: (() => unknown)[] = [];
beforeAll(async () => {
  broker = await startMosquitto();
  mqtt = `mqtt://127.0.0.1:${broker.port}`;
});
afterAll(() => broker?.stop());
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** Runs a bridge until the test ends. */
async function bridge(from: string, to: string): Promise<() => Promise<RoutesEnd>> {
  const end = new AbortController();
  let opened = () => {};
  const open = new Promise<void>((resolve) => {
    opened = resolve;
  });
  const running = runRoutes([bridgeRoute({ from, to })], { signal: end.signal, onOpen: opened });
  const stop = () => {
    end.abort();
    return running;
  };
  stops.push(stop);
  await Promise.race([open, running]);
  return stop;
}

async function source(url: string): Promise<Source> {
  const opened = await openSource(url);
  stops.push(() => opened.close());
  return opened;
}

async function publish(topic: string, payload = '{"t":21.5}'): Promise<void> {
  const sink = await openSink(`${mqtt}/${topic}?version=5`);
  await sink.write([{ topic, payload: Buffer.from(payload), headers }]);
  await sink.close();
}

async function first(from: Source) {
  const { value } = await deliveriesOf(from).next();
  value?.ack();
  return value?.message;
}

describeReal('kafka', 'headers of a bridge between MQTT 5 and Kafka', () => {
  let kafka: KafkaBroker;
  beforeAll(async () => {
    kafka = await startKafka();
  }, 60_000);
  afterAll(() => kafka?.stop());

  it('survive a round trip through Kafka, and another Kafka client can read them', {
    timeout: 60_000,
  }, async () => {
    await kafka.createTopic('there');
    const arrived = await source(`${mqtt}/back?version=5`);
    await bridge(`${mqtt}/there?version=5`, `kafka://${kafka.address}/there`);
    await bridge(`kafka://${kafka.address}/there?from=beginning`, `${mqtt}/back?version=5`);
    await publish('there');
    const message = await first(arrived);
    expect(byName(message?.headers)).toEqual(byName(headers));
    expect(String(message?.payload)).toBe('{"t":21.5}');
    expect(kcat(kafka.address, 'there', '%h\n')).toContain('unit=C,unit=K');
  });

  it('are dropped and counted for a broker with MQTT 3.1.1', { timeout: 60_000 }, async () => {
    await kafka.createTopic('plain');
    const arrived = await source(`${mqtt}/plain`);
    const stop = await bridge(`kafka://${kafka.address}/plain?from=beginning`, `${mqtt}/plain?version=3.1.1`);
    const sink = await openSink(`kafka://${kafka.address}/plain`);
    await sink.write([{ topic: 'plain', payload: Buffer.from('x'), headers }]);
    await sink.close();
    expect(await first(arrived)).toMatchObject({ payload: Buffer.from('x'), topic: 'plain' });
    expect(await stop()).toMatchObject({ routes: [{ to: [{ written: 1, withoutHeaders: 1 }] }] });
  });
});

describeReal('nats', 'headers of a bridge between MQTT 5 and NATS', () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNats();
  });
  afterAll(() => server?.stop());
  beforeEach(async () => {
    const judge = await natsClient(server);
    stops.push(() => judge.close());
    const manager = await judge.jetstreamManager();
    await manager.streams.add({ name: 'PLANT', subjects: ['plant.>'] });
    stops.push(() => manager.streams.delete('PLANT'));
  });

  it('that JetStream interprets are renamed, so an MQTT client cannot make it discard messages', async () => {
    const judge = await natsClient(server);
    stops.push(() => judge.close());
    const manager = await judge.jetstreamManager();
    await bridge(`${mqtt}/plant/ids?version=5`, `${server.url}/plant.ids`);
    const sink = await openSink(`${mqtt}/plant/ids?version=5`);
    for (const payload of ['one', 'two'])
      await sink.write([
        {
          topic: 'plant/ids',
          payload: Buffer.from(payload),
          headers: [
            ['Nats-Msg-Id', 'same'],
            ['nats-rollup', 'all'],
          ],
        },
      ]);
    await sink.close();
    await expect.poll(async () => (await manager.streams.info('PLANT')).state.messages).toBe(2);
    const stored = await manager.streams.getMessage('PLANT', { seq: 2 });
    expect(Buffer.from(stored.data).toString()).toBe('two');
    expect(stored.header.get('Original-Nats-Msg-Id')).toBe('same');
    expect(stored.header.get('Original-nats-rollup')).toBe('all');
  });

  it('survive a round trip through JetStream, and another NATS client can read them', async () => {
    const judge = await natsClient(server);
    stops.push(() => judge.close());
    const heard = judge.subscribe('plant.there', { max: 1 });
    await judge.flush();
    const arrived = await source(`${mqtt}/back/there?version=5`);
    await bridge(`${mqtt}/plant/there?version=5`, `${server.url}/plant.there`);
    await bridge(`${server.url}/plant.>?stream=PLANT&durable=b1`, `${mqtt}/back/there?version=5`);
    await publish('plant/there');
    const message = await first(arrived);
    expect(byName(message?.headers)).toEqual(byName(headers));
    for await (const { headers: read } of heard) {
      expect(read?.values('unit')).toEqual(['C', 'K']);
      expect(read?.get('content-type')).toBe('application/json');
    }
  });
});
