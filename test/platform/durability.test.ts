import { spawn } from 'node:child_process';
import { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { clientFor } from '../../src/lib/api/context.js';
import type { Sync } from '../../src/lib/core/append-log.js';
import { readContexts } from '../../src/lib/core/contexts.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { readBytes } from '../../src/lib/core/files.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root, runCli } from '../support/cli.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform | undefined;
afterEach(async () => {
  await own?.stop();
  own = undefined;
});

async function deviceOn({ client, folder, platform }: TestPlatform) {
  const out = join(folder, 'dev');
  await provisionDevice({ client, name: 'dev', type: 'virtual', out });
  return connectDevice(platform.urls.mqtts, out);
}

const message = (seq: number) => JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });

describe('an acknowledgment', () => {
  it('waits for the disk sync', async () => {
    // Several files may be synced at the same time.
    const releases: (() => void)[] = [];
    let blocked = false;
    const sync: Sync = async (file) => {
      if (blocked) await new Promise<void>((resolve) => releases.push(resolve));
      await file.datasync();
    };
    own = await testPlatform({ sync });
    const device = await deviceOn(own);
    blocked = true;
    let acknowledged = false;
    const published = device
      .publishAsync('aiot/v1/dev/telemetry/s', message(1), { qos: 1 })
      .then(() => (acknowledged = true));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(acknowledged).toBe(false);
    expect(await own.client.datasets.list()).toEqual([]);
    blocked = false;
    for (const release of releases) release();
    await published;
    expect(await own.client.datasets.list()).toMatchObject([{ samples: 1 }]);
    await device.endAsync(true);
  });

  it('is withheld if the sync fails; the message is discarded, and later ones are stored', async () => {
    let failing = false;
    const sync: Sync = async (file) => {
      if (failing) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      await file.datasync();
    };
    own = await testPlatform({ sync });
    const device = await deviceOn(own);
    await device.publishAsync('aiot/v1/dev/telemetry/s', message(1), { qos: 1 });
    failing = true;
    const outcome = await Promise.race([
      device.publishAsync('aiot/v1/dev/telemetry/s', message(2), { qos: 1 }).then(() => 'acknowledged'),
      new Promise((resolve) => device.once('close', () => resolve('closed'))),
    ]);
    expect(outcome).toBe('closed');
    for (const end of ['', '-wal'])
      expect(await readFile(join(own.folder, 'data', `telemetry.db${end}`), 'latin1')).not.toContain(
        '"seq":2',
      );
    failing = false;
    const again = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'dev'));
    await again.publishAsync('aiot/v1/dev/telemetry/s', message(3), { qos: 1 });
    await own.restart();
    expect(await own.client.datasets.csv('s', 'dev', 'r')).toBe('x\n1\n3\n');
    await Promise.all([device.endAsync(true), again.endAsync(true)]);
  });

  it.each([
    ['the disk is full', 'ENOSPC', 'AIOT_DISK_FULL'],
    ['the disk fails', 'EIO', 'AIOT_FILE_NOT_WRITABLE'],
  ])(
    'of a blob is withheld if %s; the error contains the cause, and nothing is kept',
    async (_what, failure, code) => {
      let failing = false;
      const sync: Sync = async (file) => {
        if (failing) throw Object.assign(new Error(failure), { code: failure });
        await file.datasync();
      };
      own = await testPlatform({ sync });
      failing = true;
      const bytes = Buffer.from('a blob');
      await expect(own.client.blobs.put(digestOf(bytes), bytes)).rejects.toMatchObject({ code });
      expect(await readdir(join(own.folder, 'data', 'blobs', 'incoming'))).toEqual([]);
      await expect(own.client.blobs.get(digestOf(bytes))).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    },
  );
});

describe('telemetry', () => {
  it('keeps everything before a torn last commit, wherever the power failed', async () => {
    own = await testPlatform();
    const device = await deviceOn(own);
    for (const seq of [1, 2, 3]) {
      await device.publishAsync('aiot/v1/dev/telemetry/s', message(seq), { qos: 1 });
    }
    const data = join(own.folder, 'data');
    // The end of the third message's commit. Background tasks may commit later, and are cut off too.
    const whole = (await stat(join(data, 'telemetry.db-wal'))).size;
    await device.endAsync(true);
    // A copy of the files as they are on disk while the platform runs.
    const left = join(own.folder, 'left');
    await cp(data, left, { recursive: true });
    await own.platform.stop();
    for (const cut of [whole - 1, whole - 20]) {
      await rm(data, { recursive: true });
      await cp(left, data, { recursive: true });
      await truncate(join(data, 'telemetry.db-wal'), cut);
      await own.start();
      expect(await own.client.datasets.csv('s', 'dev', 'r')).toBe('x\n1\n2\n');
      await own.client.close();
      await own.platform.stop();
    }
    await own.start();
  });
});

describe('kill -9 of a detached platform', () => {
  it('loses no acknowledged message', async () => {
    const { mkdtemp, rm } = await import('node:fs/promises');
    const { tmpdir } = await import('node:os');
    const folder = await mkdtemp(join(tmpdir(), 'aiot-kill-'));
    process.env.AIOT_CONFIG_DIR = join(folder, 'config');
    const data = join(folder, 'platform');
    const out = join(folder, 'dev');
    const args = [
      'up',
      '--data',
      data,
      '--http-port',
      '0',
      '--mqtt-port',
      '0',
      '--context',
      'kill',
      '--detach',
      '--json',
    ];
    const first = (await runCli(args)).json as { pid: number; urls: { mqtts: string } };
    const client = await clientFor('kill');
    await provisionDevice({ client, name: 'dev', type: 'virtual', out });
    await client.close();
    // The publisher is a separate process, so that the platform is killed while messages are in flight.
    const publisher = spawn(
      process.execPath,
      [join(root, 'test/support/publisher.mjs'), first.urls.mqtts, out],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const acknowledged: number[] = [];
    for await (const line of createInterface({ input: publisher.stdout })) {
      acknowledged.push(Number(line));
      if (acknowledged.length === 500) process.kill(first.pid, 'SIGKILL');
    }
    expect(acknowledged.length).toBeGreaterThanOrEqual(500);

    const second = (await runCli(args)).json as { pid: number; token?: string };
    expect(second.token).toBeUndefined();
    const { contexts } = await readContexts();
    const { url = '', ca = '', token = '' } = contexts.kill ?? {};
    const again = createClient({ url, ca: (await readBytes(ca)).toString('utf8'), token });
    const csv = await again.datasets.csv('s', 'dev', 'r');
    await again.close();
    const stored = new Set(csv.split('\n').slice(1).map(Number));
    expect(acknowledged.filter((seq) => !stored.has(seq))).toEqual([]);
    const down = await runCli(['down', '--data', data, '--json']);
    expect(down).toMatchObject({ code: 0, json: { pid: second.pid } });
    await rm(folder, { recursive: true, force: true });
  });
});

describe('a data folder', () => {
  const data = (...parts: string[]) => join(own?.folder ?? '', 'data', ...parts);

  it.each<[string, () => Promise<unknown>, string]>([
    ['its database', () => rm(data('state.db')), 'AIOT_FILE_NOT_FOUND'],
    ['its certificate authority', () => rm(data('pki'), { recursive: true }), 'AIOT_FILE_NOT_FOUND'],
    ["its authority's key", () => rm(data('pki', 'ca.key')), 'AIOT_FILE_NOT_FOUND'],
    [
      'the pages of its database',
      () => replaceDatabase(data(), Buffer.alloc(20_000, 'x')),
      'AIOT_FILE_MALFORMED',
    ],
    ['the contents of its database', () => replaceDatabase(data(), Buffer.alloc(0)), 'AIOT_FILE_NOT_FOUND'],
  ])('that has lost %s is rejected, and left unchanged', async (_, lose, code) => {
    own = await testPlatform();
    await own.platform.stop();
    await lose();
    const before = await readdir(data(), { recursive: true });
    await expect(startPlatform({ dataDir: data(), httpPort: 0, mqttPort: 0 })).rejects.toMatchObject({
      code,
    });
    expect((await readdir(data(), { recursive: true })).filter(kept)).toEqual(before.filter(kept));
  });
});

/** Excludes the lock and SQLite's working files. */
const kept = (name: string) => !/^lock|-wal$|-shm$/.test(name);

async function replaceDatabase(folder: string, bytes: Buffer): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(join(folder, `state.db${suffix}`), { force: true });
  await writeFile(join(folder, 'state.db'), bytes);
}
