import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import {
  auditExportedSchema,
  auditLogSchema,
  auditVerifiedSchema,
  hashOfEntry,
  noHash,
  type SealedEntry,
} from '../../src/lib/api/events/audit.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { Denials } from '../../src/lib/platform/events/audit.js';
import type { Events } from '../../src/lib/platform/events/events.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal } from '../support/up.js';

let own: TestPlatform;
async function choose() {
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
  });
}
beforeAll(async () => {
  own = await testPlatform();
  await choose();
});
afterAll(() => own.stop());

const log = async (query: { type?: string; who?: string; subject?: string } = {}) =>
  (await own.client.audit.log({ limit: 1000, ...query })).entries;

/** Waits until the audit log contains entries that satisfy the test. */
async function sealed(
  query: { type?: string },
  test: (entries: SealedEntry[]) => boolean,
): Promise<SealedEntry[]> {
  return vi.waitFor(
    async () => {
      const entries = await log(query);
      expect(test(entries)).toBe(true);
      return entries;
    },
    { timeout: 10_000, interval: 100 },
  );
}

/** Changes the platform's database directly, while the platform is stopped. */
async function tamper(sql: string): Promise<void> {
  await own.client.close();
  await own.platform.stop();
  const { default: Database } = await import('libsql');
  const database = new Database(join(own.folder, 'data', 'state.db'));
  database.exec(sql);
  database.close();
  await own.start();
  await choose();
}

describe('the audit log', () => {
  it('contains every change with its author, but no connections of devices', async () => {
    await provisionDevice({
      client: own.client,
      name: 'motor-1',
      type: 'esp32',
      out: join(own.folder, 'motor-1'),
    });
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'motor-1'));
    await device.endAsync();
    await own.client.users.add({ name: 'ada', role: 'viewer' });
    await sealed({ type: 'user.add' }, ({ length }) => length === 1);
    const entries = await log();
    const types = entries.map(({ type }) => type);
    expect(types).toEqual(
      expect.arrayContaining(['token.create', 'trust.set', 'device.provision', 'user.add']),
    );
    expect(types).not.toContain('device.connect');
    expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => i + 1));
    expect(entries[0]).toMatchObject({ seq: 1, previous: noHash });
    for (const [i, entry] of entries.entries()) {
      expect(entry.hash).toBe(hashOfEntry(entry));
      if (i > 0) expect(entry.previous).toBe(entries[i - 1]?.hash);
    }
    expect(entries.find(({ type }) => type === 'user.add')).toMatchObject({ subject: 'ada' });
  });

  it('contains denied attempts over HTTP and MQTT, without secrets', async () => {
    const { token } = await own.client.tokens.create({ name: 'reader', role: 'viewer' });
    const viewer = createClient({ url: own.platform.urls.http, ca: own.ca, token });
    const stranger = createClient({ url: own.platform.urls.http, ca: own.ca, token: 'wrong' });
    for (let i = 0; i < 3; i++)
      await expect(viewer.users.add({ name: 'eve', role: 'operator' })).rejects.toThrow();
    await expect(stranger.devices.list()).rejects.toThrow();
    await expect(
      connect(own.platform.urls.mqtts, {
        ...{ username: 'motor-1', password: 'guess', ca: own.ca, protocolVersion: 5, reconnectPeriod: 0 },
      }),
    ).rejects.toThrow();
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'motor-1'));
    // The broker closes the connection of an MQTT 3.1.1 client that publishes where it may not.
    const closed = new Promise<void>((resolve) => device.once('close', () => resolve()));
    device.publish('aiot/v1/motor-2/telemetry/motors', '{}', { qos: 0 });
    await closed;
    device.end(true);
    await viewer.close();
    await stranger.close();
    const denied = await sealed({ type: 'access.deny' }, (entries) => entries.length >= 4);
    const shown = denied.map(({ who, subject, data }) => `${who.split(' ')[0]} ${subject}: ${data.reason}`);
    expect(shown).toEqual(
      expect.arrayContaining([
        'operator POST /api/v1/users: not allowed',
        'nobody GET /api/v1/devices: invalid credentials',
        'nobody mqtt connect: rejected a token or secret from motor-1',
        'device mqtt publish: the topic aiot/v1/motor-2/telemetry/motors',
      ]),
    );
    expect(JSON.stringify(denied)).not.toContain('guess');
  });

  it('keeps entries whose events were deleted', async () => {
    const before = (await log()).length;
    const { default: Database } = await import('libsql');
    await own.platform.stop();
    const database = new Database(join(own.folder, 'data', 'state.db'));
    database.exec("DELETE FROM events WHERE id <= (SELECT position FROM cursors WHERE name = 'audit')");
    database.close();
    await own.start();
    await choose();
    expect((await log()).length).toBeGreaterThanOrEqual(before);
  });
});

describe('denied attempts', () => {
  it('are recorded at once, their repetitions once a minute, and a flood of different ones as one', async () => {
    let now = 0;
    const recorded: { who: string; subject: string; count: unknown }[] = [];
    let fails = false;
    const recordAll: Events['recordAll'] = async (events) => {
      if (fails) throw new Error('read-only');
      recorded.push(...events.map(({ who, subject, data }) => ({ who, subject, count: data?.count })));
    };
    const events = { recordAll } as Events;
    const denials = new Denials({ events, log: { warn() {} } as unknown as Logger, now: () => now });
    const note = (what: string) =>
      denials.note({ who: 'nobody', what, reason: 'not allowed', address: '192.0.2.1' });
    const flushed = async () => {
      await denials.flush();
      return recorded.splice(0).map(({ subject, count }) => `${subject} ${count}`);
    };
    for (let i = 0; i < 3; i++) note('GET /a');
    expect(await flushed()).toEqual(['GET /a 3']);
    for (let i = 0; i < 5; i++) note('GET /a');
    note('GET /b');
    expect(await flushed()).toEqual(['GET /b 1']);
    now += 60_000;
    fails = true;
    expect(await flushed()).toEqual([]);
    fails = false;
    expect(await flushed()).toEqual(['GET /a 5']);
    for (let i = 0; i < 1000; i++) note(`GET /${i}`);
    const flood = await flushed();
    expect(flood).toHaveLength(200);
    expect(flood.at(-1)).toMatch(/^others 80\d$/);
    note('GET /a');
    await denials.close();
    expect(recorded.map(({ subject, count }) => `${subject} ${count}`)).toContain('GET /a 1');
  });
});

describe('aiot audit list', () => {
  it('shows the newest entries, of a type, an author or a subject', async () => {
    const shown = async (...more: string[]) =>
      ok(auditLogSchema.shape.entries, ['audit', 'list', '--json', ...more]);
    const all = await log();
    expect((await shown('--limit', '2')).map(({ seq }) => seq)).toEqual(all.slice(-2).map(({ seq }) => seq));
    expect((await shown('--type', 'user.*')).map(({ subject }) => subject)).toEqual(['ada']);
    expect(new Set((await shown('--user', 'nobody')).map(({ type }) => type))).toEqual(
      new Set(['access.deny']),
    );
    expect((await shown('--subject', 'motor-1')).length).toBeGreaterThan(0);
    const { stdout } = await runCli(['audit', 'list', '--type', 'access.deny']);
    expect(stdout).toMatch(/^entry +time \(UTC\) +user +change +subject +details\n/);
    expect(stdout).toMatch(/access\.deny +POST \/api\/v1\/users/);
    expect(stdout).toContain('Next:');
  });

  it('rejects unknown types, with the similar one, but not patterns of any length', async () => {
    expect(await refusal(['audit', 'list', '--type', 'acess.deny'])).toMatchObject({
      code: 'AIOT_USAGE',
      message:
        '--type: expected a type such as device.connect or device.*, got "acess.deny". Did you mean access.deny?',
    });
    expect((await refusal(['audit', 'list', '--type', 'alarm.targets.*'])).message).toContain(
      'Did you mean alarm.target.*?',
    );
    expect(await ok(auditLogSchema.shape.entries, ['audit', 'list', '--type', 'alarm.target.*'])).toEqual([]);
  });
});

describe('aiot audit verify and aiot audit export', () => {
  const verify = (...more: string[]) => ok(auditVerifiedSchema, ['audit', 'verify', ...more, '--json']);

  it('checks all entries, remembers the head, and finds it again', async () => {
    const first = await verify();
    expect(first).toMatchObject({ first: 1, since: null, source: own.platform.urls.http });
    expect(first.entries).toBe(first.head.seq);
    await own.client.users.add({ name: 'grace', role: 'viewer' });
    await sealed({ type: 'user.add' }, ({ length }) => length === 2);
    const { hash, seq } = first.head;
    expect((await verify('--head', `${seq}:${hash}`)).since).toMatchObject(first.head);
    expect(await refusal(['audit', 'verify', '--head', `${seq}:${noHash}`])).toMatchObject({
      code: 'AIOT_AUDIT_BROKEN',
      exit: 6,
    });
    expect(await refusal(['audit', 'verify', '--head', '12'])).toMatchObject({ code: 'AIOT_USAGE' });
    const { stdout } = await runCli(['audit', 'verify']);
    expect(stdout).toContain('The audit log is intact.');
  });

  it('writes a file, which can be checked alone, even from a later entry on', async () => {
    const out = join(own.folder, 'audit.ndjson');
    const exported = await ok(auditExportedSchema, ['audit', 'export', '--out', out, '--json']);
    expect(await verify(out)).toMatchObject({ entries: exported.entries, head: exported.head, first: 1 });
    const lines = (await readFile(out, 'utf8')).trimEnd().split('\n');
    expect(lines).toHaveLength(exported.entries);
    const late = join(own.folder, 'late.ndjson');
    await ok(auditExportedSchema, ['audit', 'export', '--after', '3', '--out', late, '--json']);
    expect(await verify(late)).toMatchObject({ first: 4, head: exported.head });

    const changed = join(own.folder, 'changed.ndjson');
    const failure = async (text: string) => {
      await writeFile(changed, text);
      return refusal(['audit', 'verify', changed]);
    };
    const entry = (i: number) => JSON.parse(lines[i] ?? '') as SealedEntry;
    const edited = { ...entry(1), who: 'nobody' };
    const broken = { code: 'AIOT_AUDIT_BROKEN', exit: 6 };
    const withLine = (i: number, line: SealedEntry) =>
      lines.map((old, j) => (i === j ? JSON.stringify(line) : old)).join('\n');
    expect(await failure(withLine(1, edited))).toMatchObject({
      ...broken,
      message: 'entry 2 was changed: its hash does not match its content',
    });
    expect(await failure(withLine(1, { ...edited, hash: hashOfEntry(edited) }))).toMatchObject({
      ...broken,
      message: 'entry 3 does not match entry 2 before it',
    });
    expect(await failure(lines.filter((_, i) => i !== 1).join('\n'))).toMatchObject({
      ...broken,
      message: 'entry 2 is missing',
    });
    expect(await failure(`${lines.join('\n')}\n{`)).toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
    expect(await failure('')).toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
    expect(await refusal(['audit', 'verify', join(own.folder, 'missing')])).toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
    });
  });

  it('reports an entry that was edited in the database', async () => {
    await tamper(`UPDATE auditLog SET who = 'user ada' WHERE seq = 2`);
    await verify().catch(() => {});
    expect(await refusal(['audit', 'verify', '--forget'])).toMatchObject({
      code: 'AIOT_AUDIT_BROKEN',
      message: 'entry 2 was changed: its hash does not match its content',
    });
    expect(await refusal(['audit', 'export', '--out', join(own.folder, 'broken')])).toMatchObject({
      code: 'AIOT_AUDIT_BROKEN',
    });
    expect(await readFile(join(own.folder, 'broken')).catch(() => null)).toBeNull();
  });

  it('reports a log that was cut off although all of its hashes are right, until instructed to forget it', async () => {
    const other = await testPlatform();
    await own.stop();
    own = other;
    await choose();
    for (const name of ['ada', 'grace']) await own.client.users.add({ name, role: 'viewer' });
    await sealed({ type: 'user.add' }, ({ length }) => length === 2);
    const first = await verify();
    // The platform has other ports after a restart, and continues the log.
    await own.restart();
    await choose();
    const { head, since } = await verify();
    expect(since).toMatchObject(first.head);
    await tamper(`DELETE FROM auditLog WHERE seq >= ${head.seq}`);
    const newer = (await log()).length;
    const error = await refusal(['audit', 'verify']);
    expect(error).toMatchObject({ code: 'AIOT_AUDIT_BROKEN' });
    expect(error.message).toMatch(
      newer < head.seq
        ? /the log ends with entry \d+, but entry \d+ existed earlier/
        : /entry \d+ was replaced: its earlier hash was/,
    );
    expect((await verify('--forget')).since).toBeNull();
    expect((await verify()).since).not.toBeNull();
  });
});
