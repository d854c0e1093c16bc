import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { InstalledPlatform } from '../../src/lib/platform/up/install.js';
import { runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';

let folder: string;
const before = { ...process.env };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-install-'));
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
});
afterEach(async () => {
  process.env = { ...before };
  await rm(folder, { recursive: true, force: true });
});
const install = (...flags: string[]) =>
  runCli(['platform', 'service', 'install', '--user', 'dynamic', ...flags]);

describe('aiot platform service install', () => {
  it('writes a service with the given flags, and prints how to start it', async () => {
    const { json, code } = await install(
      ...['--unit-dir', folder, '--host', '0.0.0.0', '--memory', '2G', '--blobs', 's3://models', '--json'],
    );
    expect(code).toBe(0);
    const installed = json as InstalledPlatform;
    const unit = await readFile(join(folder, 'aiot-platform.service'), 'utf8');
    expect(installed).toMatchObject({
      written: true,
      unit,
      user: 'dynamic',
      data: '/var/lib/aiot-platform/platform',
    });
    const lines = unit.split('\n');
    for (const line of [
      'Type=notify',
      'WatchdogSec=60',
      'DynamicUser=yes',
      'MemoryMax=2G',
      'StandardOutput=null',
      'ProtectSystem=strict',
    ])
      expect(lines).toContain(line);
    expect(unit).toMatch(
      /^ExecStart=.* up --json --host 0\.0\.0\.0 --http-port 8443 .*--blobs s3:\/\/models$/m,
    );
    expect(installed.start).toContain('sudo systemctl enable --now aiot-platform');
    const removed = await runCli(['platform', 'service', 'uninstall', '--unit-dir', folder, '--json']);
    expect(removed.json).toMatchObject({ removed: true });
    expect(
      (await runCli(['platform', 'service', 'uninstall', '--unit-dir', folder, '--json'])).json,
    ).toMatchObject({
      removed: false,
    });
  });

  it('keeps passwords out of the unit, and rejects an invalid size', async () => {
    const secret = await install('--dry-run', '--database', 'postgres://aiot:hidden@db/aiot', '--json');
    expect(secret.code).toBe(2);
    expect(secret.stdout + secret.stderr).not.toContain('hidden');
    expect((await install('--dry-run', '--memory', 'much')).code).toBe(2);
  });

  it('only shows the unit with --dry-run', async () => {
    const { stdout, code } = await install('--dry-run', '--unit-dir', folder, '--http-port', '443');
    expect(code).toBe(0);
    expect(stdout).toContain('AmbientCapabilities=CAP_NET_BIND_SERVICE');
    expect(stdout).toContain(`would write ${join(folder, 'aiot-platform.service')}`);
    await expect(readFile(join(folder, 'aiot-platform.service'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describeReal('systemd', 'the systemd unit of a platform', () => {
  it.each([[['--user', 'dynamic']], [['--user', 'root', '--data', '/srv/a platform']]])(
    'is accepted by systemd: %s',
    async (flags) => {
      await runCli(['platform', 'service', 'install', ...flags, '--unit-dir', folder, '--json']);
      const unit = join(folder, 'aiot-platform.service');
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(status).toBe(0);
    },
  );
});
