import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packRecordings } from '../../scripts/recordings.js';
import { packageRoot } from '../../src/lib/core/folders.js';
import { loadProject, parseProject } from '../../src/lib/core/project.js';
import { checkProject } from '../../src/lib/data/check/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { initProject, initResultSchema, unpackRecordings } from '../../src/lib/project/init.js';
import { findTemplates } from '../../src/lib/project/templates.js';
import { signalSpecOf } from '../../src/lib/signal/spec.js';
import { root, runCli } from '../support/cli.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-init-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('templates', () => {
  it('are found from the sources, from dist, and from an installed package', async () => {
    expect((await findTemplates()).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['har-imu', 'iot-kit', 'motor-watch']),
    );
    expect(packageRoot(join(root, 'dist', 'lib', 'project', 'templates.js'))).toBe(root);
    const installed = join(folder, 'node_modules', 'aiot');
    await mkdir(join(installed, 'dist', 'lib'), { recursive: true });
    await writeFile(join(installed, 'package.json'), '{"name":"aiot"}');
    await writeFile(join(folder, 'package.json'), '{"name":"other"}');
    expect(packageRoot(join(installed, 'dist', 'lib', 'x.js'))).toBe(installed);
  });

  it('match the schema, including the one with four classes', async () => {
    for (const { dir } of await findTemplates()) {
      for (const name of (await readdir(dir)).filter((file) => /^aiot\..*yaml$/.test(file))) {
        const config = parseProject(await readFile(join(dir, name), 'utf8'), name);
        if (!config.up) signalSpecOf(config);
      }
    }
  });

  it('explain how to replace their data with your own', async () => {
    const templates = await findTemplates();
    for (const { name, dir } of templates) {
      const { config } = await loadProject(dir);
      // A template without signal has no recordings: its services provide the data.
      if (!config.signal || config.up) continue;
      const text = await readFile(join(dir, 'README.md'), 'utf8');
      const own = text.slice(text.search(/^## Use your own (?:recordings|pictures)$/m));
      const steps = ['1. Delete `data/dataset.json`', 'model.labels', 'aiot data import', 'aiot data check'];
      for (const step of steps) expect(own, name).toContain(step);
    }
  });

  it('contain at most 350,000 bytes of spoken words', async () => {
    const words = await readFile(join(root, 'templates', 'keyword-spotting', 'words.wav'));
    expect(words.length).toBeLessThan(350_000);
  });

  it('contain at most 3,000,000 bytes of recordings', async () => {
    const recordings = join(root, 'templates', 'har-imu', 'data', 'recordings');
    let bytes = 0;
    for (const file of await readdir(recordings)) bytes += (await readFile(join(recordings, file))).length;
    expect(bytes).toBeLessThan(3_000_000);
  });
});

it('unpacks the recordings that the package contains in one file', async () => {
  const recordings = join(root, 'templates', 'har-imu', 'data', 'recordings');
  const data = join(folder, 'packed', 'data');
  await mkdir(data, { recursive: true });
  await writeFile(join(data, 'recordings.json.gz'), packRecordings(recordings));
  await unpackRecordings(data);
  expect(await readdir(data)).toEqual(['recordings']);
  const names = await readdir(recordings);
  expect((await readdir(join(data, 'recordings'))).sort()).toEqual(names.sort());
  for (const name of names)
    expect(await readFile(join(data, 'recordings', name)), name).toEqual(
      await readFile(join(recordings, name)),
    );
});

describe('aiot init', () => {
  it.each([
    ['har-imu', { downstairs: 10, lying: 5, sitting: 5, upstairs: 10, walking: 5 }],
    ['keyword-spotting', { no: 27, noise: 27, other: 54, stop: 27, yes: 27 }],
    ['motor-watch', { bearing: 10, blocked: 10, healthy: 10, imbalance: 10, worn: 10 }],
  ])(
    'creates a project from %s whose recordings can be split and checked immediately',
    async (template, labels) => {
      const dir = join(folder, template);
      const { json, code, stdout } = await runCli(['init', dir, '--template', template, '--json']);
      expect(code).toBe(0);
      expect(stdout.trim().split('\n').length).toBe(1);
      expect(initResultSchema.parse(json)).toMatchObject({ name: template, template, dir, labels });
      const report = await checkProject(await loadProject(dir));
      expect(report.ok).toBe(true);
      expect(report.split).not.toBeNull();
    },
  );

  it('creates a project from iot-kit, and prints how to start it', async () => {
    const dir = join(folder, 'kit');
    const { stdout, code } = await runCli(['init', dir, '--template', 'iot-kit', '--no-color']);
    expect(code).toBe(0);
    expect(stdout).toContain('README.md, aiot.schema.json, aiot.yaml, deploy.yaml, routes.yaml');
    expect(stdout).toContain(`aiot up --project ${dir}`);
    expect(stdout).not.toContain('Recordings');
  });

  it('creates the same recordings every time', async () => {
    const digests: string[] = [];
    for (const name of ['one', 'two']) {
      const { dir } = await initProject({ dir: join(folder, name), template: 'motor-watch' });
      digests.push((await openDataset(await loadProject(dir))).digest);
    }
    expect(digests[0]).toBe(digests[1]);
  });

  it('prints the project’s name and the next commands', async () => {
    const dir = join(folder, 'My first watch!');
    const { stdout, code } = await runCli(['init', dir, '--name', 'wrist']);
    expect(code).toBe(0);
    expect(stdout).toContain('wrist (har-imu)');
    expect(stdout).toContain(`aiot model train --project '${dir}'`);
    expect(stdout).toContain(`aiot pipeline run --project '${dir}' --until evaluate`);
    expect((await loadProject(dir)).config.name).toBe('wrist');
    await rm(dir, { recursive: true });
    expect(await initProject({ dir, template: 'har-imu' })).toMatchObject({ name: 'My-first-watch' });
  });

  it('fills an existing empty folder', async () => {
    const dir = join(folder, 'empty');
    await mkdir(dir);
    await initProject({ dir, template: 'har-imu' });
    expect((await readdir(dir)).sort()).toEqual([
      'README.md',
      'aiot.feats.yaml',
      'aiot.four-classes.yaml',
      'aiot.schema.json',
      'aiot.yaml',
      'data',
      'deploy.yaml',
      'streams.yaml',
    ]);
  });

  it.each([
    ['an occupied folder', ['busy'], 'AIOT_FOLDER_NOT_EMPTY'],
    ['a file', ['busy/file'], 'AIOT_FOLDER_NOT_EMPTY'],
    ['an unknown template', ['new', '--template', 'nope'], 'AIOT_USAGE'],
    ['an invalid name', ['new', '--name', 'a b'], 'AIOT_USAGE'],
  ])('rejects %s and writes nothing', async (_, [dir = '', ...rest], code) => {
    await mkdir(join(folder, 'busy'), { recursive: true });
    await writeFile(join(folder, 'busy', 'file'), 'mine');
    const before = (await readdir(folder, { recursive: true })).sort();
    const result = await runCli(['init', join(folder, dir), ...rest, '--json']);
    expect(result.code).toBe(2);
    expect(result.json).toMatchObject({ error: { code } });
    expect((await readdir(folder, { recursive: true })).sort()).toEqual(before);
    expect(existsSync(join(folder, 'new'))).toBe(false);
  });

  it('names the file to change if the folder contains a project', async () => {
    const dir = join(folder, 'twice');
    await initProject({ dir, template: 'har-imu' });
    expect((await runCli(['init', dir, '--json'])).json).toMatchObject({
      error: {
        code: 'AIOT_FOLDER_NOT_EMPTY',
        next: `To change this project, edit ${join(dir, 'aiot.yaml')}. For another one, name a new folder.`,
      },
    });
  });

  it('rejects an occupied folder before reading your own data', async () => {
    const result = await runCli(['init', join(folder, 'busy'), '--from', '/nowhere', '--json']);
    expect(result.json).toMatchObject({
      error: { code: 'AIOT_FOLDER_NOT_EMPTY', next: 'Specify a new or empty folder.' },
    });
  });
});
