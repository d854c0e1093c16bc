import { once } from 'node:events';
import { type Socket, connect as tcp } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, rawly, type TestGuide, testGuide } from '../support/guide.js';
import { connect } from '../support/mqtt.js';

const data = 'shaded-pole-motor-sensor_data';
let own: TestGuide;

beforeAll(async () => {
  own = await testGuide({ compatMaxRows: 3 });
}, 30_000);

afterAll(() => own?.stop());

const reading = (current: number) =>
  `{"deviceID": "14333616", "current": ${current.toFixed(2)}, "temperature": 20.00, "vibration": 0.50, "sound": 60.00, "fft_data": "true"}`;
const listing = async () => (await ask(own.urls.datasets, '/', { ca: own.ca })).text;
const filesOf = (text: string) => [...text.matchAll(/>(raw_[^<]+)</g)].map(([, name]) => name as string);

describe('the guide’s broker', () => {
  it('allows anyone to subscribe to readings and control messages, and rejects other topics', async () => {
    const client = await connect(own.urls.mqtt, { clientId: 'nobody', protocolVersion: 4 });
    const asked = [
      'control-message',
      data,
      'motor-anomaly-level1-inference',
      '#',
      'aiot/v1/+/telemetry/x',
      '$SYS/#',
    ];
    const granted = await Promise.all(
      asked.map((filter) =>
        client.subscribeAsync(filter).then(
          ([grant]) => grant?.qos,
          () => 'refused',
        ),
      ),
    );
    expect(granted).toEqual([0, 0, ...Array(4).fill(granted[2])]);
    expect([128, 'refused']).toContain(granted[2]);
    client.end(true);
    for (const topic of ['control-message', 'aiot/v1/motor-1/telemetry/imu', 'x']) {
      const other = await connect(own.urls.mqtt, { clientId: 'nobody' });
      const ended = new Promise((resolve) => other.once('close', () => resolve('refused')));
      const outcome = await Promise.race([
        other.publishAsync(topic, '{}', { qos: 1 }).then(
          () => 'taken',
          () => 'refused',
        ),
        ended,
      ]);
      expect(outcome, topic).toBe('refused');
      other.end(true);
    }
  });

  it('writes a file for every three readings, byte for byte, and announces it on control-message', async () => {
    const before = filesOf(await listing());
    const listener = await connect(own.urls.mqtt, { clientId: 'listener' });
    const said: string[] = [];
    listener.on('message', (_topic, payload) => said.push(payload.toString()));
    await listener.subscribeAsync('control-message');
    const board = await connect(own.urls.mqtt, { clientId: '14333616' });
    for (const current of [1, 2, 3, 4]) await board.publishAsync(data, reading(current), { qos: 1 });
    const [name = ''] = filesOf(await listing()).filter((file) => !before.includes(file));
    expect(name).toMatch(/^raw_sensor_training_data_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d:\d{13}\.csv$/);
    const { text } = await ask(own.urls.datasets, `/${name}`, { ca: own.ca });
    const lines = text.split('\n');
    expect(lines[0]).toBe('deviceID,timeStamp,current,temperature,vibration,sound');
    expect(lines.slice(1).map((line) => line.replace(/\d{13}/, 'TIME'))).toEqual([
      '14333616,TIME,1.0,20.0,0.5,60.0',
      '14333616,TIME,2.0,20.0,0.5,60.0',
      '14333616,TIME,3.0,20.0,0.5,60.0',
      '',
    ]);
    await expect.poll(() => said).toEqual([`{"command": "extract-data", "payload" : "${name}"}`]);
    board.end(true);
    listener.end(true);
  });

  it('keeps collected readings across a restart, and skips invalid ones', async () => {
    const before = filesOf(await listing());
    await own.restart();
    const board = await connect(own.urls.mqtt, { clientId: '14333616' });
    await board.publishAsync(data, 'no JSON', { qos: 1 });
    for (const current of [5, 6]) await board.publishAsync(data, reading(current), { qos: 1 });
    const [name = ''] = filesOf(await listing()).filter((file) => !before.includes(file));
    const { text } = await ask(own.urls.datasets, `/${name}`, { ca: own.ca });
    expect(text.split('\n').map((line) => line.split(',')[2])).toEqual([
      'current',
      '4.0',
      '5.0',
      '6.0',
      undefined,
    ]);
    board.end(true);
  });
});

/** A client that sends the raw packets of the guide's firmware (MQTT 3.1.1, QoS 0, clean session). */
class Board {
  private received = Buffer.alloc(0);
  private constructor(readonly socket: Socket) {
    socket.on('data', (bytes) => {
      this.received = Buffer.concat([this.received, bytes]);
    });
  }

  static async open(url: string, id: string): Promise<Board> {
    const { hostname, port } = new URL(url);
    const socket = tcp(Number(port), hostname);
    await once(socket, 'connect');
    const board = new Board(socket);
    board.send(0x10, Buffer.concat([str('MQTT'), Buffer.from([4, 2, 0, 15]), str(id)]));
    expect(await board.packet(4)).toEqual(Buffer.from([0x20, 2, 0, 0]));
    return board;
  }

  send(head: number, body: Buffer): void {
    this.socket.write(Buffer.concat([Buffer.from([head, ...length(body.length)]), body]));
  }

  async packet(bytes: number): Promise<Buffer> {
    for (let i = 0; i < 1000 && this.received.length < bytes; i++) await delay(20);
    const packet = this.received.subarray(0, bytes);
    this.received = this.received.subarray(bytes);
    return packet;
  }
}

const str = (text: string) =>
  Buffer.concat([Buffer.from([text.length >> 8, text.length & 255]), Buffer.from(text)]);
const length = (bytes: number) => (bytes < 128 ? [bytes] : [(bytes & 127) | 128, bytes >> 7]);

describe('the guide’s firmware', () => {
  it('is activated, publishes, is notified of a model and downloads its 11,148 bytes', async () => {
    const form = { method: 'POST', ca: own.ca, body: 'device_id=14333616' };
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const confirm = () => ask(own.urls.devices, '/confirmActivation', { ...form, headers });
    expect((await confirm()).text).toBe('FALSE');
    await ask(own.urls.devices, '/provisionDevice', { ...form, headers });
    expect((await confirm()).text).toBe('TRUE');
    const { pushTiny } = await import('../support/bundle.js');
    await pushTiny(own.client, own.key);
    const shelf = await ask(own.urls.models, '/quantized/', { ca: own.ca });
    const [, name = ''] = /href="\.\/([^"]+-model\.tflite)"/.exec(shelf.text) ?? [];
    expect(name).toMatch(/^\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d-model\.tflite$/);

    const board = await Board.open(own.urls.mqtt, '14333616');
    board.send(0x82, Buffer.concat([Buffer.from([0, 1]), str('control-message'), Buffer.from([0])]));
    expect(await board.packet(5)).toEqual(Buffer.from([0x90, 3, 0, 1, 0]));
    board.send(0x30, Buffer.concat([str(data), Buffer.from(reading(7))]));
    const operator = await connect(own.platform.urls.mqtts, {
      ca: own.ca,
      username: 'operator',
      password: own.token,
    });
    const message = `{"command": "download-model", "payload": "${name}"}`;
    await operator.publishAsync('control-message', message, { qos: 1 });
    operator.end(true);
    const packet = await board.packet(2 + 2 + 15 + message.length);
    expect(packet.length).toBeLessThan(256);
    expect(packet[0]).toBe(0x30);
    expect(packet.subarray(19).toString()).toBe(message);
    board.socket.destroy();

    const got = await rawly(
      own.urls.models,
      own.ca,
      `GET /quantized/${name} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: ESP32HTTPClient\r\nConnection: close\r\n\r\n`,
    );
    const [head = '', ...rest] = got.split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head).toMatch(/\r\ncontent-length: 11148(\r\n|$)/i);
    const body = Buffer.from(rest.join('\r\n\r\n'), 'latin1');
    expect(body).toHaveLength(11_148);
    expect(body.toString('latin1', 4, 8)).toBe('TFL3');
  });
});
