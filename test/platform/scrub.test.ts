import { randomBytes } from 'node:crypto';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { statusText } from '../../src/lib/cli/render/platform.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { restoreBackup, saveBackup } from '../../src/lib/platform/backup/restore.js';
import { Lifecycle } from '../../src/lib/platform/lifecycle.js';
import { openState } from '../../src/lib/platform/state.js';
import { Scrub } from '../../src/lib/platform/verify/scrub.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { sendFew } from '../support/few-messages.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';
import { pieces } from './blob-stores.js';

const passphrase = 'four words of it';
const fileOf = (data: string, digest: string) =>
  join(data, 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7));

describe('a scrub', () => {
  let folder: string;
  const parts = new Lifecycle();
  let state: Awaited<ReturnType<typeof openState>>;
  const log = pino({ enabled: false });
  const open = async () => {
    state = await openState({ dataDir: folder, now: Date.now, log }, parts);
  };
  const close = async () => {
    await parts.end();
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-scrub-'));
    await open();
  });
  afterEach(async () => {
    await close();
    await rm(folder, { recursive: true, force: true });
  });

  it('finds content altered since it was last read, and remembers it across a restart', async () => {
    const contents = [randomBytes(1000), randomBytes(5_000_000)] as const;
    for (const content of contents) {
      await state.blobs.put(digestOf(content), pieces(content));
      await state.blobs.ready(digestOf(content));
    }
    const signal = new AbortController().signal;
    expect(state.scrub.last).toBeNull();
    expect(await state.scrub.run(signal)).toMatchObject({
      blobs: 2,
      bytes: 5_001_000,
      damaged: [],
      database: [],
    });
    const bad = digestOf(contents[1]);
    const content = Buffer.from(contents[1]);
    content[4_999_999] = (content[4_999_999] as number) ^ 1;
    await writeFile(fileOf(folder, bad), content);
    expect(await state.scrub.run(signal)).toMatchObject({ blobs: 2, damaged: [bad] });
    expect(state.health.damaged).toEqual([bad]);
    await close();
    await open();
    expect([state.scrub.last?.damaged, state.health.damaged]).toEqual([[bad], [bad]]);
    // This is how a repair of the stopped platform leaves the content.
    await writeFile(fileOf(folder, bad), contents[1]);
    await state.scrub.lookAgain();
    expect(state.health.damaged).toEqual([]);
    await expect.poll(() => state.damages.open()).toEqual([]);
  });

  it('does not exceed its read rate, and stops immediately on request', async () => {
    const content = randomBytes(3_000_000);
    await state.blobs.put(digestOf(content), pieces(content));
    const { blobs, damages, health, store } = state;
    const parts = { store, blobs, damages, health, dataDir: folder, database: null, log, now: Date.now };
    const began = performance.now();
    const fast = await Scrub.open({ ...parts, rate: 10_000_000 });
    await fast.run(new AbortController().signal);
    expect(performance.now() - began).toBeGreaterThan(290);
    const ending = new AbortController();
    const slow = await Scrub.open({ ...parts, rate: 10 });
    const running = slow.run(ending.signal);
    setTimeout(() => ending.abort(), 30);
    expect(await running).toBeNull();
  });
});

describe('a platform with a damaged blob', () => {
  let own: TestPlatform;
  let digest: string;
  let content: Buffer;
  let folder: string;
  beforeAll(async () => {
    own = await testPlatform();
    folder = await mkdtemp(join(tmpdir(), 'aiot-damaged-'));
    await pushTiny(own.client, own.key);
    digest = (await own.client.models.get('tiny', 1)).digest;
    const path = fileOf(join(own.folder, 'data'), digest);
    content = await readFile(path);
    await writeFile(path, randomBytes(content.length));
  });
  afterAll(async () => {
    await own.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('reports it once it is read: status lists the blob and its model, and readiness is degraded', async () => {
    await expect(own.client.blobs.get(digest)).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    await expect.poll(async () => (await own.client.status()).damage).toHaveLength(1);
    const status = await own.client.status();
    expect(status.warnings).toContainEqual({
      about: 'damage',
      message: expect.stringContaining(`${digest} is damaged, a blob of model tiny@1`),
    });
    expect(status.scrub).toBeNull();
    expect(statusText(status)).toContain('none yet');
    const ready = JSON.parse((await ask(own, '/readyz')).text);
    expect(ready).toMatchObject({
      status: 'degraded',
      checks: { content: '1 blob damaged (see aiot status)' },
    });
  });

  it('refuses a backup without the blob unless allowed, and then lists the blob in the backup', async () => {
    const file = join(folder, 'platform.tar');
    await expect(saveBackup({ client: own.client, file, passphrase })).rejects.toMatchObject({
      code: 'AIOT_BACKUP_DAMAGED',
      message: expect.stringContaining(digest),
    });
    await expect(access(file)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(access(`${file}.part`)).rejects.toMatchObject({ code: 'ENOENT' });
    const saved = await saveBackup({ client: own.client, file, passphrase, allowDamaged: true });
    expect(saved).toMatchObject({ blobs: { count: 0 }, damaged: [digest] });
    expect((await restoreBackup({ file, passphrase, data: null })).damaged).toEqual([digest]);
  });

  it('recovers when the blob is pushed again', async () => {
    await own.client.blobs.put(digest, content);
    await expect.poll(async () => (await own.client.status()).damage).toEqual([]);
    expect(JSON.parse((await ask(own, '/readyz')).text)).toMatchObject({ checks: { content: null } });
    const file = join(folder, 'whole.tar');
    const saved = await saveBackup({ client: own.client, file, passphrase });
    expect(saved).toMatchObject({ blobs: { count: 1 }, damaged: [] });
  });
});

describe('a platform with damaged telemetry', () => {
  it('refuses a backup until an operator has acknowledged the loss', async () => {
    const own = await testPlatform();
    const folder = await mkdtemp(join(tmpdir(), 'aiot-damaged-'));
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(folder, 'dev') });
    await sendFew(own.platform.urls.mqtts, join(folder, 'dev'));
    await own.restart();
    const database = join(own.folder, 'data', 'telemetry.db');
    // After a stop, all data is in the file, and is read from it.
    await own.platform.stop();
    const content = await readFile(database);
    for (let at = content.indexOf('"rateHz"'); at >= 0; at = content.indexOf('"rateHz"', at + 1))
      content[at + 2] = (content[at + 2] as number) ^ 1;
    await writeFile(database, content);
    await own.start();
    const file = join(folder, 'platform.tar');
    await expect(saveBackup({ client: own.client, file, passphrase })).rejects.toMatchObject({
      code: 'AIOT_BACKUP_DAMAGED',
      message: expect.stringContaining('telemetry.db: contains damaged rows'),
    });
    await own.client.damage.acknowledge();
    expect((await saveBackup({ client: own.client, file, passphrase })).damaged).toEqual([]);
    await own.stop();
    await rm(folder, { recursive: true, force: true });
  });
});
