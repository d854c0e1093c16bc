import { headers as natsHeaders } from 'nats';
import { MsgHdrsImpl } from 'nats/lib/nats-base-client/internal_mod.js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  batchHeader,
  batchHeaderBytes,
  RecordReader,
  writeBatch,
} from '../../../src/lib/stream/kafka/wire/record-batch.js';
import { deliveriesOf, type Header, type OutgoingMessage } from '../../../src/lib/stream/message.js';
import { headersFrom, headersTo } from '../../../src/lib/stream/nats/messages.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { type BridgeOptions, bridgeRoute } from '../../../src/lib/stream/route/bridge.js';
import { runRoutes } from '../../../src/lib/stream/route/run.js';
import { fakeSink, fakeSource } from '../../support/fake-streams.js';
import { type TestPlatform, testPlatform } from '../../support/platform.js';

/** Headers for each of MQTT 5's own properties, and with values that one of the brokers cannot carry unchanged. */
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

/** Functions that return the headers of a message after writing and reading them in a broker's own format. */
const wires: Record<string, (message: OutgoingMessage) => Promise<readonly Header[] | undefined>> = {
  'nats://far': async ({ headers: given = [] }) => {
    const written = headersTo(given, natsHeaders) as MsgHdrsImpl;
    return headersFrom(MsgHdrsImpl.decode(written.encode()));
  },
  'kafka://far': async (message) => {
    const batch = await writeBatch([message], { id: 7n, epoch: 1, sequence: 0 }, 'none', Date.now());
    const reader = new RecordReader(batch.subarray(batchHeaderBytes), batchHeader(batch, 0)!);
    reader.next();
    return reader.headers;
  },
};

let own: TestPlatform;
let mqtt: string;
const stops: (() => unknown)[] = [];
beforeAll(async () => {
  own = await testPlatform({ plain: { port: 0 } });
  mqtt = own.platform.urls.mqtt?.replace('mqtt://', `mqtt://u:${own.token}@`) ?? '';
}, 60_000);
afterAll(() => own?.stop());
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/**
 * Runs a bridge until the test ends. Addresses in `wires` are simulated brokers that store headers in their own format; all others belong
 * to the platform's broker.
 */
async function bridge(from: string, to: string, more: Partial<BridgeOptions> = {}) {
  const [sink, source] = [fakeSink(to), fakeSource(from)];
  const stop = new AbortController();
  let opened = () => {};
  const open = new Promise<void>((resolve) => {
    opened = resolve;
  });
  const far = (url: string) => Object.keys(wires).some((start) => url.startsWith(start));
  const running = runRoutes([bridgeRoute({ from, to, ...more })], {
    signal: stop.signal,
    onOpen: opened,
    open: {
      source: (url) => (far(url) ? Promise.resolve(source) : undefined),
      sink: (url) => (far(url) ? Promise.resolve(sink) : undefined),
    },
  });
  stops.push(() => {
    stop.abort();
    return running;
  });
  await Promise.race([open, running]);
  return { sink, source };
}

async function publish(topic: string, list: readonly Header[]): Promise<void> {
  const sink = await openSink(`${mqtt}/${topic}?version=5`);
  await sink.write([{ topic, payload: Buffer.from('{"t":21.5}'), headers: list }]);
  await sink.close();
}

const stored = async ({ sink }: Awaited<ReturnType<typeof bridge>>): Promise<OutgoingMessage> => {
  await expect.poll(() => sink.written.length).toBe(1);
  return sink.written[0]!;
};

describe.each(Object.keys(wires))('headers of a bridge between the platform’s broker and %s', (far) => {
  const scheme = far.slice(0, far.indexOf(':'));

  it('are the same at the destination and after the return trip', async () => {
    const arrived = await openSource(`${mqtt}/${scheme}/back?version=5`);
    stops.push(() => arrived.close());
    const there = await bridge(`${mqtt}/${scheme}/there?version=5`, `${far}/there`);
    const back = await bridge(`${far}/there`, `${mqtt}/${scheme}/back?version=5`);
    await publish(`${scheme}/there`, headers);
    const wired = await wires[far]!(await stored(there));
    expect(byName(wired)).toEqual(byName(headers));
    back.source.give({ payload: Buffer.from('{"t":21.5}'), headers: wired, source: far });
    const { value } = await deliveriesOf(arrived).next();
    value?.ack();
    expect(byName(value?.message.headers)).toEqual(byName(headers));
    expect(String(value?.message.payload)).toBe('{"t":21.5}');
  });

  it('keep the remaining message expiry', async () => {
    const there = await bridge(`${mqtt}/${scheme}/expiry?version=5`, `${far}/there`);
    await publish(`${scheme}/expiry`, [['mqtt-message-expiry-interval', '3600']]);
    const [header] = (await wires[far]!(await stored(there))) ?? [];
    expect(header?.[0]).toBe('mqtt-message-expiry-interval');
    expect(Number(header?.[1])).toBeGreaterThan(3500);
    expect(Number(header?.[1])).toBeLessThanOrEqual(3600);
  });
});

describe('headers that JetStream interprets', () => {
  const commands: Header[] = [
    ['Nats-Msg-Id', 'same'],
    ['nats-rollup', 'all'],
    ['Nats', 'no command'],
    ['X-Nats-Msg-Id', 'no command'],
  ];
  const renamed = [
    'Original-Nats-Msg-Id=same',
    'Original-nats-rollup=all',
    'Nats=no command',
    'X-Nats-Msg-Id=no command',
  ];
  const shown = (list: readonly Header[] = []) => list.map(([name, value]) => `${name}=${value}`);

  it('are renamed in a message from an MQTT client', async () => {
    const there = await bridge(`${mqtt}/ids/nats?version=5`, 'nats://far/ids');
    await publish('ids/nats', commands);
    expect(shown(await wires['nats://far']!(await stored(there)))).toEqual(renamed);
  });

  it('are unchanged on the way to Kafka, and renamed from there to NATS', async () => {
    const there = await bridge(`${mqtt}/ids/kafka?version=5`, 'kafka://far/ids');
    await publish('ids/kafka', commands);
    const wired = await wires['kafka://far']!(await stored(there));
    expect(shown(wired)).toEqual(shown(commands));
    const on = await bridge('kafka://far/ids', 'nats://far/ids');
    on.source.give({ payload: Buffer.from('x'), headers: wired, source: 'kafka://far' });
    expect(shown(await wires['nats://far']!(await stored(on)))).toEqual(renamed);
  });

  it('are unchanged if the route sets them, or the message is from NATS', async () => {
    const set = await bridge(`${mqtt}/ids/set?version=5`, 'nats://far/ids', {
      headers: ['Nats-Msg-Id=$string(t)'],
    });
    await publish('ids/set', commands);
    expect(shown(await wires['nats://far']!(await stored(set)))).toEqual([
      ...renamed.slice(1),
      'Nats-Msg-Id=21.5',
    ]);
    const on = await bridge('nats://far/ids', 'nats://far/copy');
    on.source.give({ payload: Buffer.from('x'), headers: commands, source: 'nats://far' });
    expect(shown(await wires['nats://far']!(await stored(on)))).toEqual(shown(commands));
  });
});
