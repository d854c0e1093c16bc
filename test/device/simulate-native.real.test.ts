import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import { type DeviceEvent, deviceEventSchema } from '../../src/lib/device/events.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { simulateNative } from '../../src/lib/device/native/simulate.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

function eventsOf(stdout: string): DeviceEvent[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => deviceEventSchema.parse(JSON.parse(line)));
}

describeReal('native', 'device simulate --native', () => {
  let own: TestPlatform;
  let dir: string;

  beforeAll(async () => {
    // The program is shared by all test files, but contexts and identities belong to this one.
    const program = await nativeProgram();
    expect(existsSync(program)).toBe(true);
    own = await testPlatform();
    vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
    vi.stubEnv('AIOT_DATA_DIR', join(own.folder, 'user'));
    const { urls, ca } = own.platform;
    await addContext('own', { url: urls.http, ca, token: own.token }, { use: true });
    dir = join(own.folder, 'motor-1');
    await mkdir(dir, { recursive: true });
    await provisionDevice({ client: own.client, name: 'motor-1', type: 'virtual', out: dir });
  }, 300_000);
  afterAll(async () => {
    vi.unstubAllEnvs();
    await own.stop();
  });

  it('registers and starts another device on the current platform each time, while earlier ones run', async () => {
    const events: DeviceEvent[] = [];
    const stop = new AbortController();
    const common = { speed: 1, predict: false, loop: false, seed: 7, signal: stop.signal };
    const runs: Promise<void>[] = [];
    for (const name of ['native-1', 'native-2']) {
      runs.push(simulateNative({ ...common, onEvent: (event) => events.push(event) }));
      await vi.waitFor(
        () => expect(events.some(({ device, event }) => device === name && event === 'online')).toBe(true),
        10_000,
      );
    }
    const { stdout, code } = await runCli(['device', 'simulate', '--native', '--for', '1s', '--json']);
    expect(code).toBe(0);
    stop.abort();
    await Promise.all(runs);
    events.push(...eventsOf(stdout));
    for (const name of ['native-1', 'native-2', 'native-3']) {
      const told = events.filter(({ device }) => device === name).map(({ event }) => event);
      // One report covers all kinds of updates.
      expect(told.filter((event) => event === 'reported')).toHaveLength(1);
      expect(told.filter((event) => event !== 'reported')).toEqual([
        'booted',
        'online',
        'offline',
        'stopped',
      ]);
      expect(existsSync(join(own.folder, 'user', 'native', 'own', name, 'flash.bin'))).toBe(true);
    }
    // The next call uses the same devices.
    const again = await runCli(['device', 'simulate', '--native', '--for', '300ms', '--json']);
    expect(again.code).toBe(0);
    expect((await own.client.devices.list()).map(({ name }) => name)).toHaveLength(4);
  }, 30_000);

  it('replays a recording and simulates a motor, as the TypeScript device does', async () => {
    const csv = join(own.folder, 'walking1.csv');
    const rows = Array.from({ length: 250 }, (_, i) => `${i / 100},${-i},0.5`);
    await writeFile(csv, `x,y,z\n${rows.join('\n')}\n`);
    const replayed = await runCli([
      ...['device', 'simulate', dir, '--native', '--recording', csv, '--speed', 'max', '--json'],
    ]);
    expect(replayed.code).toBe(0);
    expect(eventsOf(replayed.stdout).find(({ event }) => event === 'sent')).toMatchObject({
      ...{ device: 'motor-1', recording: 'walking1', samples: 250, messages: 3 },
    });
    expect((await own.client.datasets.get('motion')).recordings).toMatchObject([{ samples: 250 }]);
    const watched = await runCli([
      ...['device', 'simulate', dir, '--native', '--motor', 'bearing', '--for', '1200ms', '--json'],
    ]);
    const [sent] = eventsOf(watched.stdout).flatMap((event) => (event.event === 'sent' ? [event] : []));
    expect(sent?.samples).toBeGreaterThan(200);
    // A message for each second; on a busy machine, the motor runs for longer than 1.2 s.
    expect(sent?.messages).toBe(Math.ceil((sent?.samples ?? 0) / 200));
    const { recordings } = await own.client.datasets.get('shaded-pole-motor-sensor_data');
    expect(recordings).toMatchObject([{ samples: sent?.samples, rateHz: 200 }]);
  }, 30_000);

  it('reports that its program failed, or that it requires a platform', async () => {
    const flash = join(dir, 'flash.bin');
    await writeFile(flash, 'not a flash');
    const broken = await runCli(['device', 'simulate', dir, '--native', '--for', '5s', '--json']);
    expect(broken).toMatchObject({ json: { error: { code: 'AIOT_PROGRAM_FAILED' } }, code: 1 });
    vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'nothing'));
    const alone = await runCli(['device', 'simulate', '--native', '--json']);
    expect(alone).toMatchObject({ json: { error: { code: 'AIOT_CONTEXT_NOT_FOUND' } }, code: 4 });
  }, 30_000);

  it('leaves no process behind when it is killed', async () => {
    const identity = join(own.folder, 'motor-2');
    await mkdir(identity);
    await provisionDevice({ client: own.client, name: 'motor-2', type: 'virtual', out: identity });
    const program = await nativeProgram();
    // Its input stays open, so that only its parent's exit can end it.
    const child = spawn(program, [identity, '--stay'], { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await expect
      .poll(async () => (await own.client.devices.get('motor-2')).online, { timeout: 10_000 })
      .toBe(true);
    child.kill('SIGKILL');
    await expect
      .poll(async () => (await own.client.devices.get('motor-2')).online, { timeout: 10_000 })
      .toBe(false);
  }, 30_000);
});
