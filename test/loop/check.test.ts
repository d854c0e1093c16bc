import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CheckedLoop, checkClock, checkDisk } from '../../src/lib/loop/operate/check.js';
import { checkDevice, linesOf, nodeOf } from '../../src/lib/loop/operate/check-devices.js';
import { operate } from '../../src/lib/loop/operate/operate.js';
import { runCli } from '../support/cli.js';
import { loopStatus } from '../support/loop-status.js';
import { motionBundle, motionSamples } from '../support/motion-bundle.js';

let folder: string;
const before = { ...process.env };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-loop-check-'));
  for (const [name, at] of [
    ['CONFIG', 'config'],
    ['DATA', 'data'],
    ['CACHE', 'cache'],
  ])
    process.env[`AIOT_${name}_DIR`] = join(folder, at!);
  const yaml = `name: motion
stream: {topic: motion, fields: {x: {unit: g}, y: {unit: g}, z: {unit: g}}}
signal: {rate: 100, window: 50, stride: 25}
model: {labels: {resting: [resting], walking: [walking], stairs: [stairs]}}
loop: {spool: 1MiB}
`;
  await writeFile(join(folder, 'aiot.yaml'), yaml);
  await mkdir(join(folder, 'build'));
  await writeFile(join(folder, 'build', 'model.aiot'), motionBundle());
  const rows = motionSamples(300).map((sample, i) => [i * 10, ...sample].join(','));
  await writeFile(join(folder, 'moves.csv'), `t,x,y,z\n${rows.join('\n')}\n`);
});
afterEach(async () => {
  process.env = { ...before };
  await rm(folder, { recursive: true, force: true });
});

async function check(...flags: string[]) {
  const { json, code, stdout, stderr } = await runCli([
    'loop',
    'check',
    '--project',
    folder,
    '--json',
    ...flags,
  ]);
  const checked = json as CheckedLoop;
  const of = (name: string) => checked.checks.filter((line) => line.check === name);
  return { checked, code, of, printed: stdout + stderr };
}
const sensor = 'file:moves.csv?rate=100&speed=max';

describe('aiot loop check', () => {
  it('passes if the sensor, model, and outputs are available', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const { checked, code, of } = await check(
      '--sensor',
      sensor,
      '--out',
      `http://127.0.0.1:${port}/x`,
      '--out',
      `file:${folder}/answers.ndjson`,
    );
    server.close();
    expect(checked.checks.filter(({ state }) => state === 'failed')).toEqual([]);
    expect([code, checked.ok, checked.name]).toEqual([0, true, 'motion']);
    expect(of('model')[0]!.detail).toMatch(
      /^motion \(file\) on cpu, all test vectors give the expected results; resting, walking, stairs$/,
    );
    expect(of('rate')).toMatchObject([
      { state: 'ok', detail: expect.stringContaining('100.00 samples per second') },
    ]);
    expect(of('output')).toMatchObject([{ state: 'ok' }, { state: 'ok' }]);
    expect(of('disk')[0]!.state).toBe('ok');
  });

  it('suggests a fix for each problem, and exits with 6', async () => {
    await writeFile(join(folder, 'build', 'model.aiot'), motionBundle(1, 'wrong'));
    const { checked, code, of } = await check(
      ...[
        '--sensor',
        'i2c://1/lsm6ds3tr-c',
        '--out',
        'mqtt://127.0.0.1:1/x',
        '--out',
        'exec:no-such-program',
      ],
    );
    expect(code).toBe(6);
    expect(checked.ok).toBe(false);
    expect(of('bus')).toMatchObject([{ state: 'failed', detail: expect.stringContaining('/dev/i2c-1') }]);
    expect(of('model')).toMatchObject([
      { state: 'failed', detail: expect.stringContaining('AIOT_GOLDEN_MISMATCH') },
    ]);
    expect(
      of('output').map(({ state, detail }) => [
        state,
        detail.includes('127.0.0.1:1') || detail.includes('no-such-program'),
      ]),
    ).toEqual([
      ['failed', true],
      ['failed', true],
    ]);
    for (const { state, next } of checked.checks) expect(next === null).toBe(state === 'ok');
  });

  it('measures the sensor against the project if there is no model', async () => {
    await rm(join(folder, 'build'), { recursive: true });
    const { of, code } = await check('--sensor', sensor);
    expect(code).toBe(6);
    expect(of('model')[0]!.detail).toContain('AIOT_MODEL_NOT_BUILT');
    expect(of('rate')[0]!.state).toBe('ok');
  });

  it('requires a sensor, and only warns if there is no output', async () => {
    const { of } = await check();
    expect(of('sensor')).toMatchObject([{ state: 'failed', detail: 'no sensor is specified' }]);
    expect(of('output')).toMatchObject([{ state: 'warning' }]);
  });

  it('does not touch the sensor of a running loop', async () => {
    const status = loopStatus({ name: 'motion' });
    const operation = await operate({ status: () => status }, { name: 'motion' });
    let checked: Awaited<ReturnType<typeof check>> | undefined;
    // The loop writes its status shortly after its start.
    await expect
      .poll(async () => {
        checked = await check('--sensor', 'i2c://1/lsm6ds3tr-c');
        return checked.of('loop');
      })
      .toMatchObject([{ state: 'warning', detail: expect.stringContaining(`pid ${process.pid}`) }]);
    await operation.close();
    expect(checked?.of('bus')).toEqual([]);
  });

  it('does not print passwords from addresses', async () => {
    const { of, printed } = await check(
      '--sensor',
      sensor,
      '--out',
      'mqtt://u:hush@127.0.0.1:1/x',
      '--out',
      'redis://:hush@127.0.0.1:1/k',
    );
    expect(of('output').map(({ state }) => state)).toEqual(['failed', 'failed']);
    expect(printed).not.toContain('hush');
  });

  it('prints one line per check, with a suggested fix', async () => {
    const { stdout, code } = await runCli([
      'loop',
      'check',
      '--project',
      folder,
      '--sensor',
      'file:none.csv',
    ]);
    expect(code).toBe(6);
    expect(stdout).toMatch(/✗ rate {4}AIOT_\w+: .*none\.csv/);
    expect(stdout).toContain('Try:');
    expect(
      (await runCli(['loop', 'check', '--project', join(folder, 'nowhere'), '--json'])).json,
    ).toMatchObject({
      error: { code: 'AIOT_PROJECT_NOT_FOUND' },
    });
  });
});

describe('a sensor measurement', () => {
  const measured = {
    endpoint: 'i2c://1/x',
    fields: [{ name: 'x', unit: 'g' }],
    contractHz: 100,
    seconds: 2,
    newest: [0.5],
    samples: 200,
    lost: 0,
    gaps: 0,
    rateHz: 100,
    jitterP99Ms: 0.5,
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    events: [],
  };
  it.each([
    [{}, 100, 'ok', 'sample'],
    [{ rateHz: 104 }, 100, 'ok', 'sample'],
    [{ rateHz: 52 }, 100, 'warning', 'the model expects 100'],
    [{ rateHz: 208 }, 100, 'warning', 'the model expects 100'],
    [{ rateHz: 7 }, null, 'ok', '7.00'],
    [{ lost: 3 }, 100, 'warning', '3 lost'],
    [{ samples: 0, newest: null }, 100, 'failed', 'no samples in 2.0 s'],
  ])('with %j against a contract of %s Hz is rated %s', (more, contractHz, state, said) => {
    const rate = linesOf({ ...measured, ...more }, contractHz).find(({ check }) => check === 'rate');
    expect(rate).toMatchObject({ state, detail: expect.stringContaining(said) });
  });
});

describe('the host check', () => {
  it('accepts a synchronized clock, warns about an unsynchronized or unknown one, and fails a wrong one', async () => {
    const now = Date.UTC(2026, 5, 1);
    expect((await checkClock(now, async () => true)).state).toBe('ok');
    expect((await checkClock(now, async () => false)).state).toBe('warning');
    expect((await checkClock(now, async () => undefined)).state).toBe('warning');
    expect((await checkClock(Date.UTC(2000, 0, 1), async () => true)).state).toBe('failed');
  });

  it('accepts a disk with enough space, warns about a full one, and fails an unwritable one', async () => {
    expect((await checkDisk(join(folder, 'a', 'b'), 1)).state).toBe('ok');
    expect((await checkDisk(folder, 1e18)).state).toBe('warning');
    await writeFile(join(folder, 'file'), '');
    expect((await checkDisk(join(folder, 'file', 'x'), 1)).state).toBe('failed');
  });

  it.each([
    ['i2c://1/lsm6ds3tr-c?rate=104', '/dev/i2c-1'],
    ['i2c://%2Fdev%2Fi2c-9/x', '/dev/i2c-9'],
    ['i2c://sim/x', undefined],
    ['serial:///dev/ttyUSB0?baud=9600', '/dev/ttyUSB0'],
    ['gpio://gpiochip0/17?on=a', '/dev/gpiochip0'],
    ['mqtt://h/dev/x', undefined],
  ])('maps %s to the device %s', (url, node) => {
    expect(nodeOf(url)).toBe(node);
  });

  it('reports the group that grants access to a device', async () => {
    const node = join(folder, 'i2c-1');
    await writeFile(node, '');
    expect(await checkDevice(node)).toMatchObject({ check: 'permission', state: 'ok' });
    expect(await checkDevice(join(folder, 'none'))).toBeUndefined();
    await chmod(node, 0);
    await writeFile(join(folder, 'group'), `i2c:x:${process.getgid?.()}:pi\n`);
    // Root has access to every device.
    const found = await checkDevice(node, join(folder, 'group'));
    if (process.getuid?.() === 0) expect(found?.state).toBe('ok');
    else expect(found).toMatchObject({ state: 'failed', next: expect.stringContaining('usermod -aG i2c') });
  });
});
