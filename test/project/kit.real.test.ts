import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { UpPlatform } from '../../src/lib/platform/up/up.js';
import { upProject } from '../../src/lib/project/up.js';
import { connectBoard } from '../support/board.js';
import { root } from '../support/cli.js';
import { type KafkaBroker, kcat, startKafka } from '../support/kafka.js';
import { type Mosquitto, mosquittoPub, startMosquitto } from '../support/mosquitto.js';
import { describeReal } from '../support/real.js';

describeReal('kafka', 'the IoT kit with real brokers', () => {
  describeReal('mosquitto', 'on Mosquitto, Kafka and a BPMN engine’s REST API', () => {
    describeReal('kcat', 'read by kcat', kit);
  });
});

function kit() {
  let folder: string;
  let kafka: KafkaBroker;
  let mosquitto: Mosquitto;
  let running: UpPlatform;
  const before = process.env.AIOT_CONFIG_DIR;
  const started: unknown[] = [];
  const engine = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      started.push([request.method, request.url, JSON.parse(Buffer.concat(chunks).toString())]);
      response.writeHead(200).end('{}');
    });
  });
  const values = (topic: string) => kcat(kafka.address, topic, '%s\n').trimEnd().split('\n');
  const table = () => readFile(join(folder, 'kit', 'data', 'ml-data.csv'), 'utf8').catch(() => '');

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-kit-'));
    process.env.AIOT_CONFIG_DIR = join(folder, 'config');
    [kafka, mosquitto] = await Promise.all([startKafka(), startMosquitto()]);
    for (const topic of ['broker_message', 'iot']) await kafka.createTopic(topic);
    await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
    const { port } = engine.address() as AddressInfo;
    await cp(join(root, 'templates', 'iot-kit'), join(folder, 'kit'), { recursive: true });
    running = await upProject(
      {
        ...{ project: join(folder, 'kit'), data: join(folder, 'platform'), newToken: false },
        ...{ host: '127.0.0.1', httpPort: 0, mqttPort: 0, boardPort: 0 },
        set: {
          MQTT: `mqtt://127.0.0.1:${mosquitto.port}`,
          KAFKA: `kafka://${kafka.address}`,
          BPMN: `http://127.0.0.1:${port}/engine-rest/process-definition/key/RechnungStep3/start`,
        },
      },
      () => {},
    );
  }, 60_000);
  afterAll(async () => {
    await running?.stop();
    engine.close();
    await Promise.all([kafka?.stop(), mosquitto?.stop()]);
    if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
    else process.env.AIOT_CONFIG_DIR = before;
    await rm(folder, { recursive: true, force: true });
  });

  it('turns messages of MQTT 3.1 boards into table rows, JSON and process instances through Kafka', async () => {
    const board = await connectBoard(mosquitto.port);
    board.send('iotkit/sensor', '0xBC,26.31,41.2,low');
    board.send('iotkit/button', 'ON');
    board.send('iotkit/encoder', '7');
    board.send('iotkit/alert', 'alert: hall');
    await board.sendAcknowledged('iotkit/rfid', 'AA:BB:CC:DD:');
    await expect.poll(() => values('iot').length, { timeout: 20_000, interval: 300 }).toBe(5);
    await expect.poll(() => started.length, { timeout: 10_000 }).toBe(2);
    await expect.poll(table).toBe('sensor,temp,hum,class\n0xBC,26.31,41.2,low\n');

    const forwarded = ['0xBC,26.31,41.2,low', 'ON', '7', 'alert: hall', 'AA:BB:CC:DD:'];
    expect(values('broker_message')).toEqual(forwarded);
    expect(kcat(kafka.address, 'broker_message', '%k|%h\n').split('\n')[0]).toBe('|mqtt-topic=iotkit/sensor');
    expect(values('iot').map((text) => JSON.parse(text))).toEqual([
      { humtemp: { temp: 26.31, hum: 41.2 } },
      { fields: ['ON'] },
      { fields: ['7'] },
      { fields: ['alert: hall'] },
      { fields: ['AA:BB:CC:DD:'] },
    ]);
    const path = '/engine-rest/process-definition/key/RechnungStep3/start';
    const body = (number: unknown, amount: unknown) => ({
      variables: { rnr: { value: number, type: 'long' }, rbetrag: { value: amount, type: 'String' } },
    });
    expect(started).toContainEqual(['POST', path, body('123', '200.00')]);
    expect(started).toContainEqual(['POST', path, body(1, 100)]);
    board.end();
  }, 60_000);

  it('loses no reading while Kafka is killed under load and restarted', async () => {
    const readings = Array.from({ length: 300 }, (_, i) => `0xBC,${i}.50,40.0,middle`);
    const board = await connectBoard(mosquitto.port, 'aa:bb:cc:00:00:03');
    const say = async (from: number, to: number) => {
      for (const reading of readings.slice(from, to)) await board.sendAcknowledged('iotkit/sensor', reading);
    };
    const first = say(0, 100);
    await kafka.kill();
    await first;
    await say(100, 200);
    await kafka.start();
    await say(200, 300);
    board.end();
    const missing = async () => {
      const rows = new Set((await table()).split('\n'));
      return readings.filter((row) => !rows.has(row)).length;
    };
    await expect.poll(missing, { timeout: 60_000, interval: 500 }).toBe(0);
  }, 120_000);

  it('delivers commands to a board on Mosquitto', async () => {
    const board = await connectBoard(mosquitto.port, 'aa:bb:cc:00:00:02');
    expect(await board.subscribe('iotkit/actors/#')).toBe(0);
    mosquittoPub(mosquitto.port, 'iotkit/actors/servo2', '0.5');
    await expect.poll(() => board.received.map(({ payload }) => payload.toString())).toEqual(['0.5']);
    board.end();
  });
}

describe('the kit template', () => {
  it('uses the consumer groups of the services that it replaces', async () => {
    const routes = await readFile(join(root, 'templates', 'iot-kit', 'routes.yaml'), 'utf8');
    for (const group of ['alert', 'iot', 'streams-pipe']) {
      expect(routes).toContain(`broker_message?group=${group}\n`);
    }
  });
});
