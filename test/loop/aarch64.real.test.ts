import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { livelySamples, motionFolder } from '../support/loop.js';
import { aarch64Folder, describeReal } from '../support/real.js';

/** Debian's C and C++ libraries for 64-bit Arm. */
const libraries = '/usr/aarch64-linux-gnu';
const onArm = ['qemu-aarch64-static', '-L', libraries, join(aarch64Folder, 'node', 'bin', 'node')];

/**
 * The same build must make the same predictions on both machines, so this runs the build that `npm test` makes.
 */
describeReal('aarch64', 'the loop on 64-bit Arm (Raspberry Pi)', () => {
  let folder: string;
  /** Folder of the package as npm would install it on Arm. */
  let app: string;
  let project: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-aarch64-'));
    app = join(folder, 'app');
    const isSource = (path: string) => !path.startsWith(`${join(root, 'dist')}/.`);
    for (const part of ['bin', 'dist', 'package.json', 'oclif.manifest.json'])
      await cp(join(root, part), join(app, part), { recursive: true, filter: isSource });
    await symlink(join(aarch64Folder, 'app', 'node_modules'), join(app, 'node_modules'));
    project = await motionFolder(livelySamples(1500));
  });
  afterAll(async () => {
    for (const made of [folder, project]) await rm(made, { recursive: true, force: true });
  });

  /**
   * Returns the output of a Node program on this machine or on Arm. A failed command's output becomes the error
   * message.
   */
  const run = async (where: 'here' | 'arm', ...args: string[]) => {
    const own = Object.fromEntries(
      ['CONFIG', 'DATA', 'CACHE'].map((name) => [`AIOT_${name}_DIR`, join(folder, where, name)]),
    );
    const [program = '', ...first] = where === 'arm' ? onArm : [process.execPath];
    const options = { env: { ...process.env, ...own }, timeout: 60_000 };
    const { stdout } = await promisify(execFile)(program, [...first, ...args], options).catch((error) => {
      throw new Error(`${args.join(' ')}: ${error.stdout}${error.stderr}`);
    });
    return stdout;
  };
  const aiot = async (where: 'here' | 'arm', ...args: string[]) =>
    JSON.parse(await run(where, join(where === 'arm' ? app : root, 'bin', 'run.js'), ...args, '--json'));

  it('loads all of its native dependencies', async () => {
    const script = join(folder, 'natives.cjs');
    await writeFile(
      script,
      `const load = require('node:module').createRequire(${JSON.stringify(join(app, 'package.json'))});
const Database = load('libsql');
const lz4 = load('lz4-napi');
const text = Buffer.from('again and again and again and again');
load('sharp')({ create: { width: 8, height: 4, channels: 3, background: 'red' } }).png().toBuffer().then(async (png) => {
  const { width, height } = await load('sharp')(png).metadata();
  // The native part of serialport opens ports. No machine has a port with this name.
  const opening = new Promise((done) => new (load('serialport').SerialPort)({ path: '/dev/ttyNONE', baudRate: 9600 }, done));
  const { sum } = new Database(':memory:').prepare('select 40 + 2 as sum').get();
  const port = (await opening)?.message;
  const same = lz4.uncompressSync(lz4.compressSync(text)).equals(text);
  console.log(JSON.stringify({ arch: process.arch, picture: [width, height], sum, port, same }));
});`,
    );
    expect(JSON.parse(await run('arm', script))).toEqual({
      ...{
        arch: 'arm64',
        picture: [8, 4],
        sum: 42,
        port: expect.stringContaining('No such file'),
        same: true,
      },
    });
  });

  it('makes the same predictions from a recording, bit for bit, as the host', async () => {
    const answers = async (where: 'here' | 'arm') => {
      const out = join(folder, `${where}.ndjson`);
      const result = await aiot(
        where,
        ...['loop', 'run', '--project', project, '--sensor', 'file:recording.csv?rate=100&speed=max'],
        ...['--send', 'always', '--out', `file://${out}`],
      );
      expect(result).toMatchObject({ samples: 1500, lost: 0, outputs: [{ waiting: 0, dropped: 0 }] });
      const lines = (await readFile(out, 'utf8')).trimEnd().split('\n');
      return lines.map((line) => {
        const { t: _, latencyMs: _ms, ...answer } = JSON.parse(line).payload;
        return answer;
      });
    };
    const [arm, here] = await Promise.all([answers('arm'), answers('here')]);
    expect(arm.length).toBeGreaterThan(40);
    expect(new Set(arm.map(({ label }) => label)).size).toBe(3);
    expect(arm).toEqual(here);
  });

  it('passes aiot loop check with a simulated chip, and is reported as arm64 by aiot doctor', async () => {
    const sensor = 'i2c://sim/lsm6ds3tr-c?rate=104';
    const [checked, doctor] = await Promise.all([
      aiot('arm', 'loop', 'check', '--project', project, '--sensor', sensor, '--for', '1s'),
      aiot('arm', 'doctor'),
    ]);
    expect(checked).toMatchObject({ ok: true });
    expect(JSON.stringify(doctor)).toContain('arm64');
    expect(await readdir(join(project, 'build'))).toEqual(['model.aiot']);
  });
});
