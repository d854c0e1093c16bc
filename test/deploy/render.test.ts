import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';

describe('aiot deploy render', () => {
  let dir: string;
  let out: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-deploy-'));
    out = join(dir, 'nats');
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  const render = (...flags: string[]) =>
    runCli(['deploy', 'render', '--target', 'nats', '--out', out, '--json', ...flags]);
  const filesOf = (json: unknown) =>
    (json as { files: { path: string; did: string; bytes: number }[] }).files;
  const did = (json: unknown) => Object.fromEntries(filesOf(json).map((file) => [file.path, file.did]));

  it('writes a server with its streams and consumers, and lists the files', async () => {
    const { json, code } = await render('--project', 'templates/har-imu');
    expect(code).toBe(0);
    expect(json).toMatchObject({ target: 'nats', dir: out, project: 'har-imu', dryRun: false });
    const paths = filesOf(json).map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['nats.conf', 'auth.conf', 'streams/RPI.json']));
    expect(paths.filter((path) => path.startsWith('consumers/RPI-sub-'))).toEqual(
      ['x', 'y', 'z', 'feats', 'predictions'].map((subject) => `consumers/RPI-sub-${subject}.json`),
    );
    for (const { path, bytes } of filesOf(json)) {
      expect((await readFile(join(out, path))).length, path).toBe(bytes);
    }
    const stream = JSON.parse(await readFile(join(out, 'streams/RPI.json'), 'utf8'));
    expect(stream).toMatchObject({
      subjects: ['x', 'y', 'z', 'feats', 'predictions', 'output'],
      max_age: 30_000_000_000,
      duplicate_window: 29_000_000_000,
      retention: 'workqueue',
      storage: 'file',
    });
  });

  it('keeps unchanged files, updates them when the project changes, and rejects edited ones', async () => {
    await render();
    expect(new Set(Object.values(did((await render()).json)))).toEqual(new Set(['unchanged']));
    await writeFile(join(dir, 'aiot.yaml'), 'name: other\n');
    await writeFile(join(dir, 'streams.yaml'), 'topics: [{ name: PLANT, subjects: [plant.>] }]\n');
    const other = await render('--project', dir);
    expect(did(other.json)).toMatchObject({
      'nats.conf': 'changed',
      'auth.conf': 'unchanged',
      'streams/PLANT.json': 'created',
      'streams/RPI.json': 'left',
    });
    const file = join(out, 'nats.conf');
    const mine = `${await readFile(file, 'utf8')}# mine\n`;
    await writeFile(file, mine);
    const refused = await render();
    expect([refused.code, refused.json]).toEqual([
      6,
      {
        error: expect.objectContaining({
          code: 'AIOT_DEPLOY_EDITED',
          message: expect.stringContaining('nats.conf'),
        }),
      },
    ]);
    expect(await readFile(file, 'utf8')).toBe(mine);
    // No other file was changed either.
    expect(await readFile(join(out, 'streams.yaml'), 'utf8')).toContain('PLANT');
    expect(did((await render('--dry-run')).json)['nats.conf']).toBe('edited');
    expect(did((await render('--force')).json)['nats.conf']).toBe('changed');
    expect(await readFile(file, 'utf8')).not.toContain('# mine');
  });

  it('rejects a preexisting file, and writes nothing under --dry-run', async () => {
    const { json } = await render('--dry-run');
    expect(new Set(Object.values(did(json)))).toEqual(new Set(['created']));
    await expect(readdir(out)).rejects.toThrow();
    await writeFile(join(dir, 'nats.conf'), 'mine\n');
    out = dir;
    expect((await render()).code).toBe(6);
    expect((await readdir(dir)).sort()).toEqual(['nats.conf']);
  });

  it('reports an invalid project, definition, flag or output folder', async () => {
    const codeOf = async (...flags: string[]) => {
      const { json, code } = await render(...flags);
      return [code, (json as { error: { code: string } }).error.code];
    };
    expect(await codeOf('--project', join(dir, 'none'))).toEqual([4, 'AIOT_PROJECT_NOT_FOUND']);
    await writeFile(join(dir, 'aiot.yaml'), 'name: other\n');
    await writeFile(join(dir, 'streams.yaml'), 'topics: [{ nam: PLANT }]\n');
    expect(await codeOf('--project', dir)).toEqual([2, 'AIOT_STREAM_SPEC_INVALID']);
    expect(await codeOf('--target', 'k8s')).toEqual([2, 'AIOT_USAGE']);
    await writeFile(join(dir, 'file'), '');
    out = join(dir, 'file', 'nats');
    expect(await codeOf()).toEqual([1, 'AIOT_FILE_NOT_WRITABLE']);
  });

  it('prints a list of files and the next command', async () => {
    const { stdout } = await runCli(['deploy', 'render', '--target', 'nats', '--out', out]);
    expect(stdout).toMatch(/nats\.conf +created +\S+ \S+ +the server\n/);
    expect(stdout).toContain(`cd ${out} && sh prepare.sh`);
  });
});
