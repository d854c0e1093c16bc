import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { devicesFor, type LoopUnitOptions, loopUnit } from '../../src/lib/loop/operate/install.js';
import { runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';

let folder: string;
const before = { ...process.env };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-install-'));
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
  await mkdir(join(folder, 'project'));
  await writeFile(
    join(folder, 'project', 'aiot.yaml'),
    "name: motion\nloop: {sensor: 'i2c://1/lsm6ds3tr-c?rate=104', out: ['gpio://gpiochip0/17?on=walking']}\n",
  );
});
afterEach(async () => {
  process.env = { ...before };
  await rm(folder, { recursive: true, force: true });
});
const install = (...flags: string[]) =>
  runCli(['loop', 'install', '--project', join(folder, 'project'), '--user', 'dynamic', ...flags]);

describe('aiot loop install', () => {
  it("writes a service unit from the project's settings, and prints how to start it", async () => {
    const { json, code } = await install('--unit-dir', join(folder, 'units'), '--json');
    expect(code).toBe(0);
    const unit = await readFile(join(folder, 'units', 'aiot-loop-motion.service'), 'utf8');
    expect(json).toMatchObject({ service: 'aiot-loop-motion.service', user: 'dynamic', written: true, unit });
    expect((json as { start: string[] }).start).toContain('sudo systemctl enable --now aiot-loop-motion');
    const lines = unit.split('\n');
    for (const line of [
      'Type=notify',
      'WatchdogSec=60',
      'DynamicUser=yes',
      'SupplementaryGroups=i2c gpio',
      'DeviceAllow=/dev/i2c-1 rw',
      'DeviceAllow=/dev/gpiochip0 rw',
      'StateDirectory=aiot-loop-motion',
      'MemoryMax=300M',
      'EnvironmentFile=-/etc/aiot/loop-motion.env',
      'StartLimitIntervalSec=0',
    ])
      expect(lines).toContain(line);
    expect(unit).not.toContain('MemoryDenyWriteExecute');
    expect(lines.indexOf('StartLimitIntervalSec=0')).toBeLessThan(lines.indexOf('[Service]'));
    expect(unit).toContain(`loop run --project ${join(folder, 'project')} --name motion`);
  });

  it('passes its flags on to the service, quoted correctly', async () => {
    const { json } = await install(
      ...[
        '--dry-run',
        '--json',
        '--name',
        'arm',
        '--sensor',
        'iio://lsm6dsox?rate=100',
        '--hold',
        '5s',
        '--cpu',
        '50%',
      ],
      ...[
        '--listen',
        '127.0.0.1:9099',
        '--out',
        'exec:say "100%25"',
        '--out',
        'mqtt://127.0.0.1/$x?body=label',
      ],
    );
    const { unit, written } = json as { unit: string; written: boolean };
    expect(written).toBe(false);
    expect(unit).toContain('--name arm --sensor "iio://lsm6dsox?rate=100" --hold 5s --listen 127.0.0.1:9099');
    expect(unit).toContain('--out "exec:say \\"100%%25\\"" --out "mqtt://127.0.0.1/$$x?body=label"');
    expect(unit).toContain('CPUQuota=50%');
    expect(unit).toContain('DeviceAllow=char-iio rw');
    expect(unit).not.toContain('ProtectKernelTunables');
  });

  it('loads the credentials file for a dynamic user, and never copies its contents into the unit', async () => {
    await mkdir(join(folder, 'config'));
    const kept = { endpoints: { 'mqtt://h:1883': { password: 'hush-hush' } } };
    await writeFile(join(folder, 'config', 'credentials.json'), JSON.stringify(kept));
    const { json } = await install('--dry-run', '--json');
    const { unit } = json as { unit: string };
    expect(unit).toContain(`LoadCredential=credentials.json:${folder}/config/credentials.json`);
    expect(unit).toContain('Environment=AIOT_CONFIG_DIR=/run/credentials/aiot-loop-motion.service');
    expect(unit).not.toContain('hush');
  });

  it.each([
    [['--out', 'redis://:hush@127.0.0.1/k'], 'AIOT_USAGE'],
    [['--sensor', 'nats://hush@127.0.0.1/x'], 'AIOT_USAGE'],
    [['--out', 'gopher://x'], 'AIOT_STREAM_SCHEME'],
    [['--user', 'nobody-of-this-name'], 'AIOT_USAGE'],
    [['--memory', 'lots'], 'AIOT_USAGE'],
    [['--cpu', 'half'], 'AIOT_USAGE'],
    [['--name', 'a/b'], 'AIOT_USAGE'],
    [['--model', 'none.aiot'], 'AIOT_FILE_NOT_FOUND'],
  ])('rejects %j', async (flags, code) => {
    const { json, stdout, stderr } = await install('--dry-run', '--json', ...flags);
    expect(json).toMatchObject({ error: { code } });
    expect(stdout + stderr).not.toContain('hush');
  });

  it('reports a missing sensor and a missing output', async () => {
    await writeFile(join(folder, 'project', 'aiot.yaml'), 'name: motion\n');
    const { stdout } = await install('--dry-run');
    expect(stdout).toContain('No sensor is set');
    expect(stdout).toContain('No output is set');
  });
});

it.each([
  ['i2c://1/lsm6ds3tr-c,lis3mdl', ['/dev/i2c-1'], ['i2c']],
  ['i2c://%2Fdev%2Fi2c-3/bme280?rate=1', ['/dev/i2c-3'], ['i2c']],
  ['i2c://sim/lsm6dsox', [], []],
  ['alsa://hw:1?rate=16000', ['char-alsa'], ['audio']],
  [
    'serial:///dev/ttyUSB0?baud=115200',
    ['char-ttyUSB', 'char-ttyACM', 'char-ttyAMA', 'char-ttyS'],
    ['dialout'],
  ],
  ['gpio://gpiochip4/17?on=a', ['/dev/gpiochip4'], ['gpio']],
  ['mqtt://127.0.0.1/x', [], []],
  ['file:recording.csv', [], []],
])('aiot loop install grants a service the devices and groups that %s needs', (url, allow, groups) => {
  expect(devicesFor([url])).toMatchObject({ allow, groups });
});

describeReal('systemd', 'the systemd unit', () => {
  const options: LoopUnitOptions = {
    name: 'motion',
    command: ['/bin/sh', '-c', 'echo "100% of $HOME"', '--out', 'mqtt://127.0.0.1/a?b=c&d=%20 e'],
    project: '/tmp',
    user: undefined,
    devices: devicesFor(['i2c://1/lsm6ds3tr-c', 'gpio://gpiochip0/1', 'serial:///dev/ttyUSB0']),
    reads: ['/home/pi/motion', '/usr/lib/node_modules/aiot'],
    config: { folder: '/home/pi/.config/aiot', files: ['contexts.json'] },
    secrets: '/etc/aiot/loop-motion.env',
    memory: '300M',
    cpu: '50%',
  };
  it.each([undefined, 'daemon'])('passes systemd-analyze verify for the user %s', async (user) => {
    const file = join(folder, 'aiot-loop-motion.service');
    await writeFile(file, loopUnit({ ...options, user }));
    const { status, stderr, stdout } = spawnSync('systemd-analyze', ['verify', '--man=no', file], {
      encoding: 'utf8',
    });
    // Considers only our unit, because others on this machine may be invalid.
    const ours = `${stderr}${stdout}`.split('\n').filter((line) => line.includes('aiot-loop'));
    expect(ours).toEqual([]);
    expect(status).toBe(0);
  });

  it.each([
    [undefined, 2.2],
    ['daemon', 2.5],
  ])('has a low exposure level in systemd-analyze security for the user %s', async (user, most) => {
    const file = join(folder, 'aiot-loop-motion.service');
    await writeFile(file, loopUnit({ ...options, user }));
    const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=yes', '--no-pager', file], {
      encoding: 'utf8',
    });
    const [, exposure] = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout) ?? [];
    expect(Number(exposure)).toBeLessThan(most);
  });
});
