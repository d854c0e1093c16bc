import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { backupText } from '../../src/lib/cli/render/platform.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { newId } from '../../src/lib/core/names.js';
import { restoreBackup, saveBackup } from '../../src/lib/platform/backup/restore.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { withCutPlatform } from '../support/cut-platform.js';
import { fakeDevice } from '../support/fake-device.js';
import { sendFew } from '../support/few-messages.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';

let own: TestPlatform;
let folder: string;
let file: string;
const passphrase = 'four words of it';
const loose = randomBytes(100_000);

beforeAll(async () => {
  own = await testPlatform();
  folder = await mkdtemp(join(tmpdir(), 'aiot-backup-'));
  file = join(folder, 'platform.tar');
  await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(folder, 'dev') });
  await pushTiny(own.client, own.key);
  await own.client.blobs.put(digestOf(loose), loose);
  await sendFew(own.platform.urls.mqtts, join(folder, 'dev'));
  const runner = newId('runner');
  await own.client.pipelineRunners.put(runner, { name: 'lab', project: 'mill', aiot: '0.1.0', steps: [] });
  for (let i = 0; i < 2; i++) await own.client.pipelineRequests.create({ project: 'mill' });
  await own.client.pipelineRunners.claim(runner);
}, 60_000);
afterAll(async () => {
  await own.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('a backup of a running platform', () => {
  it('is a tar file that GNU tar can list, and exposes no secrets', async () => {
    const saved = await saveBackup({ client: own.client, file, passphrase });
    expect(saved).toMatchObject({ file, data: null, devices: 1, models: 1, blobs: { count: 2 } });
    const names = execFileSync('tar', ['-tf', file], { encoding: 'utf8' }).trim().split('\n');
    expect(names[0]).toBe('backup.json');
    expect(names.slice(-2)).toEqual(['manifest.json', 'manifest.mac']);
    expect(names).toEqual(
      expect.arrayContaining([
        'tables/models.ndjson',
        'tables/tokens.ndjson.sealed',
        'tables/devices.ndjson.sealed',
        'pki/ca.key.sealed',
        `blobs/sha256/${digestOf(loose).slice('sha256:'.length)}`,
      ]),
    );
    const whole = await readFile(file);
    const token = digestOf(own.token).slice('sha256:'.length);
    for (const secret of ['PRIVATE KEY', own.token, token]) expect(whole.includes(secret)).toBe(false);
    // Deleted right after the end of the response.
    await expect.poll(() => readdir(join(own.folder, 'data', '.backup'))).toEqual([]);
    const [entry] = await own.client.audit.list('platform');
    expect(entry).toMatchObject({ action: 'backup.create' });
  });

  it('restores to a platform that accepts the same devices and tokens, with all data', async () => {
    const data = join(folder, 'restored');
    expect(await restoreBackup({ file, passphrase, data })).toMatchObject({ data, devices: 1 });
    const platform = await startPlatform({ dataDir: data, httpPort: 0, mqttPort: 0 });
    const client = createClient({ url: platform.urls.http, ca: own.ca, token: own.token });
    expect(platform.token).toBeUndefined();
    const there = await own.client.models.get('tiny', 1);
    expect(await client.models.get('tiny', 1)).toEqual(there);
    expect((await (await client.blobs.get(there.digest)).bytes()).length).toBe(there.bytes);
    expect((await (await client.blobs.get(digestOf(loose))).bytes()).equals(loose)).toBe(true);
    expect(await client.trust.get()).toEqual(await own.client.trust.get());
    const device = await fakeDevice(platform.urls.mqtts, join(folder, 'dev'), 'dev');
    await device.client.endAsync();
    expect((await client.datasets.list()).map(({ name, samples }) => [name, samples])).toEqual([['imu', 5]]);
    // Both may have run since, so neither runs again.
    expect((await client.pipelineRequests.list()).map(({ state, error }) => [state, error?.code])).toEqual([
      ['cancelled', 'AIOT_PIPELINE_RUNNER'],
      ['lost', 'AIOT_JOB_LOST'],
    ]);
    // Version and sequence numbers continue.
    expect(await pushTiny(client, own.key)).toMatchObject({ version: 2, sequence: 2 });
    await client.close();
    await platform.stop();
  }, 60_000);

  it('is not restored into a non-empty folder, and does not overwrite a file', async () => {
    const data = join(folder, 'taken');
    await mkdir(data);
    await writeFile(join(data, 'note.txt'), 'mine');
    await expect(restoreBackup({ file, passphrase, data })).rejects.toMatchObject({
      code: 'AIOT_FOLDER_NOT_EMPTY',
    });
    expect(await readdir(data)).toEqual(['note.txt']);
    await expect(saveBackup({ client: own.client, file, passphrase })).rejects.toMatchObject({
      message: `${file} already exists`,
    });
  });

  it('fails and leaves no file if the platform becomes unreachable midway', async () => {
    await withCutPlatform(async (client) => {
      const folder = await mkdtemp(join(tmpdir(), 'aiot-backup-cut-'));
      const saving = saveBackup({ client, file: join(folder, 'cut.tar'), passphrase: 'a dozen words of it' });
      await expect(saving).rejects.toMatchObject({ code: 'AIOT_PLATFORM_UNREACHABLE', retryable: true });
      expect(await readdir(folder)).toEqual([]);
      await rm(folder, { recursive: true });
    });
  });

  it('is rejected over HTTP with a short passphrase, and the error names the field', async () => {
    const body = JSON.stringify({ passphrase: 'short' });
    const answer = await ask(own, '/api/v1/backups', { method: 'POST', body });
    expect(answer.status).toBe(400);
    const problem = JSON.parse(answer.text);
    expect(problem).toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
      detail: 'body: passphrase: expected at least 12 characters',
    });
    expect(problem.next).not.toContain('aiot backup');
  });

  it('cannot be opened with a wrong passphrase, or created with a short one', async () => {
    const data = join(folder, 'never');
    await expect(restoreBackup({ file, passphrase: 'four words of mine', data })).rejects.toMatchObject({
      code: 'AIOT_BACKUP_PASSPHRASE',
      exit: 5,
    });
    await expect(readdir(data)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(
      saveBackup({ client: own.client, file: join(folder, 'x.tar'), passphrase: 'short' }),
    ).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });

  it('is rejected if altered, truncated or malformed, and leaves no files behind', async () => {
    const whole = await readFile(file);
    const data = join(folder, 'never');
    const changed = (at: number) => {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] as number) ^ 1;
      return copy;
    };
    const inBlob = whole.indexOf(loose);
    const inTable = whole.indexOf('"tiny"');
    const cases: [string, Buffer][] = [
      ['a blob', changed(inBlob + 5000)],
      ['a table', changed(inTable + 1)],
      ['its end', whole.subarray(0, whole.length - 20_000)],
      ['half', whole.subarray(0, Math.floor(whole.length / 2))],
      ['nothing', Buffer.alloc(0)],
      ['no tar', randomBytes(5000)],
    ];
    for (const [what, bytes] of cases) {
      const path = join(folder, 'bad.tar');
      await writeFile(path, bytes);
      for (const target of [data, null]) {
        await expect(restoreBackup({ file: path, passphrase, data: target }), what).rejects.toMatchObject({
          code: 'AIOT_BACKUP_MALFORMED',
        });
      }
    }
    const evil = join(folder, 'evil');
    await mkdir(evil);
    await writeFile(join(evil, 'x'), 'x');
    execFileSync('tar', [
      '-cf',
      join(folder, 'bad.tar'),
      '-C',
      evil,
      '--transform',
      's,x,../../evil.txt,',
      '-P',
      'x',
    ]);
    await expect(restoreBackup({ file: join(folder, 'bad.tar'), passphrase, data })).rejects.toMatchObject({
      code: 'AIOT_BACKUP_MALFORMED',
    });
    expect((await readdir(folder)).filter((name) => name.startsWith('.aiot-restore'))).toEqual([]);
    await expect(readdir(data)).rejects.toMatchObject({ code: 'ENOENT' });
  }, 60_000);

  it('lists missing blobs on creation and on check, but not unreferenced ones', async () => {
    const { digest } = await own.client.models.get('tiny', 1);
    const hex = digest.slice('sha256:'.length);
    const blob = join(own.folder, 'data', 'blobs', 'sha256', hex.slice(0, 2), hex);
    await rename(blob, `${blob}.away`);
    const holed = join(folder, 'holed.tar');
    try {
      const saved = await saveBackup({ client: own.client, file: holed, passphrase });
      expect(saved.blobs).toMatchObject({ count: 1, missing: [digest] });
      expect(backupText(saved)).toContain(`1 blob of versions missing when it was made: ${digest}`);
      const looked = await restoreBackup({ file: holed, passphrase, data: null });
      expect(looked.blobs.missing).toEqual([digest]);
    } finally {
      await rename(`${blob}.away`, blob);
    }
    expect((await restoreBackup({ file, passphrase, data: null })).blobs.missing).toEqual([]);
  });

  it('with a missing blob restores, starts, reports the blob, and recovers once it is uploaded', async () => {
    const holed = join(folder, 'holed.tar');
    const { digest } = await own.client.models.get('tiny', 1);
    const bundle = await (await own.client.blobs.get(digest)).bytes();
    const data = join(folder, 'holed');
    const restored = await restoreBackup({ file: holed, passphrase, data });
    expect(restored.blobs).toMatchObject({ count: 1, missing: [digest] });
    const platform = await startPlatform({ dataDir: data, httpPort: 0, mqttPort: 0 });
    const client = createClient({ url: platform.urls.http, ca: own.ca, token: own.token });
    const at = { platform, ca: own.ca, token: own.token };
    const ready = async () => {
      const { status, text } = await ask(at, '/readyz');
      return { code: status, ...JSON.parse(text) };
    };
    await expect.poll(ready, { timeout: 10_000 }).toMatchObject({
      ...{ code: 200, status: 'degraded' },
      checks: { content: expect.stringContaining('1 blob missing') },
    });
    expect(await client.models.get('tiny', 1)).toMatchObject({ digest });
    await expect(client.blobs.get(digest)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    // The rest keeps working: devices connect, and their messages are stored.
    await sendFew(platform.urls.mqtts, join(folder, 'dev'), 6);
    expect((await client.datasets.list()).map(({ samples }) => samples)).toEqual([10]);
    await client.blobs.put(digest, bundle);
    expect((await (await client.blobs.get(digest)).bytes()).equals(bundle)).toBe(true);
    await client.close();
    await platform.stop();
    const again = await startPlatform({ dataDir: data, httpPort: 0, mqttPort: 0 });
    const whole = await ask({ ...at, platform: again }, '/readyz');
    expect(JSON.parse(whole.text)).toMatchObject({ status: 'ready', checks: { content: null } });
    await again.stop();
  }, 60_000);
});
