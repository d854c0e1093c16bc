import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deliveriesOf, type Source } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { connectEdgeNode } from '../../../src/lib/stream/sparkplug/connection.js';
import { EdgeNode, type MetricValue } from '../../../src/lib/stream/sparkplug/edge-node.js';
import {
  dataType,
  namespace,
  rebirthMetric,
  type SparkplugCodec,
  type SparkplugPayload,
  sparkplugCodec,
  typed,
  valueAs,
} from '../../../src/lib/stream/sparkplug/payload.js';
import { HostReader, type SparkplugValue } from '../../../src/lib/stream/sparkplug/source.js';
import { startBroker } from '../../support/broker.js';
import { connect } from '../../support/mqtt.js';
import { fc } from '../../support/property.js';

let codec: SparkplugCodec;
beforeAll(async () => {
  codec = await sparkplugCodec();
});
const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const open of closing.splice(0).reverse()) await open.close();
});

/** A payload made by Eclipse Tahu's Python classes, with a metric of each data type (`addMetric` in sparkplug_b.py). */
const fromTahu = [
  '0880d196e5ac3312120a026938100018fbd196e5ac33200150fb0112140a03693136100118fbd196e5ac33200250d4fd0312160a036933',
  '32100218fbd196e5ac3320035090ddfbff0f121b0a03693634100318fbd196e5ac332004588080808080e0ffffff0112120a0275381004',
  '18fbd196e5ac33200550c80112140a03753136100518fbd196e5ac33200650e0d40312160a03753332100618fbd196e5ac3320075080d0',
  'acf30e121b0a03753634100718fbd196e5ac33200858ffffffffffffffffff0112130a0166100818fbd196e5ac332009650000c03f1217',
  '0a0164100918fbd196e5ac33200a699a9999999999b93f12100a0162100a18fbd196e5ac33200b700112150a0173100b18fbd196e5ac33',
  '200c7a056772c3bc6e12180a047768656e100c18fbd196e5ac33200d58fbd196e5ac3312160a0174100d18fbd196e5ac33200e7a066120',
  '7465787412150a026964100e18fbd196e5ac33200f7a043062316312170a056279746573100f18fbd196e5ac33201182010200ff122b0a',
  '03736574101018fbd196e5ac3320108a011808021201611201621801180c220a0a0308ff010a03320178123e0a0374706c101118fbd196',
  'e5ac33201392012b12140a05737065656418fbd196e5ac33200250feff031a0a0a04706f6c651003180422056d6f746f72280012130a04',
  '6e6f6e65101218fbd196e5ac33200a3801121b0a036f6c6410131893ca96e5ac33200a28016900000000000004401807',
].join('');

describe('Sparkplug payloads', () => {
  it('are read as Eclipse Tahu writes them', () => {
    const { metrics, ...head } = codec.decode(Buffer.from(fromTahu, 'hex'));
    expect(head).toEqual({ time: 1_764_370_000_000, seq: 7 });
    expect(Object.fromEntries(metrics.map(({ name, value }) => [name, value]))).toEqual({
      ...{ i8: -5, i16: -300, i32: -70_000, i64: -(2 ** 40), u8: 200, u16: 60_000, u32: 4_000_000_000 },
      ...{ u64: '18446744073709551615', f: 1.5, d: 0.1, b: true, s: 'grün', when: 1_764_370_000_123 },
      ...{ t: 'a text', id: '0b1c', bytes: 'AP8=', set: { columns: ['a', 'b'], rows: [[-1, 'x']] } },
      ...{
        tpl: { template: 'motor', metrics: { speed: -2 }, parameters: { pole: 4 } },
        none: null,
        old: 2.5,
      },
    });
    expect(metrics[0]).toMatchObject({ alias: '0', time: 1_764_370_000_123, type: dataType.int8 });
    expect(metrics.at(-1)).toMatchObject({ historical: true, time: 1_764_369_999_123 });
  });

  it('preserve each JSON value, with its type, unit and alias', () => {
    const text = fc.string({ unit: 'binary' });
    const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
    const item = fc.oneof(
      fc.array(number),
      fc.array(fc.boolean()),
      fc.array(text.map((t) => t.replaceAll('\0', ''))),
    );
    const value = fc.oneof(number, fc.boolean(), text, item);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ minLength: 1 }), value)), fc.nat(255), (given, seq) => {
        const metrics = given.map(([name, one], i) => ({
          ...{ name, alias: String(i + 1), time: i, unit: 'bar', ...typed(one) },
        }));
        const back = codec.decode(codec.encode({ time: 1, seq, metrics }));
        expect(back.seq).toBe(seq);
        expect(back.metrics.map(({ raw: _, ...metric }) => metric)).toEqual(metrics);
      }),
    );
  });

  it.each<[string, number, string, unknown]>([
    ['Int8', 22, 'ff7f', [-1, 127]],
    ['Int16', 23, 'feff0100', [-2, 1]],
    ['Int64', 25, 'ffffffffffffffff', [-1]],
    ['UInt64', 29, 'ffffffffffffffff', ['18446744073709551615']],
    ['Float', 30, '0000c03f0000c07f', [1.5, null]],
    ['Boolean', 32, '03000000a0', [true, false, true]],
    ['Boolean, with a false count', 32, 'ffffffff80', [true, ...Array<boolean>(7).fill(false)]],
    ['String', 33, '6100620000', ['a', 'b', '']],
    ['DateTime', 34, '0100000000000000', [1]],
    ['Int32, cut off', 24, '0100000002', [1]],
  ])('contain arrays of %s', (_, type, bytes, expected) => {
    // A metric with the value as bytes: fields 1 (name), 4 (data type) and 16 (bytes).
    const content = Buffer.from(bytes, 'hex');
    const metric = Buffer.concat([
      Buffer.from([0x0a, 1, 0x61, 0x20, type, 0x82, 0x01, content.length]),
      content,
    ]);
    const [read] = codec.decode(Buffer.concat([Buffer.from([0x12, metric.length]), metric])).metrics;
    expect(read?.value).toEqual(expected);
  });

  it('are rejected if they are damaged', () => {
    expect(() => codec.decode(Buffer.from('1205ff'))).toThrow('a payload is not Sparkplug B');
  });
});

const made = (aliases = true) =>
  new EdgeNode({ codec, group: 'plant', node: 'line', aliases, now: () => 1000 });
const values = (given: Record<string, unknown>): Map<string, MetricValue> =>
  new Map(Object.entries(given).map(([name, value]) => [name, { value }]));
const read = (messages: { topic: string; payload: Uint8Array }[]) =>
  messages.map(({ topic, payload }) => [topic, codec.decode(payload)] as [string, SparkplugPayload]);
const command = (name: string, value: unknown) =>
  codec.encode({ metrics: [{ name, type: dataType.boolean, value }] });

describe('a Sparkplug edge node', () => {
  it('declares its metrics in births, and sends only aliases afterwards', () => {
    const node = made();
    expect(read([node.will()])).toMatchObject([
      ['spBv1.0/plant/NDEATH/line', { metrics: [{ name: 'bdSeq', type: dataType.int64, value: 0 }] }],
    ]);
    expect(node.update('press', values({ temperature: 20 }))).toEqual([]);
    const [first, second] = read(node.births());
    expect(first).toMatchObject([
      'spBv1.0/plant/NBIRTH/line',
      {
        seq: 0,
        metrics: [
          { name: 'bdSeq', value: 0 },
          { name: rebirthMetric, value: false },
        ],
      },
    ]);
    expect(second).toMatchObject([
      'spBv1.0/plant/DBIRTH/line/press',
      { seq: 1, metrics: [{ name: 'temperature', alias: '1', type: dataType.double, value: 20 }] },
    ]);
    const [[topic, data] = []] = read(node.update('press', values({ temperature: 21 }), 7));
    expect([topic, data?.seq]).toEqual(['spBv1.0/plant/DDATA/line/press', 2]);
    expect(data?.metrics).toMatchObject([{ alias: '1', time: 7, value: 21 }]);
    expect(data?.metrics[0]).not.toHaveProperty('name');
    const named = made(false);
    named.will();
    named.births();
    named.update(null, values({ a: 1 }));
    expect(read(named.update(null, values({ a: 2 })))[0]?.[1].metrics[0]).toMatchObject({
      name: 'a',
      value: 2,
    });
  });

  it('repeats a birth for a new metric and another type, and counts messages to 255', () => {
    const node = made();
    node.will();
    node.births();
    const types = (given: Record<string, unknown>, device = 'press') =>
      read(node.update(device, values(given))).map(([topic, { seq }]) => [topic.split('/')[2], seq]);
    expect(types({ a: 1 })).toEqual([['DBIRTH', 1]]);
    expect(types({ a: 2 })).toEqual([['DDATA', 2]]);
    expect(types({ a: 2, b: true })).toEqual([['DBIRTH', 3]]);
    expect(types({ a: 'text' })).toEqual([['DBIRTH', 4]]);
    expect(types({ a: null })).toEqual([['DDATA', 5]]);
    for (let seq = 6; seq < 256; seq++) expect(types({ b: false })).toEqual([['DDATA', seq]]);
    expect(types({ b: true })).toEqual([['DDATA', 0]]);
    expect(read(node.remove('press')).map(([topic, { seq }]) => [topic, seq])).toEqual([
      ['spBv1.0/plant/DDEATH/line/press', 1],
    ]);
    expect(node.remove('press')).toEqual([]);
    expect(types({ a: 1 })).toEqual([['DBIRTH', 2]]);
  });

  it('repeats all births on request, and begins a session with a new number', () => {
    const node = made();
    node.will();
    node.births();
    node.update('a', values({ x: 1 }));
    node.update('b', values({ x: 1 }));
    expect(read(node.answer(command(rebirthMetric, true))).map(([topic, { seq }]) => [topic, seq])).toEqual([
      ['spBv1.0/plant/NBIRTH/line', 0],
      ['spBv1.0/plant/DBIRTH/line/a', 1],
      ['spBv1.0/plant/DBIRTH/line/b', 2],
    ]);
    for (const other of [
      command(rebirthMetric, false),
      command('Node Control/Reboot', true),
      Buffer.from('x'),
    ])
      expect(node.answer(other)).toEqual([]);
    const session = (messages: ReturnType<EdgeNode['births']>) => read(messages)[0]?.[1].metrics[0]?.value;
    expect(session(node.births())).toBe(0);
    for (let next = 1; next < 256; next++) expect(session([node.will()])).toBe(next);
    expect(session([node.will()])).toBe(0);
    // No births are sent without a connection.
    expect(node.answer(command(rebirthMetric, true))).toEqual([]);
  });
});

/** A reader with the requests that it has sent. */
function host(limit?: number) {
  const requests: string[] = [];
  let now = 0;
  let canSend = true;
  const request = (topic: string) => {
    if (canSend) requests.push(topic);
    return canSend;
  };
  const reader = new HostReader(codec, request, () => now, limit);
  const hear = (messages: { topic: string; payload: Uint8Array }[]) =>
    messages.flatMap((message) => reader.read({ ...message, time: 5000 }));
  const mute = (on: boolean) => {
    canSend = !on;
  };
  return { requests, hear, reader, mute, wait: (ms: number) => (now += ms) };
}

describe('a Sparkplug host', () => {
  it('reads names and types from births', () => {
    const node = made();
    const { requests, hear } = host();
    node.will();
    hear(node.births());
    expect(hear(node.update('press', values({ a: 1, on: true })))).toEqual([
      {
        ...{ type: 'DBIRTH', group: 'plant', node: 'line', device: 'press', online: true, time: 1000 },
        metrics: { a: 1, on: true },
      },
    ]);
    expect(hear(node.update('press', values({ a: 2 })))).toMatchObject([
      { type: 'DDATA', metrics: { a: 2 } },
    ]);
    expect(hear(node.remove('press'))).toMatchObject([{ type: 'DDEATH', online: false, metrics: {} }]);
    expect(hear([node.death()])).toMatchObject([{ type: 'NDEATH', device: null, online: false, time: 5000 }]);
    expect(requests).toEqual([]);
  });

  it('reads integers in data with the signs that their births declare', () => {
    const { hear } = host();
    const metric = { name: 'level', alias: '9', type: dataType.int8 };
    const birth = codec.encode({ seq: 1, metrics: [{ ...metric, value: null }] });
    hear([{ topic: `${namespace}/g/NBIRTH/n`, payload: codec.encode({ seq: 0, metrics: [] }) }]);
    hear([{ topic: `${namespace}/g/DBIRTH/n/d`, payload: birth }]);
    const payload = Buffer.concat([
      Buffer.from([0x12, 5, 0x10, 9, 0x50, 0xfb, 0x01]),
      Buffer.from([0x18, 2]),
    ]);
    expect(hear([{ topic: `${namespace}/g/DDATA/n/d`, payload }])).toMatchObject([
      { metrics: { level: -5 } },
    ]);
  });

  it('requests births after a gap and for unknown aliases, at most every five seconds', () => {
    const node = made();
    const { requests, hear, wait } = host();
    node.will();
    node.births();
    node.update('press', values({ a: 1 }));
    expect(hear(node.update('press', values({ a: 2 })))).toMatchObject([
      { unresolved: { 1: 2 }, metrics: {} },
    ]);
    hear(node.update('press', values({ a: 3 })));
    expect(requests).toEqual(['spBv1.0/plant/NCMD/line']);
    wait(5000);
    hear(node.update('press', values({ a: 4 })));
    expect(requests).toHaveLength(2);
    hear(node.answer(command(rebirthMetric, true)));
    expect(hear(node.update('press', values({ a: 5 })))).toMatchObject([{ metrics: { a: 5 } }]);
    node.update('press', values({ a: 6 }));
    expect(hear(node.update('press', values({ a: 7 })))).toMatchObject([{ metrics: { a: 7 }, gap: true }]);
    expect(requests).toHaveLength(3);
  });

  it('requests births after its connection was lost, even if the numbers of a new session continue', () => {
    const first = made();
    const { requests, hear, reader } = host();
    first.will();
    hear(first.births());
    hear(first.update('press', values({ a: 1 })));
    reader.interrupted(4999);
    const second = made();
    second.will();
    second.births();
    second.update('press', values({ b: 1 }));
    expect(hear(second.update('press', values({ b: 2 })))).toMatchObject([{ metrics: { a: 2 } }]);
    expect(requests).toEqual(['spBv1.0/plant/NCMD/line']);
    hear(second.answer(command(rebirthMetric, true)));
    expect(hear(second.update('press', values({ b: 3 })))).toMatchObject([{ metrics: { b: 3 } }]);
    expect(requests).toHaveLength(1);
  });

  it('requests births after an interruption although births that arrived before it are read after it', () => {
    const node = made();
    const { requests, hear, reader } = host();
    node.will();
    const births = node.births();
    reader.interrupted(5000);
    hear(births);
    hear(node.update('press', values({ a: 1 })));
    expect(requests).toEqual(['spBv1.0/plant/NCMD/line']);
  });

  it('requests births after a gap as soon as it can send again, until they arrive', () => {
    const node = made();
    const { requests, hear, mute, wait } = host();
    node.will();
    hear(node.births());
    hear(node.update('press', values({ a: 1 })));
    node.update('press', values({ a: 2 }));
    mute(true);
    expect(hear(node.update('press', values({ a: 3 })))).toMatchObject([{ gap: true }]);
    mute(false);
    expect(requests).toEqual([]);
    hear(node.update('press', values({ a: 4 })));
    expect(requests).toHaveLength(1);
    wait(5000);
    hear(node.update('press', values({ a: 5 })));
    expect(requests).toHaveLength(2);
    hear(node.answer(command(rebirthMetric, true)));
    wait(5000);
    hear(node.update('press', values({ a: 6 })));
    expect(requests).toHaveLength(2);
  });

  it('ignores the death of a session that has been replaced', () => {
    const node = made();
    const { hear } = host();
    const old = node.will();
    hear(node.births());
    node.will();
    hear(node.births());
    expect(hear([old])).toEqual([]);
    expect(hear([node.death()])).toMatchObject([{ type: 'NDEATH' }]);
  });

  it('separates values of a metric that were stored', () => {
    const { hear } = host();
    const metric = (value: number, time: number, historical: boolean) => ({
      ...{ name: 'a', type: dataType.double, value, time },
      ...(historical ? { historical } : {}),
    });
    const payload = codec.encode({
      seq: 1,
      time: 30,
      metrics: [
        ...[metric(1, 10, true), metric(2, 20, true), metric(3, 30, false)],
        { name: 'b', type: dataType.boolean, value: true, time: 25 },
      ],
    });
    expect(hear([{ topic: `${namespace}/g/NDATA/n`, payload }])).toMatchObject([
      { time: 10, historical: true, metrics: { a: 1 } },
      { time: 20, historical: true, metrics: { a: 2 } },
      { time: 30, metrics: { a: 3, b: true }, times: { b: 25 } },
    ]);
  });

  it('reports damaged payloads, and ignores other topics', () => {
    const { hear } = host();
    const payload = Buffer.from('{}');
    const topic = (path: string) => ({ topic: path, payload });
    expect(hear([topic(`${namespace}/g/DDATA/n/d`)])).toMatchObject([
      { type: 'DDATA', metrics: {}, error: expect.stringMatching('not Sparkplug B'), payload: 'e30=' },
    ]);
    for (const other of ['STATE/h', 'g/NCMD/n', 'g/NDATA/n/d', 'g/DDATA/n', 'g/DDATA/n/d/e', 'g/X/n'])
      expect(hear([topic(`${namespace}/${other}`)])).toEqual([]);
    expect(hear([topic('spAv1.0/g/NDATA/n')])).toEqual([]);
  });

  it('remembers a limited number of metrics, nodes and devices', () => {
    const limit = 20;
    const { hear, reader } = host(limit);
    const metrics = ['a', 'b'].map((name) => ({ name, type: dataType.double, value: 1 }));
    const payload = codec.encode({ seq: 0, metrics });
    const birth = (path: string) => hear([{ topic: `${namespace}/g/${path}`, payload }]);
    // A repeated birth replaces the earlier one.
    for (let i = 0; i < 5; i++) birth('NBIRTH/first');
    expect(reader.size).toBe(3);
    birth('DBIRTH/first/d');
    birth('DBIRTH/first/d');
    expect(reader.size).toBe(6);
    birth('NBIRTH/first');
    expect(reader.size).toBe(3);
    // The oldest node is also forgotten when it is not the one that sends.
    birth('NBIRTH/second');
    for (let i = 0; i < 4; i++) birth(`DBIRTH/first/${i}`);
    expect(reader.size).toBe(18);
    birth('DBIRTH/first/4');
    expect(reader.size).toBe(18);
    // One node with ever new devices.
    for (let i = 5; i < 100; i++) {
      expect(birth(`DBIRTH/first/${i}`)).toMatchObject([{ metrics: { a: 1, b: 1 } }]);
      expect(reader.size).toBeGreaterThan(0);
      expect(reader.size).toBeLessThanOrEqual(limit);
    }
    hear([{ topic: `${namespace}/g/NDEATH/first`, payload }]);
    expect(reader.size).toBe(0);
    // Ever new nodes without births, which are forgotten together.
    birth('NBIRTH/third');
    for (let i = 0; i < limit; i++) birth(`NDATA/n${i}`);
    expect(reader.size).toBe(0);
    birth('NBIRTH/third');
    expect(reader.size).toBe(3);
  });

  it('agrees with a node after any lost messages, once the node has answered', () => {
    const device = fc.constantFrom('a', 'b', 'c');
    const step = fc.record({
      device,
      given: fc.dictionary(fc.constantFrom('x', 'y', 'z'), fc.oneof(fc.integer(), fc.boolean()), {
        minKeys: 1,
      }),
      isRemoved: fc.nat(5).map((n) => n === 0),
      isLost: fc.nat(3).map((n) => n === 0),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const node = made();
        const { requests, hear, wait } = host();
        const current = new Map<string, Map<string, unknown>>();
        const take = (heard: SparkplugValue[]) => {
          for (const { device: name, online, metrics, unresolved } of heard) {
            if (name === null) continue;
            expect(unresolved === undefined || requests.length > 0).toBe(true);
            if (!online) current.delete(name);
            else current.set(name, new Map([...(current.get(name) ?? []), ...Object.entries(metrics)]));
          }
        };
        const wanted = new Map<string, Map<string, unknown>>();
        node.will();
        take(hear(node.births()));
        for (const { device: name, given, isRemoved, isLost } of steps) {
          if (isRemoved) wanted.delete(name);
          else wanted.set(name, new Map([...(wanted.get(name) ?? []), ...Object.entries(given)]));
          const sent = isRemoved ? node.remove(name) : node.update(name, values(given));
          if (!isLost) take(hear(sent));
          wait(5000);
        }
        // The next message shows whether messages before it were lost.
        wanted.set('last', new Map([['x', 1]]));
        take(hear(node.update('last', values({ x: 1 }))));
        if (requests.length > 0) {
          current.clear();
          take(hear(node.answer(command(rebirthMetric, true))));
        }
        for (const [name, metrics] of wanted) expect([name, current.get(name)]).toEqual([name, metrics]);
      }),
    );
  });
});

/** The JSON values of a source, as they arrive. */
function collect(source: Source): SparkplugValue[] {
  const heard: SparkplugValue[] = [];
  void (async () => {
    for await (const { message, ack } of deliveriesOf(source)) {
      heard.push(JSON.parse(Buffer.from(message.payload).toString()) as SparkplugValue);
      ack();
    }
  })();
  return heard;
}
const json = (value: unknown, topic = '') => [{ topic, payload: Buffer.from(JSON.stringify(value)) }];
const patience = { timeout: 20_000, interval: 20 };

describe('values of commands', () => {
  const { int8, int16, int64, uint8, uint32, uint64, float, boolean, dateTime, text, uuid, doubleArray } =
    dataType;
  it.each([
    ...[
      [int8, -128, -128n],
      [int8, 128, undefined],
      [uint8, 255, 255n],
      [uint8, -1, undefined],
    ],
    ...[
      [int16, 1.5, undefined],
      [uint32, 4294967295, 4294967295n],
      [uint32, 4294967296, undefined],
    ],
    ...[
      [int64, '-9223372036854775808', -9223372036854775808n],
      [int64, '9223372036854775808', undefined],
      [int64, 2 ** 60, undefined],
    ],
    ...[
      [uint64, '18446744073709551615', 18446744073709551615n],
      [dateTime, 1764370000123, 1764370000123n],
      [uint64, true, undefined],
      [int16, [5], undefined],
    ],
    ...[
      [float, 0.1, 0.1],
      [float, 1e39, undefined],
      [boolean, 'true', undefined],
      [text, 'a', 'a'],
      [uuid, 5, undefined],
    ],
    ...[
      [doubleArray, [1, 2], [1, 2]],
      [doubleArray, ['a'], undefined],
      [16, [1], undefined],
      [int8, null, null],
    ],
  ] as [number, unknown, unknown][])('of type %i: %j', (type, given, sent) => {
    expect(valueAs(given, type)).toEqual(sent);
  });
});

describe('sparkplug: addresses', () => {
  async function opened(source = '', sink = '/plant/line') {
    const broker = await startBroker();
    closing.push(broker);
    const at = `sparkplug://127.0.0.1:${broker.port}`;
    const reader = await openSource(`${at}${source}`, { overflow: 'wait' });
    const writer = await openSink(`${at}${sink}`);
    closing.push(reader, writer);
    return { broker, at, reader, writer, heard: collect(reader) };
  }

  it('carry JSON objects as metrics of a device', async () => {
    const { writer, heard } = await opened();
    await writer.write(json({ temperature: 21.5, motor: { on: true, name: 'M1' } }, 'sensors/press'));
    await writer.write([{ ...json({ temperature: 22 }, 'press')[0]!, time: 1234 }]);
    await writer.write(json({ load: 3 }));
    await expect
      .poll(() => heard.map(({ type }) => type), patience)
      .toEqual([...['NBIRTH', 'DBIRTH', 'DDATA', 'NBIRTH', 'DBIRTH']]);
    expect(heard[1]).toMatchObject({
      device: 'press',
      metrics: { temperature: 21.5, 'motor/on': true, 'motor/name': 'M1' },
    });
    expect(heard[2]).toMatchObject({ time: 1234, metrics: { temperature: 22 } });
    expect(heard[3]).toMatchObject({ device: null, metrics: { load: 3 } });
  });

  it('refuse a message with too many metrics, and take those after it', async () => {
    const { writer, heard } = await opened();
    await writer.write(json({ a: 1 }, 'press'));
    const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`m${i}`, 0]));
    const refusal = { code: 'AIOT_STREAM_MESSAGE_REFUSED' };
    await expect(writer.write(json(many, 'press'))).rejects.toMatchObject(refusal);
    await writer.write(json({ a: 2, b: 3 }, 'press'));
    await expect.poll(() => heard.at(-1)?.metrics, patience).toEqual({ a: 2, b: 3 });
  });

  it('select a group, a node and a device', async () => {
    const { at, heard } = await opened('/plant/line/press');
    const paths = ['/plant/line/press', '/plant/line/saw', '/plant/other/press', '/yard/line/press'];
    for (const path of paths) {
      const sink = await openSink(`${at}${path}?clientId=${path.replaceAll('/', '-')}`);
      await sink.write(json({ path }));
      await sink.close();
    }
    await expect.poll(() => heard.length, patience).toBeGreaterThan(0);
    expect(heard.map(({ metrics }) => metrics)).toEqual([{ path: '/plant/line/press' }]);
  });

  it('request births that a reader has missed', async () => {
    const { at, writer } = await opened();
    await writer.write(json({ a: 1, b: 2 }, 'press'));
    const late = await openSource(`${at}/plant`, { overflow: 'wait' });
    closing.push(late);
    const heard = collect(late);
    await writer.write(json({ a: 3 }, 'press'));
    await expect.poll(() => heard.map(({ type }) => type), patience).toEqual(['DDATA', 'NBIRTH', 'DBIRTH']);
    expect(heard[0]?.unresolved).toEqual({ 1: 3 });
    expect(heard[2]?.metrics).toEqual({ a: 3, b: 2 });
    const silent = await openSource(`${at}/plant?rebirth=false`, { overflow: 'wait' });
    closing.push(silent);
    const quiet = collect(silent);
    await writer.write(json({ a: 4 }, 'press'));
    await writer.write(json({ a: 5 }, 'press'));
    await expect.poll(() => quiet.map(({ type }) => type), patience).toEqual(['DDATA', 'DDATA']);
  });

  it('report a lost connection by its will, and begin a new session after it', async () => {
    const { broker, writer, heard } = await opened();
    await writer.write(json({ a: 1 }, 'press'));
    const client = broker.aedes as unknown as { clients: Record<string, { conn: { destroy(): void } }> };
    client.clients['aiot-plant-line']?.conn.destroy();
    await writer.write(json({ a: 2 }, 'press'));
    await expect
      .poll(() => heard.map(({ type }) => type), patience)
      .toEqual([...['NBIRTH', 'DBIRTH', 'NDEATH', 'NBIRTH', 'DBIRTH', 'DDATA']]);
    expect(heard.map(({ metrics }) => metrics.bdSeq).filter((n) => n !== undefined)).toEqual([0, 1]);
    expect(heard.at(-1)?.metrics).toEqual({ a: 2 });
    await writer.close();
    await expect.poll(() => heard.at(-1), patience).toMatchObject({ type: 'NDEATH', online: false });
  });

  it('publish the state of a host', async () => {
    const { broker, at } = await opened();
    const observer = await connect(`mqtt://127.0.0.1:${broker.port}`, {});
    closing.push({ close: () => observer.endAsync(true) });
    const states: { online: boolean; timestamp: number; retained: boolean }[] = [];
    observer.on('message', (_, payload, { retain }) =>
      states.push({ ...JSON.parse(payload.toString()), retained: retain }),
    );
    const source = await openSource(`${at}/plant?host=scada`, { overflow: 'wait' });
    const online = () => states.map((state) => state.online);
    await observer.subscribeAsync('spBv1.0/STATE/scada', { qos: 1 });
    await expect.poll(online, patience).toEqual([true]);
    expect(states[0]?.retained).toBe(true);
    // The will of an earlier connection.
    await observer.publishAsync('spBv1.0/STATE/scada', '{"online":false,"timestamp":1}', {
      qos: 1,
      retain: true,
    });
    await expect.poll(online, patience).toEqual([true, false, true]);
    await source.close();
    await expect.poll(online, patience).toEqual([true, false, true, false]);
    expect(new Set([0, 2, 3].map((i) => states[i]?.timestamp)).size).toBe(1);
  });

  it.each<[string, 'sink' | 'source', string]>([
    ['/plant', 'sink', 'expected the names of an edge node'],
    ['/plant/line/press/x', 'sink', 'expected the names of an edge node'],
    ['/plant/+', 'sink', 'expected the names of an edge node'],
    ['/a/b/c/d', 'source', 'expected GROUP, GROUP/NODE or GROUP/NODE/DEVICE'],
    ['/a#/b', 'source', 'expected GROUP, GROUP/NODE or GROUP/NODE/DEVICE'],
    ['/a?host=x/y', 'source', 'expected a name without /, + and #'],
    ['/a/b?qos=1', 'sink', 'qos'],
  ])('reject %s as a %s', async (path, side, text) => {
    const open = side === 'sink' ? openSink : openSource;
    await expect(open(`sparkplug://127.0.0.1:1${path}`)).rejects.toThrow(text);
  });

  it('command the metrics of a node and its devices, each once', async () => {
    const { writer, at, broker } = await opened();
    await writer.write(json({ on: true, speed: 5, tags: ['a'] }, 'press'));
    await writer.write(json({ load: 3 }));
    const heard: [string, Record<string, unknown>][] = [];
    const codec = await sparkplugCodec();
    const raw = await openSource(`mqtt://127.0.0.1:${broker.port}/spBv1.0/plant/+/line/#`);
    closing.push(raw);
    void (async () => {
      for await (const { message, ack } of deliveriesOf(raw)) {
        const [, , type, , device] = message.topic.split('/');
        const { metrics } = codec.decode(message.payload);
        const values = metrics.map(({ name, value, type: of }) => [name, [value, of]]);
        if (type?.endsWith('CMD')) heard.push([`${type} ${device ?? ''}`, Object.fromEntries(values)]);
        ack();
      }
    })();
    const commands = await openSink(`${at}/plant/line?commands=true`);
    closing.push(commands);
    await commands.write([...json({ on: false, tags: ['b', 'c'] }, 'press'), ...json({ load: 4 })]);
    await commands.write(json({ speed: null }, 'press'));
    await expect
      .poll(() => heard, patience)
      .toEqual([
        ['NCMD ', { [rebirthMetric]: [true, 11] }],
        ['DCMD press', { on: [false, 11], tags: [['b', 'c'], dataType.stringArray] }],
        ['NCMD ', { load: [4, 10] }],
        ['DCMD press', { speed: [null, 10] }],
      ]);
    const refused = (value: object, text: string) =>
      expect(commands.write(json(value, 'press'))).rejects.toMatchObject({
        code: 'AIOT_STREAM_MESSAGE_REFUSED',
        message: expect.stringContaining(text),
      });
    await refused({ sped: 1 }, 'there is no metric "sped"');
    await refused({ on: 1 }, 'on is of type boolean, which 1 does not fit');
    // A refused command is not sent in part, nor are the others of its batch.
    await refused({ on: true, speed: 'fast' }, 'speed is of type double');
    await expect(
      commands.write([...json({ on: true }, 'press'), ...json({ load: 'much' })]),
    ).rejects.toMatchObject({ code: 'AIOT_STREAM_MESSAGE_REFUSED' });
    await commands.write(json({ speed: 6 }, 'press'));
    await expect.poll(() => heard.length, patience).toBe(5);
    expect(heard[4]).toEqual(['DCMD press', { speed: [6, 10] }]);
  });

  it('refuse a command to a device that its node has declared offline', { timeout: 20_000 }, async () => {
    const broker = await startBroker();
    closing.push(broker);
    const address = `mqtt://127.0.0.1:${broker.port}`;
    const node = new EdgeNode({ codec, group: 'plant', node: 'line', aliases: true, now: Date.now });
    const { send, close } = await connectEdgeNode(node, address);
    closing.push({ close });
    send(node.update('press', new Map([['on', { value: true }]])));
    const commands = await openSink(`sparkplug://127.0.0.1:${broker.port}/plant/line/press?commands=true`);
    closing.push(commands);
    await commands.write(json({ on: false }));
    send(node.remove('press'));
    const refusal = {
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
      message: expect.stringContaining('did not answer'),
    };
    await expect
      .poll(
        () =>
          commands.write(json({ on: true })).then(
            () => 'sent',
            (error) => error,
          ),
        patience,
      )
      .toMatchObject(refusal);
  });

  it('refuse a command to a node that is silent', { timeout: 20_000 }, async () => {
    const { at } = await opened();
    const commands = await openSink(`${at}/plant/none/press?commands=true`);
    closing.push(commands);
    await expect(commands.write(json({ on: true }))).rejects.toMatchObject({
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
      message: expect.stringContaining('plant/none/press did not answer a request for its metrics'),
    });
  });

  it('refuse messages that are not objects, and topics without a device', async () => {
    const { writer } = await opened();
    for (const payload of ['21.5', '[1]', 'text', ''])
      await expect(writer.write([{ topic: 'press', payload: Buffer.from(payload) }])).rejects.toMatchObject({
        code: 'AIOT_STREAM_MESSAGE_REFUSED',
      });
    await expect(writer.write(json({ a: 1 }, 'sensors/'))).rejects.toThrow(
      "the message's topic names no device",
    );
  });
});
