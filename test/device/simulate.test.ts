import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { takeLock } from '../../src/lib/core/lock.js';
import { type DeviceEvent, describeEvent, deviceEventSchema } from '../../src/lib/device/events.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let dir: string;
let csv: string;
beforeAll(async () => {
  own = await testPlatform();
  dir = join(own.folder, 'motor-1');
  await mkdir(dir, { recursive: true });
  await provisionDevice({ client: own.client, name: 'motor-1', type: 'virtual', out: dir });
  csv = join(own.folder, 'walking1.csv');
  const rows = Array.from({ length: 250 }, (_, i) => `${i / 100},${-i},0.5`);
  await writeFile(csv, `x,y,z\n${rows.join('\n')}\n`);
});
afterAll(() => own.stop());

function eventsOf(stdout: string): DeviceEvent[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => deviceEventSchema.parse(JSON.parse(line)));
}

describe('device simulate', () => {
  it('replays a recording, prints its events as JSON lines, and exits', async () => {
    const { stdout, code } = await runCli([
      ...['device', 'simulate', dir, '--recording', csv, '--speed', 'max', '--json'],
    ]);
    expect(code).toBe(0);
    const events = eventsOf(stdout);
    expect(events.map(({ event }) => event).filter((name) => name !== 'reported')).toEqual([
      ...['booted', 'online', 'sent', 'offline', 'stopped'],
    ]);
    expect(events.find(({ event }) => event === 'sent')).toMatchObject({
      device: 'motor-1',
      recording: 'walking1',
      samples: 250,
      messages: 3,
    });
    expect((await own.client.datasets.get('motion')).recordings).toMatchObject([{ samples: 250 }]);
    expect(existsSync(join(dir, 'flash.bin'))).toBe(true);
  });

  it('simulates a motor for a limited time, at the motor’s speed', async () => {
    const { stdout, code } = await runCli([
      ...['device', 'simulate', dir, '--motor', 'bearing', '--for', '1200ms', '--json'],
    ]);
    expect(code).toBe(0);
    const sent = eventsOf(stdout).find(({ event }) => event === 'sent');
    expect(sent).toMatchObject({ messages: 2 });
    const { fields, recordings } = await own.client.datasets.get('shaded-pole-motor-sensor_data');
    expect(fields).toEqual(['current', 'temperature', 'vibration', 'sound']);
    expect(recordings[0]?.samples).toBeGreaterThan(200);
    expect(recordings[0]?.samples).toBeLessThan(400);
    expect(recordings[0]?.rateHz).toBe(200);
  });

  it('uses the rate of the time column, which is not a field', async () => {
    const timed = join(own.folder, 'timed.csv');
    const rows = Array.from({ length: 50 }, (_, k) => `${(k * 0.02).toFixed(2)},${k},1,2`);
    await writeFile(timed, `time,x,y,z\n${rows.join('\n')}\n`);
    const { code } = await runCli([
      ...['device', 'simulate', dir, '--recording', timed, '--stream', 'timed', '--speed', 'max', '--json'],
    ]);
    expect(code).toBe(0);
    expect(await own.client.datasets.get('timed')).toMatchObject({
      fields: ['x', 'y', 'z'],
      recordings: [{ samples: 50, rateHz: 50 }],
    });
  });

  it('stores a repeated recording as a new one', async () => {
    const { stdout } = await runCli([
      ...[
        'device',
        'simulate',
        dir,
        '--recording',
        csv,
        '--loop',
        '--speed',
        '50',
        '--for',
        '800ms',
        '--json',
      ],
    ]);
    const takes = eventsOf(stdout).flatMap((e) => (e.event === 'sent' ? [e.recording] : []));
    expect(takes.length).toBeGreaterThan(1);
    expect(new Set(takes).size).toBe(takes.length);
  });

  it('prints one sentence per event for human readers', async () => {
    const { stdout } = await runCli(['device', 'simulate', dir, '--for', '100ms']);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}/);
    expect(stdout).toContain('booted without a model');
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/stopped$/);
  });

  it.each([
    [{ samples: 250, messages: 3, inferences: 0 }, '250 samples in 3 messages'],
    [{ samples: 250, messages: 3, inferences: 1 }, '250 samples in 3 messages and 1 prediction'],
    [{ samples: 1250, messages: 0, inferences: 9 }, '9 predictions from 1,250 samples'],
    [{ samples: 250, messages: 0, inferences: 0 }, 'no messages from 250 samples'],
  ])('reports %o as sent messages', (counts, words) => {
    const event = { event: 'sent' as const, device: 'motor-1', t: 0, recording: 'walking1', seconds: 2.5 };
    expect(describeEvent({ ...event, ...counts })).toBe(`sent walking1: ${words} in 2.5 s`);
  });

  it.each([
    [['NONE'], 4, 'AIOT_FILE_NOT_FOUND'],
    [['DIR', '--recording', '/no/such.csv'], 4, 'AIOT_FILE_NOT_FOUND'],
    [['DIR', '--recording', 'BAD'], 2, 'AIOT_FILE_MALFORMED'],
    [['DIR', '--recording', 'CSV', '--motor', 'healthy'], 2, 'AIOT_USAGE'],
    [['DIR', '--recording', 'CSV', '--stream', 'a/b'], 2, 'AIOT_RECORDING_UNFIT'],
    [['DIR', '--recording', 'CSV', '--predict', '--for', '1s'], 1, 'AIOT_DEVICE_NO_MODEL'],
    [['DIR', '--motor', 'rusty'], 2, 'AIOT_USAGE'],
    [['DIR', '--speed', '0'], 2, 'AIOT_USAGE'],
    [['DIR', '--for', '5'], 2, 'AIOT_USAGE'],
    [['DIR', '--loop'], 2, 'AIOT_USAGE'],
    [[], 2, 'AIOT_USAGE'],
    [['DIR', '--count', '3'], 2, 'AIOT_USAGE'],
    [['DIR', '--board', 'architects-guide'], 2, 'AIOT_USAGE'],
    [['DIR', '--board', 'iot-kit'], 2, 'AIOT_USAGE'],
  ])('%j exits with %i and %s', async (args, exit, code) => {
    const bad = join(own.folder, 'bad.csv');
    await writeFile(bad, 'x,y,z\n1,2,NaN\n');
    const places: Record<string, string> = { DIR: dir, CSV: csv, BAD: bad, NONE: join(own.folder, 'none') };
    const result = await runCli(['device', 'simulate', ...args.map((arg) => places[arg] ?? arg), '--json']);
    expect(result.json).toMatchObject({ error: { code } });
    expect(result.code).toBe(exit);
    expect(existsSync(join(own.folder, 'none'))).toBe(false);
  });

  it('runs one process per device, and takes over from a crashed one', async () => {
    const note = join(dir, 'device.pid');
    const release = await takeLock(join(dir, 'device.lock'));
    const busy = await runCli(['device', 'simulate', dir, '--for', '50ms', '--json']);
    expect(busy).toMatchObject({ json: { error: { code: 'AIOT_DEVICE_BUSY' } }, code: 1 });
    release?.();
    // A file left by a killed process; its process id may belong to another process by now.
    await writeFile(note, `${process.ppid}\n`);
    expect((await runCli(['device', 'simulate', dir, '--for', '50ms', '--json'])).code).toBe(0);
    expect(existsSync(note)).toBe(false);
  });

  it('reports an unreachable broker', async () => {
    const away = join(own.folder, 'away');
    await mkdir(away);
    await provisionDevice({ client: own.client, name: 'away', type: 'virtual', out: away });
    const identity = {
      name: 'away',
      id: 'x',
      type: 'virtual',
      urls: { http: 'https://127.0.0.1:1', mqtts: 'mqtts://127.0.0.1:1' },
    };
    await rm(join(away, 'device.json'));
    await writeFile(join(away, 'device.json'), JSON.stringify(identity));
    const { json, code } = await runCli(['device', 'simulate', away, '--json']);
    expect({ json, code }).toMatchObject({ json: { error: { code: 'AIOT_BROKER_UNREACHABLE' } }, code: 1 });
  });
});
