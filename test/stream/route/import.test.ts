import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importFlow, parseFlow } from '../../../src/lib/stream/route/node-red.js';
import { runCli } from '../../support/cli.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-import-'));
});
afterAll(() => rm(folder, { recursive: true }));

const broker = {
  id: 'b',
  type: 'mqtt-broker',
  name: '',
  broker: 'iot.example',
  port: '1883',
  keepalive: '60',
  cleansession: true,
};
const tab = (id: string, label: string) => ({ id, type: 'tab', label, disabled: false, info: '' });
const mqttIn = (topic: string, wires: string[][], more = {}) => ({
  id: 'in',
  type: 'mqtt in',
  z: 't',
  name: '',
  topic,
  qos: '2',
  datatype: 'auto',
  broker: 'b',
  wires,
  ...more,
});

/** The two flows of the IoT kit, built from their description: MQTT to Kafka, and MQTT to REST. */
const kafkaFlow = [
  tab('t', 'MQTT to Kafka'),
  broker,
  { id: 'kb', type: 'Kafka Broker', name: 'kafka', hosts: [{ host: 'kafka', port: 9092 }], usetls: false },
  mqttIn('iotkit/#', [['c', 'd']]),
  {
    id: 'c',
    type: 'change',
    z: 't',
    name: '',
    rules: ['alert', 'sensor', 'rfid', 'encoder', 'button'].map((name) => ({
      t: 'change',
      p: 'topic',
      pt: 'msg',
      from: `iotkit/${name}`,
      fromt: 'str',
      to: 'broker_message',
      tot: 'str',
    })),
    wires: [['k']],
  },
  {
    id: 'k',
    type: 'Kafka Producer',
    z: 't',
    name: '',
    broker: 'kb',
    topic: 'broker_message',
    requireAcks: 1,
    ackTimeoutMs: 100,
    partitionerType: 0,
    partition: 0,
    wires: [],
  },
  { id: 'd', type: 'debug', z: 't', name: 'seen', active: true, wires: [] },
];
const restBody =
  '{"variables":{"rnr":{"value":"123","type":"long"},"rbetrag":{"value":"200.00","type":"String"}}}';
const restFlow = [
  tab('t', 'MQTT to REST'),
  broker,
  mqttIn('iotkit/alert', [['c']]),
  {
    id: 'c',
    type: 'change',
    z: 't',
    name: '',
    rules: [{ t: 'set', p: 'payload', pt: 'msg', to: restBody, tot: 'json' }],
    wires: [['h']],
  },
  {
    id: 'h',
    type: 'http request',
    z: 't',
    name: '',
    method: 'POST',
    ret: 'obj',
    url: 'http://camunda:8080/engine-rest/process-definition/key/RechnungStep3/start',
    wires: [['d']],
  },
  { id: 'd', type: 'debug', z: 't', name: '', wires: [] },
];

const imported = (nodes: unknown[]) => importFlow(parseFlow(JSON.stringify(nodes), 'flow.json'));

test('the Node-RED import omits topic renaming if the sink specifies the topic', () => {
  expect(imported(kafkaFlow)).toEqual({
    routes: {
      'mqtt-to-kafka': {
        from: 'mqtt://iot.example:1883/iotkit/#?qos=2',
        to: 'kafka://kafka:9092/broker_message',
      },
    },
    leftOut: [{ node: 'debug "seen" (d)', reason: 'use aiot stream tail to show messages' }],
    notes: [],
  });
});

test('the Node-RED import keeps topic renaming if the sink specifies no topic', () => {
  const nodes = kafkaFlow.map((node) => (node.type === 'Kafka Producer' ? { ...node, topic: '' } : node));
  const { topic } = imported(nodes).routes['mqtt-to-kafka'] ?? {};
  expect(topic).toContain('$replace($topic, "iotkit/alert", "broker_message")');
  expect(topic?.match(/\$replace/g)).toHaveLength(5);
});

test('the Node-RED import converts an MQTT-to-REST flow, with its constant body as the route’s map', () => {
  const { routes, leftOut } = imported(restFlow);
  expect(routes).toEqual({
    'mqtt-to-rest': {
      from: 'mqtt://iot.example:1883/iotkit/alert?qos=2',
      map: restBody,
      to: 'http://camunda:8080/engine-rest/process-definition/key/RechnungStep3/start',
    },
  });
  expect(leftOut.map(({ node }) => node)).toEqual(['debug (d)']);
});

test('the Node-RED import converts switch outputs to conditions and follows link nodes', () => {
  const { routes } = imported([
    broker,
    mqttIn('a', [['s']]),
    {
      id: 's',
      type: 'switch',
      property: 'payload.t',
      propertyType: 'msg',
      checkall: 'false',
      rules: [{ t: 'gt', v: '80', vt: 'num' }, { t: 'eq', v: 'x', vt: 'str' }, { t: 'else' }],
      wires: [['o1'], ['l'], ['o3']],
    },
    { id: 'o1', type: 'mqtt out', name: 'hot', topic: 'hot', broker: 'b', wires: [] },
    { id: 'l', type: 'link out', links: ['li'], wires: [] },
    { id: 'li', type: 'link in', wires: [['o2']] },
    { id: 'o2', type: 'mqtt out', name: 'x', topic: 'x', broker: 'b', wires: [] },
    { id: 'o3', type: 'mqtt out', name: 'other', topic: 'other', broker: 'b', wires: [] },
  ]);
  expect(Object.values(routes).map(({ where, to }) => [where, to])).toEqual([
    ['t > 80', 'mqtt://iot.example:1883/hot'],
    ['$not(t > 80) and t = "x"', 'mqtt://iot.example:1883/x'],
    ['$not(t > 80) and $not(t = "x")', 'mqtt://iot.example:1883/other'],
  ]);
});

test('the Node-RED import lists each node that does not fit in a route, with the reason', () => {
  const { routes, leftOut } = imported([
    broker,
    mqttIn('a', [['f', 'c', 'g']]),
    { id: 'f', type: 'function', name: 'magic', func: 'return msg;', wires: [['o']] },
    { id: 'o', type: 'mqtt out', name: '', topic: 'x', broker: 'b', wires: [] },
    {
      id: 'c',
      type: 'change',
      name: 'ctx',
      rules: [{ t: 'set', p: 'n', pt: 'flow', to: '1', tot: 'num' }],
      wires: [['o']],
    },
    { id: 'g', type: 'http request', name: 'ask', method: 'GET', url: 'http://x', wires: [] },
    { id: 'off', type: 'mqtt in', d: true, topic: 'z', broker: 'b', wires: [['o']] },
  ]);
  expect(Object.keys(routes)).toHaveLength(1);
  expect(leftOut.map(({ node, reason }) => `${node}: ${reason}`)).toEqual([
    'function "magic" (f): routes do not support function; paths through it are left out',
    'change "ctx" (c): set flow.n: routes do not support context',
    'http request "ask" (g): it sends GET requests, but a sink sends only POST',
    'mqtt in (off): it is disabled',
  ]);
});

test('the Node-RED import writes a file that stream route list and test accept', async () => {
  const flow = join(folder, 'flow.json');
  const out = join(folder, 'routes.yaml');
  await writeFile(flow, JSON.stringify(restFlow));
  const made = await runCli(['stream', 'route', 'import', flow, '--out', out]);
  expect(made.code).toBe(0);
  expect(made.stdout).toContain('mqtt-to-rest');
  expect(await readFile(out, 'utf8')).toContain('from: mqtt://iot.example:1883/iotkit/alert?qos=2');
  expect((await runCli(['stream', 'route', 'list', out])).stdout).toContain('http://camunda:8080');
  expect((await runCli(['stream', 'route', 'test', out])).stdout).toContain(
    'without a test case: mqtt-to-rest',
  );
});

test.each([
  ['{}', 'expected a Node-RED flow'],
  ['[{"id": 1}]', 'expected a Node-RED flow: 0.id'],
  ['no', 'a list in JSON'],
  ['[{"id":"d","type":"debug","wires":[]}]', 'no path from an input to an output was found: debug (d)'],
])('the Node-RED import rejects %s', async (content, message) => {
  const flow = join(folder, 'bad.json');
  await writeFile(flow, content);
  const { code, stderr } = await runCli(['stream', 'route', 'import', flow]);
  expect(code).toBe(2);
  expect(stderr.replaceAll(/\s+/g, ' ')).toContain(message);
});

/** Messages as in OpenMQTTGateway's documentation. */
test('the OpenMQTTGateway preset routes radio messages by device', async () => {
  const out = join(folder, 'omg.yaml');
  await runCli([
    'stream',
    'route',
    'import',
    '--preset',
    'openmqttgateway',
    '--from',
    'mqtt://h',
    '--to',
    'kafka://k/radio',
    '--out',
    out,
  ]);
  const cases = [
    {
      name: 'Bluetooth',
      in: {
        topic: 'home/OpenMQTTGateway/BTtoMQTT/4C33A6603C79',
        payload: { id: '4C:33:A6:60:3C:79', tempc: 25.4, rssi: -60 },
      },
      out: [
        {
          payload: {
            gateway: 'OpenMQTTGateway',
            radio: 'BT',
            id: '4C:33:A6:60:3C:79',
            tempc: 25.4,
            rssi: -60,
          },
          key: '4C:33:A6:60:3C:79',
        },
      ],
    },
    {
      name: '433 MHz',
      in: { topic: 'home/omg1/433toMQTT', payload: { value: 1315156, protocol: 1, length: 24, delay: 317 } },
      out: [
        {
          payload: { gateway: 'omg1', radio: '433', value: 1315156, protocol: 1, length: 24, delay: 317 },
          key: 'omg1',
        },
      ],
    },
    {
      name: 'rtl_433 by model and id',
      in: { topic: 'home/omg1/RTL_433toMQTT/LaCrosse/40', payload: { model: 'LaCrosse', id: 40 } },
      out: [{ key: '40', payload: { gateway: 'omg1', radio: 'RTL_433', model: 'LaCrosse', id: 40 } }],
    },
    { name: 'about itself', in: { topic: 'home/omg1/SYStoMQTT', payload: { uptime: 3 } } },
    { name: 'last will', in: { topic: 'home/omg1/LWT', payload: 'online' } },
    { name: 'commands', in: { topic: 'home/omg1/commands/MQTTtoBT/config', payload: { interval: 1 } } },
  ];
  await writeFile(out, `${await readFile(out, 'utf8')}    tests: ${JSON.stringify(cases)}\n`);
  const tested = await runCli(['stream', 'route', 'test', out]);
  expect(tested.stdout).toContain('6 cases passed, 0 failed');
  expect((await runCli(['stream', 'route', 'list', out])).stdout).toContain('mqtt://h/home/+/+/#');
});
