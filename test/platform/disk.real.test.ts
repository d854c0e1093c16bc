import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root } from '../support/cli.js';
import { connectDevice } from '../support/mqtt.js';
import { privateMounts } from '../support/private-mounts.js';
import { describeReal } from '../support/real.js';

/** A shell with a private file system in memory. */
interface SmallDisk {
  folder: string;
  /** Runs a line of shell code, where `$DISK` is the file system, and returns the output. */
  sh(line: string): Promise<string>;
  /**
   * Starts the platform on it in the background, and returns its first line of output. The process ID is in `$PID`.
   */
  up(): Promise<{
    urls?: { http: string; mqtts: string };
    token?: string;
    error?: { code: string; message: string };
  }>;
  stop(): Promise<void>;
}

async function smallDisk(megabytes: number): Promise<SmallDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-disk-'));
  const disk = join(folder, 'disk');
  const shell: ChildProcess = spawn('unshare', [...privateMounts(), 'sh'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, DISK: disk, HOME: folder, AIOT_CONFIG_DIR: join(folder, 'config') },
  });
  const lines = createInterface({ input: shell.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the shell has ended');
    return value as string;
  };
  const sh = async (line: string) => {
    shell.stdin?.write(`${line}\necho; echo --ended--\n`);
    const printed: string[] = [];
    for (let text = await next(); text !== '--ended--'; text = await next()) printed.push(text);
    return printed.join('\n').trim();
  };
  await sh(`mkdir -p "$DISK" && mount -t tmpfs -o size=${megabytes}m tmpfs "$DISK"`);
  return {
    folder,
    sh,
    async up() {
      const program = `"${process.execPath}" "${join(root, 'bin', 'dev.js')}"`;
      const args = 'up --data "$DISK/data" --http-port 0 --mqtt-port 0 --json';
      shell.stdin?.write(`${program} ${args} 2>"$DISK/../log" & PID=$!\n`);
      return JSON.parse(await next());
    },
    async stop() {
      await sh('test -z "$PID" || { kill $PID; wait $PID; }').catch(() => {});
      shell.stdin?.end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

describeReal('mounts', 'a platform on a full or read-only disk', () => {
  let disk: SmallDisk;
  let client: RegistryClient;
  let mqtts: string;
  let known: string;
  beforeAll(async () => {
    disk = await smallDisk(48);
    const { urls, token = '' } = await disk.up();
    mqtts = urls?.mqtts ?? '';
    known = token;
    const ca = await disk.sh('cat "$DISK/data/pki/ca.crt"');
    client = createClient({ url: urls?.http ?? '', ca: `${ca}\n`, token });
    await provisionDevice({ client, name: 'dev', type: 'virtual', out: join(disk.folder, 'dev') });
  }, 60_000);
  afterAll(async () => {
    await client.close();
    await disk.stop();
  }, 30_000);

  const message = (seq: number) => JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });

  it('allows reads and rejects writes when full, and accepts writes again when there is space', async () => {
    const device = await connectDevice(mqtts, join(disk.folder, 'dev'));
    await device.publishAsync('aiot/v1/dev/telemetry/s', message(1), { qos: 1 });
    const kept = Buffer.from('kept');
    await client.blobs.put(digestOf(kept), kept);
    await disk.sh('cat /dev/zero >"$DISK/fill" 2>/dev/null');
    const bytes = Buffer.alloc(100_000, 1);
    await expect(client.blobs.put(digestOf(bytes), bytes)).rejects.toMatchObject({ code: 'AIOT_DISK_FULL' });
    // The files of the database still have some free space, which many writes use up.
    let refusal: unknown;
    for (let i = 0; i < 2000 && refusal === undefined; i++) {
      const act = client.devices.act('dev', i % 2 === 0 ? 'suspend' : 'resume');
      refusal = await act.then(
        () => undefined,
        (error) => error,
      );
    }
    expect(refusal).toMatchObject({ code: 'AIOT_DISK_FULL' });
    const before = await client.devices.get('dev');
    expect((await client.devices.list()).map(({ name }) => name)).toEqual(['dev']);
    expect(await (await client.blobs.get(digestOf(kept))).bytes()).toEqual(kept);
    expect(await client.datasets.csv('s', 'dev', 'r')).toBe('x\n1\n');
    await disk.sh('rm "$DISK/fill"');
    await client.blobs.put(digestOf(bytes), bytes);
    await client.devices.act('dev', before.state === 'suspended' ? 'resume' : 'suspend');
    expect((await client.devices.get('dev')).state).not.toBe(before.state);
    await device.endAsync(true);
  }, 60_000);

  it('stops cleanly when full, exits at startup with an error code, and loses no data', async () => {
    if ((await client.devices.get('dev')).state === 'suspended') await client.devices.act('dev', 'resume');
    const device = await connectDevice(mqtts, join(disk.folder, 'dev'));
    await device.publishAsync('aiot/v1/dev/telemetry/s', message(2), { qos: 1 });
    await device.endAsync(true);
    await disk.sh('cat /dev/zero >"$DISK/fill" 2>/dev/null');
    expect(await disk.sh('kill $PID; wait $PID; echo $?')).toMatch(/(^|\n)0$/);
    const { error } = await disk.up();
    expect(error).toMatchObject({ code: 'AIOT_DISK_FULL' });
    expect(await disk.sh('wait $PID; echo $?')).toBe('1');
    await disk.sh('rm "$DISK/fill"');
    const { urls } = await disk.up();
    const again = createClient({
      url: urls?.http ?? '',
      ca: await disk.sh('cat "$DISK/data/pki/ca.crt"'),
      token: known,
    });
    expect(await again.datasets.csv('s', 'dev', 'r')).toBe('x\n1\n2\n');
    await again.close();
  }, 60_000);

  it('does not start when read-only, and reports the folder', async () => {
    await disk.sh('kill $PID; wait $PID; PID=; mount -o remount,ro "$DISK"');
    const { error } = await disk.up();
    expect(error).toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
      message: expect.stringContaining(join(disk.folder, 'disk', 'data')),
    });
    expect(await readFile(join(disk.folder, 'log'), 'utf8')).not.toContain('    at ');
  }, 60_000);
});
