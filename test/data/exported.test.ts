import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import { initProject } from '../../src/lib/project/init.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';

import { runCli } from '../support/cli.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let folder: string;
let dir: string;
const devices: MqttClient[] = [];

/** The samples of a message, which are numbers that need many digits. */
const sampleOf = (recording: string, seq: number) =>
  Array.from({ length: 50 }, (_, i) => Math.sin(recording.length + seq + i / 50));

async function publish(device: MqttClient, name: string, recording: string, seqs: readonly number[]) {
  for (const seq of seqs) {
    const x = sampleOf(recording, seq);
    const message = { seq, t: 1_000_000 + seq * 500, rate: 100, recording, x, y: x, z: x, more: x };
    await device.publishAsync(`aiot/v1/${name}/telemetry/motion`, JSON.stringify(message), { qos: 1 });
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-exported-'));
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
  own = await testPlatform();
  const { platform, token, client } = own;
  await addContext('own', { url: platform.urls.http, ca: platform.ca, token }, { use: true });
  for (const name of ['m1', 'm2']) {
    const out = join(own.folder, name);
    await provisionDevice({ client, name, type: 'virtual', out });
    devices.push(await connectDevice(platform.urls.mqtts, out));
  }
  await publish(devices[0]!, 'm1', 'walk', [0, 1, 2, 4]);
  await publish(devices[0]!, 'm1', 'mixed', [0, 1, 2, 3]);
  await publish(devices[1]!, 'm2', 'walk', [0, 1]);
  const label = (device: string, recording: string, said: string, part = {}) =>
    client.labels.post({ stream: 'motion', device, recording, label: said, ...part });
  await label('m1', 'walk', 'walking');
  await label('m1', 'mixed', 'lying');
  await label('m1', 'mixed', 'sitting', { from: 1_000_700, to: 1_001_200 });
});
afterAll(async () => {
  for (const device of devices) await device.endAsync(true);
  await own.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  dir = await mkdtemp(join(folder, 'project-'));
  await initProject({ dir, template: 'har-imu', name: 'wrist' });
  await rm(join(dir, 'data'), { recursive: true, force: true });
});

const run = (...argv: string[]) => runCli([...argv, '--project', dir, '--json']);
const listed = async () => {
  const { recordings } = JSON.parse(await readFile(join(dir, 'data', 'dataset.json'), 'utf8'));
  return recordings as { id: string }[];
};
const whole = [
  { id: 'm1.walk', device: 'm1', label: 'walking', samples: 200, missing: 1, startedAt: 1_000_000 },
  { id: 'm2.walk', device: 'm2', label: null, samples: 100, missing: 0 },
  { id: 'mixed-1', device: 'm1', label: 'lying', samples: 70 },
  { id: 'mixed-2', device: 'm1', label: 'sitting', samples: 51, startedAt: 1_000_700 },
  { id: 'mixed-3', device: 'm1', label: 'lying', samples: 79 },
];
const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);

describe('exported data', () => {
  it.each(['csv', 'ndjson'])(
    'is imported from %s bit for bit and only once, with devices, labels, and missing counts',
    async (format) => {
      const out = join(dir, `motion of all.${format}`);
      expect(await runCli(['data', 'export', 'motion', '--format', format, '--out', out])).toMatchObject({
        code: 0,
      });
      const first = await run('data', 'import', out);
      expect(first, first.stdout).toMatchObject({ code: 0, json: { skipped: [] } });
      expect((await listed()).sort(byId)).toMatchObject(whole);
      const rows = (await readFile(join(dir, 'data', 'recordings', 'm1.walk.csv'), 'utf8'))
        .trim()
        .split('\n');
      const wanted = [0, 1, 2, 4].flatMap((seq) => sampleOf('walk', seq)).map((x) => `${x},${x},${x}`);
      expect(rows).toEqual(['x,y,z', ...wanted]);
      const again = await run('data', 'import', out);
      expect(again.json).toMatchObject({ imported: [] });
      expect((again.json as { skipped: string[] }).skipped).toHaveLength(whole.length);
    },
  );

  it('is imported directly from the platform', async () => {
    const result = await run('data', 'import', '--stream', 'motion');
    expect(result, result.stdout).toMatchObject({ code: 0 });
    expect((await listed()).sort(byId)).toMatchObject(whole);
    expect((await run('data', 'import', '--stream', 'motion', '--dry-run')).json).toMatchObject({
      imported: [],
    });
  });

  it('is imported without the recordings that lack values, which are named with the reason and the remedy', async () => {
    const send = (recording: string, seq: number, values: object) =>
      devices[0]!.publishAsync(
        'aiot/v1/m1/telemetry/partial',
        JSON.stringify({ seq, t: 1_000_000 + seq * 10, recording, ...values }),
        { qos: 1 },
      );
    await send('good', 0, { x: 1, y: 2, z: 3 });
    await send('flat', 0, { x: 1 });
    await send('broken', 0, { x: 1, y: 2, z: 3 });
    await send('broken', 1, { x: 1, y: 2 });
    await own.client.labels.post({ stream: 'partial', device: 'm1', recording: 'broken', label: 'lying' });
    const place = { stream: 'partial', device: 'm1' };
    const rejected = [
      {
        ...{ ...place, recording: 'broken', reason: 'no finite number for z in 1 of 2 samples' },
        next: 'To remove it from the platform, run `aiot data remove partial/m1/broken --labeled`.',
      },
      {
        ...{ ...place, recording: 'flat', reason: 'no values for y, z' },
        next: 'To remove it from the platform, run `aiot data remove partial/m1/flat`.',
      },
    ];
    const result = await run('data', 'import', '--stream', 'partial');
    expect(result, result.stdout).toMatchObject({ code: 0, json: { imported: [{ id: 'good' }], rejected } });
    const text = await runCli(['data', 'import', '--stream', 'partial', '--project', dir]);
    expect(text.stdout).toContain('! not imported: partial/m1/flat: no values for y, z\n  To remove it');
    // An unlabeled recording that has grown since then does not prevent the import of the others.
    await send('good', 1, { x: 1, y: 2, z: 3 });
    await send('late', 0, { x: 1, y: 2, z: 3 });
    expect((await run('data', 'import', '--stream', 'partial')).json).toMatchObject({
      imported: [{ id: 'late' }],
      rejected: [
        ...rejected,
        { recording: 'good', reason: 'the project already has a different recording good' },
      ],
    });
  });

  it('is rejected with the names of its recordings if none can be imported', async () => {
    const file = join(dir, 'bad.csv');
    await writeFile(file, 'device,recording,seq,t,label,x,y,z\nm1,a,0,0,,1,2,\nm1,b,0,0,walking,1,,\n');
    expect((await run('data', 'import', file)).json).toMatchObject({
      error: {
        code: 'AIOT_FILE_MALFORMED',
        message: `${file}: none of the recordings can be imported: m1/a: no values for z, m1/b: no values for y, z`,
        next: `Remove the recording from ${file}, or add the missing values.`,
      },
    });
  });

  it('is rejected with a specific error if it does not fit the project', async () => {
    const head = 'device,recording,seq,t,label';
    const line = (more: object) =>
      JSON.stringify({ device: 'm1', recording: 'r', seq: 0, t: 0, label: 'walking', ...more });
    const rows = (stepMs: number) =>
      Array.from({ length: 400 }, (_, i) => `m1,r,${i},${i * stepMs},walking,0,0,${i}`).join('\n');
    for (const [text, code] of [
      [`${head},x,y\nm1,r,0,0,walking,0,0\n`, 'AIOT_CSV_COLUMNS'],
      [`${head},x,y,z\nm1,r,0,0,walking,0,0,\n`, 'AIOT_FILE_MALFORMED'],
      [`${head},x,y,z\nm1,r,0,0,flying,0,0,1\n`, 'AIOT_LABEL_UNKNOWN'],
      [
        `${head},x,y,z\nm1,${'r'.repeat(64)},0,0,walking,0,0,1\nm2,${'r'.repeat(64)},0,0,walking,0,0,1\n`,
        'AIOT_USAGE',
      ],
      [`${head},x,y,z\n`, 'AIOT_CSV_EMPTY'],
      [`${line({ x: 0, y: 0 })}\n`, 'AIOT_CSV_COLUMNS'],
      [`${line({ x: 0, y: 0, z: null })}\n`, 'AIOT_FILE_MALFORMED'],
      [`${line({ x: 0, y: 0, z: 0 })}\n{"device":\n`, 'AIOT_FILE_MALFORMED'],
      [`${line({ x: 0, y: 0, z: 0, label: 'flying' })}\n`, 'AIOT_LABEL_UNKNOWN'],
      ['PAR1 and more', 'AIOT_FILE_NOT_READABLE'],
      [`${head},x,y,z\n${rows(20)}\n`, 'AIOT_DATA_RATE'],
    ] as const) {
      const file = join(dir, 'bad.csv');
      await writeFile(file, text);
      expect((await run('data', 'import', file)).json).toMatchObject({ error: { code } });
    }
    expect((await run('data', 'import')).json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
    expect((await run('data', 'import', '--stream', 'nothing')).json).toMatchObject({
      error: { code: 'AIOT_NOT_FOUND' },
    });
  });
});
