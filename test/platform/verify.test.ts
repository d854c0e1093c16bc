import { randomBytes } from 'node:crypto';
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { saveBackup } from '../../src/lib/platform/backup/restore.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { type Verified, verifyPlatform } from '../../src/lib/platform/verify/verify.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { sendFew } from '../support/few-messages.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let folder: string;
/** The intact data folder of a stopped platform, with a backup of it. `data` is a copy for each test. */
let whole: string;
let data: string;
let file: string;
let digest: string;
const passphrase = 'four words of it';
const backup = () => ({ file, passphrase });

const blob = () => join(data, 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7));
const found = ({ findings }: Verified) => findings.map(({ part, place }) => `${part} ${place}`);

beforeAll(async () => {
  own = await testPlatform();
  folder = await mkdtemp(join(tmpdir(), 'aiot-verify-'));
  file = join(folder, 'platform.tar');
  await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(folder, 'dev') });
  await pushTiny(own.client, own.key);
  digest = (await own.client.models.get('tiny', 1)).digest;
  await sendFew(own.platform.urls.mqtts, join(folder, 'dev'));
  // The platform records its data as intact when it stops.
  await own.restart();
  await saveBackup({ client: own.client, file, passphrase });
  await own.client.users.add({ name: 'later', role: 'viewer' });
  whole = join(own.folder, 'data');
}, 60_000);
afterAll(async () => {
  await rm(own.folder, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
});

describe('verify while the platform runs', () => {
  it('reports an intact folder and an altered blob, and does not repair anything', async () => {
    expect(await verifyPlatform({ data: whole, repair: false })).toMatchObject({
      running: true,
      findings: [],
      unrepaired: 0,
    });
    data = whole;
    const content = await readFile(blob());
    await writeFile(blob(), 'altered');
    expect(found(await verifyPlatform({ data, repair: false }))).toEqual([`blob ${digest}`]);
    await expect(verifyPlatform({ data, repair: true })).rejects.toMatchObject({
      code: 'AIOT_PLATFORM_RUNNING',
    });
    await writeFile(blob(), content);
    await own.client.close();
    await own.platform.stop();
    // The checks above read the database, too; a folder that was stopped has no open log that could vanish while it is copied.
    expect((await readdir(whole)).filter((name) => name.startsWith('state.db'))).toEqual(['state.db']);
  });
});

describe('verify on a stopped platform', () => {
  beforeEach(async () => {
    data = join(folder, `data-${randomBytes(4).toString('hex')}`);
    await cp(whole, data, { recursive: true });
  });

  it('finds nothing in an intact folder, and lists the parts it checked', async () => {
    const verified = await verifyPlatform({ data, repair: true, backup: backup() });
    expect(verified).toMatchObject({ running: false, findings: [], unrepaired: 0 });
    expect(verified.checked.map(({ part }) => part)).toEqual(
      expect.arrayContaining(['database', 'blob', 'reference', 'key']),
    );
    expect(await readdir(data)).not.toContainEqual(expect.stringMatching(/repair/));
  });

  it.each<[string, () => Promise<unknown>]>([
    ['altered', () => writeFile(blob(), randomBytes(100))],
    ['removed', () => rm(blob())],
  ])('restores from the backup only a blob that was %s', async (what, damage) => {
    await damage();
    const part = what === 'removed' ? 'reference' : 'blob';
    const seen = await verifyPlatform({ data, repair: false });
    expect([found(seen), seen.unrepaired]).toEqual([[`${part} ${digest}`], 1]);
    expect(await verifyPlatform({ data, repair: true })).toMatchObject({ unrepaired: 1 });
    const repaired = await verifyPlatform({ data, repair: true, backup: backup() });
    expect(repaired).toMatchObject({ unrepaired: 0, findings: [{ place: digest }] });
    expect(repaired.findings[0]?.repaired).toMatch(/^taken from the backup of 20/);
    expect(digestOf(await readFile(blob()))).toBe(digest);
    // The user was added after the backup was made.
    expect(await starts()).toEqual({ users: ['later'], devices: ['dev'] });
    expect(await verifyPlatform({ data, repair: false })).toMatchObject({ findings: [] });
  });

  it('moves an unreferenced blob aside once the sweep should have removed it', async () => {
    const content = randomBytes(50);
    const hex = digestOf(content).slice(7);
    const path = join(data, 'blobs', 'sha256', hex.slice(0, 2), hex);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    await utimes(path, 1, 1);
    const repaired = await verifyPlatform({ data, repair: true });
    expect(found(repaired)).toEqual([`reference sha256:${hex}`]);
    expect(repaired.unrepaired).toBe(0);
    expect(await readdir(join(data, 'damaged'))).toEqual([hex]);
  });

  it('makes keys private to their owner, and restores a broken one from the backup', async () => {
    await chmod(join(data, 'pki', 'ca.key'), 0o644);
    await chmod(join(data, 'telemetry.db'), 0o644);
    await writeFile(join(data, 'pki', 'server.key'), 'no key');
    const before = await readFile(join(data, 'pki', 'ca.key'));
    const seen = await verifyPlatform({ data, repair: false });
    expect(found(seen).sort()).toEqual(['key pki/ca.key', 'key pki/server.key', 'key telemetry.db']);
    expect(await verifyPlatform({ data, repair: true, backup: backup() })).toMatchObject({ unrepaired: 0 });
    expect((await stat(join(data, 'pki', 'ca.key'))).mode & 0o777).toBe(0o600);
    expect((await readFile(join(data, 'pki', 'ca.key'))).equals(before)).toBe(true);
    expect(await verifyPlatform({ data, repair: false })).toMatchObject({ findings: [] });
  });

  const tablePage = async (name: string) => {
    const { default: Database } = await import('libsql');
    const database = new Database(join(data, 'state.db'));
    const { rootpage } = database.prepare('SELECT rootpage FROM sqlite_master WHERE name = ?').get(name) as {
      rootpage: number;
    };
    const { page_size: bytes } = database.prepare('PRAGMA page_size').get() as { page_size: number };
    database.close();
    return { at: (rootpage - 1) * bytes, bytes };
  };
  const overwrite = async ({ at, bytes }: { at: number; bytes: number }) => {
    const state = await open(join(data, 'state.db'), 'r+');
    await state.write(randomBytes(bytes), 0, bytes, at);
    await state.close();
  };
  const starts = async () => {
    const platform = await startPlatform({ dataDir: data, httpPort: 0, mqttPort: 0 });
    const client = createClient({ url: platform.urls.http, ca: own.ca, token: own.token });
    const users = (await client.users.list()).map(({ name }) => name);
    const devices = (await client.devices.list()).map(({ name }) => name);
    await client.close();
    await platform.stop();
    return { users, devices };
  };

  it('rebuilds a database with a damaged index from its own rows, without a backup', async () => {
    await overwrite(await tablePage('sqlite_autoindex_devices_1'));
    expect((await verifyPlatform({ data, repair: false })).unrepaired).toBeGreaterThan(0);
    const repaired = await verifyPlatform({ data, repair: true });
    expect(repaired.unrepaired).toBe(0);
    expect(repaired.findings[0]?.repaired).toContain('rebuilt from its own rows');
    expect(await starts()).toEqual({ users: ['later'], devices: ['dev'] });
  });

  it('restores the rows of a damaged table from the backup, and keeps newer rows of the others', async () => {
    await overwrite(await tablePage('devices'));
    await expect(starts()).rejects.toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
    const without = await verifyPlatform({ data, repair: true });
    expect(without.unrepaired).toBe(without.findings.length);
    const repaired = await verifyPlatform({ data, repair: true, backup: backup() });
    expect(repaired.unrepaired).toBe(0);
    expect(repaired.findings[0]?.repaired).toContain('devices 1 row');
    expect(await starts()).toEqual({ users: ['later'], devices: ['dev'] });
    expect(await readdir(data)).toContainEqual(expect.stringMatching(/^state\.db\.damaged-\d+/));
  });

  it('replaces a database that cannot be opened with the one from the backup', async () => {
    await overwrite({ at: 0, bytes: 4096 });
    const repaired = await verifyPlatform({ data, repair: true, backup: backup() });
    expect(repaired).toMatchObject({ unrepaired: 0 });
    expect(repaired.findings[0]?.repaired).toContain('replaced by that of the backup');
    expect(await starts()).toEqual({ users: [], devices: ['dev'] });
  });

  it('restores damaged telemetry rows from the backup', async () => {
    const path = join(data, 'telemetry.db');
    const content = await readFile(path);
    const at = content.indexOf('"seq":3');
    await writeFile(
      path,
      Buffer.concat([content.subarray(0, at), Buffer.from('"seq":4'), content.subarray(at + 7)]),
    );
    const seen = await verifyPlatform({ data, repair: false });
    expect(found(seen)).toEqual(['journal telemetry.db']);
    expect(seen.findings[0]?.lost?.rows).toBeGreaterThan(0);
    expect((await verifyPlatform({ data, repair: true })).unrepaired).toBe(1);
    const repaired = await verifyPlatform({ data, repair: true, backup: backup() });
    expect(repaired).toMatchObject({ unrepaired: 0, findings: [{ part: 'journal', place: 'telemetry.db' }] });
    expect(repaired.findings[0]?.repaired).toMatch(/^taken from the backup of 20/);
    expect(await verifyPlatform({ data, repair: false })).toMatchObject({ findings: [] });
  });

  it('changes nothing with a wrong passphrase', async () => {
    await writeFile(blob(), 'altered');
    const wrong = { file, passphrase: 'another passphrase' };
    await expect(verifyPlatform({ data, repair: true, backup: wrong })).rejects.toMatchObject({
      code: 'AIOT_BACKUP_PASSPHRASE',
    });
    expect(await readFile(blob(), 'utf8')).toBe('altered');
    expect(await readdir(data)).not.toContainEqual(expect.stringMatching(/repair/));
  });
});

describe('aiot platform verify', () => {
  it('exits with 0 for an intact folder, and with 6 for a damaged one, naming the next step', async () => {
    data = join(folder, 'command');
    await cp(whole, data, { recursive: true });
    const good = await runCli(['platform', 'verify', '--data', data]);
    expect([good.code, good.stdout]).toEqual([0, expect.stringContaining('is intact')]);
    await writeFile(blob(), 'altered');
    const bad = await runCli(['platform', 'verify', '--data', data]);
    expect(bad.code).toBe(6);
    expect(bad.stdout).toContain(digest.slice(0, 40));
    expect(bad.stdout).toContain('--repair --from BACKUP');
    const passphraseFile = join(folder, 'passphrase.txt');
    await writeFile(passphraseFile, passphrase);
    const args = ['--repair', '--from', file, '--passphrase-file', passphraseFile, '--json'];
    const repaired = await runCli(['platform', 'verify', '--data', data, ...args]);
    expect([repaired.code, JSON.parse(repaired.stdout)]).toEqual([
      0,
      expect.objectContaining({ unrepaired: 0 }),
    ]);
  });

  it('rejects a folder without a platform, and --from without --repair', async () => {
    const none = await runCli(['platform', 'verify', '--data', join(folder, 'none')]);
    expect([none.code, none.stderr]).toEqual([4, expect.stringContaining('AIOT_FILE_NOT_FOUND')]);
    const half = await runCli(['platform', 'verify', '--data', whole, '--from', file]);
    expect(half.code).toBe(2);
  });
});
