import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  describeKitEvent,
  type KitEvent,
  kitEventSchema,
  kitMessages,
  simulateKit,
} from '../../src/lib/device/kit.js';
import { startBroker, type TestBroker } from '../support/broker.js';
import { root, runCli } from '../support/cli.js';

let broker: TestBroker;
const heard: { topic: string; payload: string; qos: number; level: number | null }[] = [];
const clients: { id: string; user: string | undefined }[] = [];
beforeAll(async () => {
  broker = await startBroker({
    prepare(aedes) {
      aedes.authenticate = (client, user, _password, done) => {
        clients.push({ id: client.id, user });
        done(null, true);
      };
      aedes.on('publish', ({ topic, payload, qos }, client) => {
        const level = (client as unknown as { version: number } | null)?.version ?? null;
        if (client) heard.push({ topic, payload: payload.toString(), qos, level });
      });
    },
  });
});
afterAll(() => broker.close());
const to = () => `mqtt://127.0.0.1:${broker.port}`;

describe('a simulated board of the IoT kit', () => {
  it('uses MQTT 3.1, its MAC as client ID and user name, QoS 0, and a trailing NUL, as the kit does', async () => {
    const { code, stdout } = await runCli([
      ...[
        'device',
        'simulate',
        '--board',
        'iot-kit',
        '--to',
        to(),
        '--rate',
        '500',
        '--count',
        '20',
        '--json',
      ],
    ]);
    expect(code).toBe(0);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => kitEventSchema.parse(JSON.parse(line)));
    const sent = events.filter((event) => event.event === 'sent');
    expect(events.at(0)?.event).toBe('connected');
    expect(events.at(-1)).toMatchObject({ event: 'ended', messages: sent.length });
    expect(clients).toEqual([{ id: 'aa:bb:cc:dd:ee:ff', user: 'aa:bb:cc:dd:ee:ff' }]);
    await expect.poll(() => heard.length).toBe(sent.length);
    expect(heard.map(({ topic, payload }) => `${topic} ${payload}`)).toEqual(
      sent.map(({ topic, payload }) => `${topic} ${payload}\0`),
    );
    expect(new Set(heard.map(({ qos, level }) => `${qos} ${level}`))).toEqual(new Set(['0 3']));
    expect(sent.filter(({ topic }) => topic === 'iotkit/sensor')).toHaveLength(20);
  });

  it('reports the commands that it receives, and stops after the given time', async () => {
    const events: KitEvent[] = [];
    const topic = 'iotkit/actors/servo2';
    await simulateKit({
      ...{ to: to(), seed: 1, rateHz: 20, forMs: 3000 },
      onEvent(event) {
        // The board has subscribed before it sends its first message.
        if (event.event === 'sent' && !events.some((earlier) => earlier.event === 'sent'))
          broker.aedes.publish(
            { cmd: 'publish', topic, payload: '0.5\0', qos: 0, retain: false, dup: false },
            () => {},
          );
        events.push(event);
      },
    });
    const lines = events.map(describeKitEvent);
    expect(lines).toContain('← iotkit/actors/servo2  0.5');
    expect(lines.at(-1)).toMatch(/^stopped after \d+ messages$/);
  });

  it('uses the given MAC', async () => {
    const { code } = await runCli([
      ...['device', 'simulate', 'AA-BB-CC-DD-EE-01', '--board', 'iot-kit', '--to', to()],
      ...['--rate', '500', '--count', '1'],
    ]);
    expect(code).toBe(0);
    expect(clients.at(-1)).toEqual({ id: 'aa:bb:cc:dd:ee:01', user: 'aa:bb:cc:dd:ee:01' });
  });

  it('fails if there is no broker', async () => {
    const { code, json } = await runCli([
      ...['device', 'simulate', '--board', 'iot-kit', '--to', 'mqtt://127.0.0.1:1', '--json'],
    ]);
    expect(code).toBe(1);
    expect(json).toMatchObject({ error: { code: 'AIOT_BROKER_UNREACHABLE' } });
  });

  it('sends the same messages for the same seed, in the formats of the kit', () => {
    const take = (seed: number) => {
      const loops = kitMessages(seed);
      return Array.from({ length: 300 }, () => loops.next().value!).flat();
    };
    expect(take(7)).toEqual(take(7));
    expect(take(7)).not.toEqual(take(8));
    const forms: Record<string, RegExp> = {
      'iotkit/sensor': /^0xBC,\d{2}\.\d{2},\d{2}\.\d,(low|middle|high)$/,
      'iotkit/alert': /^alert: hall$/,
      'iotkit/button': /^ON$/,
      'iotkit/rfid': /^([0-9A-F]{2}:){4}$/,
      'iotkit/encoder': /^\d+$/,
    };
    for (const { topic, text } of take(7)) expect(text).toMatch(forms[topic]!);
    expect(new Set(take(7).map(({ topic }) => topic)).size).toBe(5);
  });
});

describe('a table filled by boards', () => {
  it('is accepted by aiot model train, quantize, and evaluate without flags', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'aiot-kit-train-'));
    try {
      await copyFile(join(root, 'templates', 'iot-kit', 'aiot.yaml'), join(dir, 'aiot.yaml'));
      const missing = await runCli(['model', 'train', '--project', dir, '--json']);
      expect(missing.json).toMatchObject({ error: { code: 'AIOT_FILE_NOT_FOUND' } });

      const loops = kitMessages(3);
      const readings = Array.from({ length: 600 }, () => loops.next().value![0]!.text);
      await mkdir(join(dir, 'data'));
      const file = join(dir, 'data', 'ml-data.csv');
      await writeFile(file, `sensor,temp,hum,class\n${readings.join('\n')}\n`);
      const trained = await runCli(['model', 'train', '--project', dir, '--epochs', '30', '--json']);
      expect(trained.code, trained.stdout + trained.stderr).toBe(0);
      const quantized = await runCli(['model', 'quantize', '--project', dir, '--json']);
      expect(quantized.code, quantized.stdout).toBe(0);
      const evaluated = await runCli(['model', 'evaluate', '--project', dir, '--json']);
      expect(evaluated.code, evaluated.stdout).toBe(0);
      const { metrics } = trained.json as { metrics: { accuracy: number } };
      expect(trained.json).toMatchObject({ inputs: ['temp', 'hum'], classes: ['low', 'middle', 'high'] });
      // Random guesses would be right in one of three cases. Right after a change, the load cannot be recognized yet.
      expect(metrics.accuracy).toBeGreaterThan(0.8);

      // Without a header, as other consumers of the topic store the readings.
      await writeFile(file, `${readings.join('\n')}\n`);
      const headless = await runCli(['model', 'train', '--project', dir, '--epochs', '30', '--json']);
      expect(headless.code, headless.stdout).toBe(0);
      expect((headless.json as { metrics: object }).metrics).toEqual(metrics);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }, 60_000);
});
