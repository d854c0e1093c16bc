import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { drawnFaces } from '../../src/lib/vision/faces.js';
import { runCli } from '../support/cli.js';
import { livelySamples, motionFolder } from '../support/loop.js';
import { motionBundle } from '../support/motion-bundle.js';
import { natsClient, startNats } from '../support/nats.js';
import { describeReal } from '../support/real.js';

let folder: string;
const kept = { ...process.env };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-loop-run-'));
  for (const name of ['CONFIG', 'DATA', 'CACHE']) process.env[`AIOT_${name}_DIR`] = join(folder, name);
});
afterEach(async () => {
  for (const name of ['CONFIG', 'DATA', 'CACHE']) {
    const before = kept[`AIOT_${name}_DIR`];
    if (before === undefined) delete process.env[`AIOT_${name}_DIR`];
    else process.env[`AIOT_${name}_DIR`] = before;
  }
  await rm(folder, { recursive: true, force: true });
});

describeReal('nats', 'aiot loop run with a real NATS server', () => {
  it('replays a recording at full speed, and sends every change of label', async () => {
    const samples = livelySamples(2000);
    const project = await motionFolder(samples);
    const server = await startNats('', { jetstream: false });
    const client = await natsClient(server);
    const heard: { t: number; voted: string; device: string; model: { name: string } }[] = [];
    client.subscribe('output', { callback: (_, message) => void heard.push(message.json()) });
    await client.flush();
    const { code, stdout, json } = await runCli([
      ...['loop', 'run', '--project', project, '--sensor', 'file:recording.csv?rate=100&speed=max'],
      ...['--out', `${server.url}/output`, '--vote', 'none', '--json'],
    ]);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const predictor = createPredictor(unpackBundle(motionBundle(10)));
    const labels = samples.map((sample) => predictor.push(sample)?.label).filter((label) => label != null);
    const changes = labels.filter((label, i) => label !== labels[i - 1]);
    expect(changes.length).toBeGreaterThan(2);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      ...{ samples: 2000, lost: 0, rateHz: 100, jitterP99Ms: 0 },
      ...{ windows: labels.length, predictions: labels.length, changes: changes.length },
      outputs: [{ sent: changes.length, waiting: 0, dropped: 0 }],
    });
    await client.flush();
    expect(heard.map(({ voted }) => voted)).toEqual(changes);
    expect(heard[0]).toMatchObject({ model: { name: 'motion' }, device: expect.stringMatching(/./) });
    await client.close();
    await server.stop();
    await rm(project, { recursive: true });
  });
});

it('aiot loop run --record stores the samples in a dataset that aiot data reads', async () => {
  const samples = livelySamples(700);
  const project = await motionFolder(samples);
  const kept = join(folder, 'kept');
  const { code, stdout } = await runCli([
    ...['loop', 'run', '--project', project, '--sensor', 'file:recording.csv?rate=100&speed=max'],
    ...['--record', kept],
  ]);
  expect(code).toBe(0);
  expect(stdout).toContain('700 samples');
  const { recordings } = JSON.parse(await readFile(join(kept, 'dataset.json'), 'utf8'));
  expect(recordings).toMatchObject([{ label: null, rateHz: 100, samples: 700 }]);
  const listed = await runCli(['data', 'check', '--project', project, '--data', kept, '--json']);
  expect(listed.json).toMatchObject({ recordings: 1 });
  const [file = ''] = await readdir(join(kept, 'recordings'));
  const rows = (await readFile(join(kept, 'recordings', file), 'utf8')).trimEnd().split('\n').slice(1);
  expect(rows).toHaveLength(700);
  rows.forEach((row, i) => {
    row.split(',').forEach((value, f) => {
      expect(Number(value)).toBeCloseTo(samples[i]![f]!, 5);
    });
  });
  await rm(project, { recursive: true });
});

it('aiot loop run detects faces in pictures from a simulated camera, and sends each one', async () => {
  const project = join(folder, 'camera');
  await mkdir(project);
  await writeFile(join(project, 'aiot.yaml'), 'name: camera\nloop: { through: faces }\n');
  const out = join(folder, 'faces.ndjson');
  const { code, json } = await runCli([
    ...['loop', 'run', '--project', project, '--simulate', '--for', '3s'],
    ...['--send', 'always', '--out', `file://${out}`, '--json'],
  ]);
  expect(code).toBe(0);
  const result = json as { samples: number; windows: number; predictions: number };
  expect(result.samples).toBeGreaterThan(3);
  expect(result.windows).toBe(result.samples);
  // The simulated camera repeats its pictures in this order.
  const faces = Array.from({ length: result.samples }, (_, i) => drawnFaces[i % drawnFaces.length]!);
  expect(result.predictions).toBe(faces.reduce<number>((sum, each) => sum + each, 0));
  const sent = (await readFile(out, 'utf8')).trimEnd().split('\n');
  expect(sent).toHaveLength(result.predictions);
});
