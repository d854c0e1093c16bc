import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { devicesTable, deviceText } from '../../src/lib/cli/render/fleet.js';
import { simulateCommand } from '../../src/lib/cli/render/provisioned.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { motorFields } from '../../src/lib/data/motor.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { type SimulateOptions, simulateDevice } from '../../src/lib/device/simulate.js';
import { whyUnfit } from '../../src/lib/device/telemetry/answer.js';
import { readRecording, suitableSource } from '../../src/lib/device/telemetry/sensor.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { motionBundle, motionSamples } from '../support/motion-bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

let own: TestPlatform;
let csv: string;
let seed = 0;
beforeAll(async () => {
  own = await testPlatform();
  csv = join(own.folder, 'walk.csv');
  await writeFile(csv, `x,y,z\n${motionSamples(250).map(String).join('\n')}\n`);
});
afterAll(() => own.stop());

const others = ['a', 'b', 'c'];

/** Rolls out a model for these fields to a device. Resolves with its version once the device runs it. */
async function rollOut(device: string, fields: readonly string[]): Promise<number> {
  const bundle = motionBundle(++seed, 'right', fields);
  const { client, key } = own;
  await client.blobs.put(digestOf(bundle), bundle);
  const { version, sequence } = await client.models.next('motion');
  const signed = { name: 'motion', version, sequence, issued: Date.now(), expires: null };
  const manifest = manifestOf(bundle, { ...signed, deviceTypes: ['virtual'] });
  await client.models.push('motion', signManifest(manifest, key));
  const wish = oneWave({ name: 'motion', version, sequence, selector: device, deadlineMs: 20_000 });
  const { id } = await client.rollouts.start(wish);
  expect((await rolloutEnd(client, id)).state).toBe('done');
  return version;
}

/** Starts a simulated device of this name. */
async function started(name: string, options: Partial<SimulateOptions>) {
  const identityDir = join(own.folder, name);
  await provisionDevice({ client: own.client, name, type: 'virtual', out: identityDir });
  const events: DeviceEvent[] = [];
  const end = new AbortController();
  const run = (more: Partial<SimulateOptions> = {}) =>
    simulateDevice({
      ...{ identityDir, speed: 10, predict: true, loop: false, seed: 1, signal: end.signal },
      ...{ onEvent: (event: DeviceEvent) => void events.push(event), ...options, ...more },
    });
  return {
    run,
    end,
    warnings: () =>
      events.flatMap((event) => (event.event === 'log' && event.level === 'warn' ? [event.message] : [])),
    predictedBy: () =>
      events.flatMap((event) => (event.event === 'inference' ? [event.inference.model.version] : [])),
    samples: () => events.reduce((sum, event) => sum + (event.event === 'sent' ? event.messages : 0), 0),
    sent: () => events.flatMap((event) => (event.event === 'sent' ? [event.inferences] : [])),
  };
}

const warningOf = (version: number, got: string) =>
  `motion@${version} does not fit this source, so the device predicts nothing until it gets another model: expected the fields a, b, c as required by the model, got ${got}`;

it('sends samples without a model, and samples and predictions after a rollout', async () => {
  const device = await started('both', { recording: csv, loop: true, predict: false });
  const running = device.run();
  await expect.poll(device.samples, { timeout: 10_000 }).toBeGreaterThan(0);
  expect(device.predictedBy()).toEqual([]);
  const version = await rollOut('both', ['x', 'y', 'z']);
  await expect.poll(() => device.predictedBy().at(-1), { timeout: 10_000 }).toBe(version);
  const before = device.samples();
  await expect.poll(device.samples, { timeout: 10_000 }).toBeGreaterThan(before);
  device.end.abort();
  await running;
});

describe('a simulated device whose model does not fit its source', () => {
  it.each<[string, Partial<SimulateOptions>, string[], string]>([
    ['a recording in a loop', { loop: true }, ['x', 'y', 'z'], 'x, y, z'],
    [
      'a motor',
      { motor: 'healthy', rateHz: 100 },
      ['current', 'vibration', 'sound'],
      'current, temperature, vibration, sound',
    ],
  ])(
    'with %s, warns once, continues, and predicts after an update that fits',
    async (_, source, fields, got) => {
      const name = source.loop ? 'looping' : 'motor';
      const device = await started(name, { ...source, ...(source.loop ? { recording: csv } : {}) });
      const running = device.run();
      const first = await rollOut(name, others);
      await expect.poll(device.warnings, { timeout: 10_000 }).toEqual([warningOf(first, got)]);
      expect(device.predictedBy()).toEqual([]);
      const sensor = async () => (await own.client.devices.get(name)).sensor;
      await expect.poll(sensor, { timeout: 10_000 }).toMatchObject({
        ...{ stream: source.motor ? 'shaded-pole-motor-sensor_data' : 'motion', rate: 100 },
        unfit: expect.stringContaining('expected the fields a, b, c as required by the model'),
      });
      const info = await own.client.devices.get(name);
      for (const text of [deviceText(info), devicesTable([info], Date.now())])
        expect(text).toContain('no predictions: expected the fields a, b, c as required by the model');
      expect(deviceText(info)).toMatch(
        /running for +\d+ s\n.*last restart +power-on\n.*queue +0 waiting, 0 messages dropped/,
      );
      const second = await rollOut(name, fields);
      await expect.poll(() => device.predictedBy().at(-1), { timeout: 10_000 }).toBe(second);

      // The same in the middle of a recording.
      const third = await rollOut(name, others);
      await expect
        .poll(device.warnings, { timeout: 10_000 })
        .toEqual([warningOf(first, got), warningOf(third, got)]);
      const fourth = await rollOut(name, fields);
      await expect.poll(() => device.predictedBy().at(-1), { timeout: 10_000 }).toBe(fourth);
      expect(device.warnings()).toHaveLength(2);
      await expect.poll(sensor, { timeout: 10_000 }).toMatchObject({ unfit: null });
      device.end.abort();
      await running;
      expect(new Set(device.predictedBy())).toEqual(new Set([second, fourth]));
    },
    60_000,
  );

  it('takes the rate from the project around the recording, and names the flag that fits', async () => {
    const project = join(own.folder, 'project');
    await mkdir(join(project, 'recordings'), { recursive: true });
    await writeFile(
      join(project, 'aiot.yaml'),
      'name: motion\nsignal: { rate: 50, window: 50, stride: 25 }\n',
    );
    const file = join(project, 'recordings', 'walk.csv');
    await copyFile(csv, file);
    expect((await readRecording(csv, null)).rateHz).toBe(100);
    expect((await readRecording(file, null)).rateHz).toBe(50);
    expect((await readRecording(file, 200)).rateHz).toBe(200);
    expect(whyUnfit({ fields: ['x'], rateHz: 100 }, { fields: ['x'], rateHz: 50 })).toBe(
      'expected 50 Hz as required by the model, got 100 (to use this model, restart with --rate 50)',
    );
  });

  it('rejects a recording in place of its folder', async () => {
    const { code, stderr } = await runCli(['device', 'simulate', csv]);
    expect(code).toBe(2);
    expect(stderr).toContain(`expected a device's folder, got the recording ${csv}`);
    expect(stderr.replace(/\s+/g, ' ')).toContain(`aiot device simulate DEVICE --recording ${csv} --loop`);
  });

  it('has a source that fits the project in the folder, for the command that runs it', async () => {
    const folderOf = async (name: string, yaml: string, file?: string) => {
      const folder = join(own.folder, name);
      await mkdir(join(folder, 'data', 'recordings'), { recursive: true });
      await writeFile(join(folder, 'aiot.yaml'), yaml);
      if (file) await copyFile(csv, join(folder, 'data', 'recordings', file));
      return folder;
    };
    const signal = 'signal: { rate: 50, window: 50, stride: 25 }\n';
    const xyz = `stream: { topic: motion, fields: { x: { unit: g }, y: { unit: g }, z: { unit: g } } }\n${signal}`;
    const walk = await folderOf('walk', `name: walk\n${xyz}`, 'walk 1.csv');
    const recorded = ['--recording', join(walk, 'data', 'recordings', 'walk 1.csv'), '--loop'];
    expect(await suitableSource(walk)).toEqual(recorded);
    expect(simulateCommand('d', recorded)).toMatch(
      /^aiot device simulate d --recording (['"]).*walk 1.csv\1 --loop$/,
    );
    const other = await folderOf('other', `name: other\n${xyz.replace('motion', 'shake')}`, 'a.csv');
    expect(await suitableSource(other)).toContain('shake');
    const fields = motorFields.map((field) => `${field}: { unit: V }`).join(', ');
    const topic = 'shaded-pole-motor-sensor_data';
    const motor = `name: motor\nstream: { topic: ${topic}, fields: { ${fields} } }\n${signal}`;
    expect(await suitableSource(await folderOf('a-motor', motor))).toEqual(['--motor', 'healthy']);
    expect(await suitableSource(await folderOf('empty', `name: empty\n${xyz}`))).toBeNull();
    expect(await suitableSource(own.folder)).toBeNull();
    const [above, table] = [join(own.folder, 'above'), join('data', 'rows.csv')];
    const tableProject = await folderOf(
      join('above', 'pump'),
      `name: pump\nmodel: { table: { file: ${table} } }\n`,
    );
    await copyFile(csv, join(tableProject, table));
    const rows = ['--recording', join(tableProject, table), '--stream', 'rows', '--loop'];
    expect(await suitableSource(tableProject)).toEqual(rows);
    expect(await suitableSource(above)).toEqual(rows);
    await folderOf(join('above', 'second'), `name: second\n${xyz}`, 'a.csv');
    expect(await suitableSource(above)).toBeNull();
    expect(simulateCommand('d', null)).toBe('aiot device simulate d --recording FILE.csv --loop');
  });

  it('sends a recording once after an update to a model that fits, and fails if it times out without one', async () => {
    const device = await started('once', { recording: csv });
    const first = device.run();
    const unfit = await rollOut('once', others);
    await expect.poll(device.warnings, { timeout: 10_000 }).toEqual([warningOf(unfit, 'x, y, z')]);
    expect(device.sent()).toEqual([]);
    await rollOut('once', ['z', 'y', 'x']);
    await first;
    // 250 samples, windows of 50 every 25.
    expect(device.sent()).toEqual([9]);

    const late = await started('late', { recording: csv });
    const running = late.run();
    await rollOut('late', others);
    late.end.abort();
    await running;
    const { signal } = new AbortController();
    const refusal = {
      code: 'AIOT_RECORDING_UNFIT',
      message: expect.stringContaining('does not fit this source'),
    };
    await expect(late.run({ forMs: 300, signal })).rejects.toMatchObject(refusal);

    // The model may also arrive during a run of limited time.
    const later = await started('later', { recording: csv, forMs: 15_000 });
    const ended = expect(later.run()).rejects.toMatchObject(refusal);
    await rollOut('later', others);
    await ended;
  }, 60_000);
});
