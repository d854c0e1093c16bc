import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { savedRecordingSchema } from '../../src/lib/api/contract/devices.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { runAgent } from '../../src/lib/device/remote/agent.js';
import { remoteShell } from '../../src/lib/device/remote/operate.js';
import { RemoteRecordings } from '../../src/lib/platform/devices/remote-recording.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal } from '../support/up.js';

let own: TestPlatform;
const ending = new AbortController();

beforeAll(async () => {
  own = await testPlatform({ ...(await fixedPorts()), recordShells: true });
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
  });
  await provisionDevice({ client: own.client, name: 'pi-1', type: 'pi', out: join(own.folder, 'pi-1') });
  await new Promise<void>((resolve) => {
    runAgent({
      ...{ identityDir: join(own.folder, 'pi-1'), allow: ['shell'], signal: ending.signal },
      onEvent: ({ event }) => event === 'connected' && resolve(),
    }).catch(() => {});
  });
}, 30_000);
afterAll(async () => {
  ending.abort();
  await own.stop();
});

/** Runs commands in a shell without a terminal. */
async function run(commands: string, notes: string[] = []) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  stdout.resume();
  stderr.resume();
  stdin.end(commands);
  return await remoteShell({
    ...{ client: own.client, device: 'pi-1', forMs: 60_000, stdin, stdout, stderr, collect: false },
    ...{ signal: new AbortController().signal, onRecorded: () => notes.push('recorded') },
  });
}
const endOf = async (session: string) => {
  const { events } = await own.client.events.page({ types: ['device.remote-ended'], limit: 1000 });
  return events.find(({ data }) => (data as { session?: string }).session === session)?.data as
    | { reason: string; recording?: { bytes: number; sha256: string } }
    | undefined;
};

describe('a recorded shell', () => {
  it('is saved as an asciicast with commands and output; the audit log has its digest', async () => {
    const notes: string[] = [];
    const { session, recorded } = await run("echo 'größer'; echo oops >&2; exit 3\n", notes);
    expect([recorded, notes]).toEqual([true, ['recorded']]);
    await expect.poll(() => endOf(session)).toBeDefined();
    const file = join(own.folder, 'shell.cast');
    const saved = await ok(savedRecordingSchema, ['device', 'sessions', 'recording', session, '--out', file]);
    expect(saved).toMatchObject({ id: session, device: 'pi-1', target: 'commands', file });
    const cast = await readFile(file);
    const sha256 = createHash('sha256').update(cast).digest('hex');
    expect((await endOf(session))?.recording).toEqual({ bytes: cast.length, sha256 });
    expect([saved.bytes, saved.sha256]).toEqual([cast.length, sha256]);
    const [header, ...events] = cast
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(header).toMatchObject({ version: 2, width: 80, height: 24, env: { TERM: 'dumb' } });
    const textOf = (kind: string) =>
      (events as [number, string, string][])
        .filter(([, each]) => each === kind)
        .map(([, , text]) => text)
        .join('');
    expect(textOf('i')).toBe("echo 'größer'; echo oops >&2; exit 3\r\n");
    expect(textOf('o')).toContain('größer\r\n');
    expect(textOf('o')).toContain('oops\r\n');
    const times = (events as [number, string, string][]).map(([at]) => at);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  it('ends once its recording has the maximum size', async () => {
    const { events } = await own.client.events.page({ types: ['device.remote-ended'], limit: 1000 });
    await expect(run("head -c 40000000 /dev/zero | tr '\\0' 'x'; sleep 60\n")).rejects.toThrow(
      'its recording reached the maximum size',
    );
    const known = new Set(events.map(({ id }) => id));
    const endedNow = async () =>
      (await own.client.events.page({ types: ['device.remote-ended'], limit: 1000 })).events.filter(
        ({ id }) => !known.has(id),
      );
    await expect.poll(async () => (await endedNow()).length, { timeout: 10_000 }).toBe(1);
    const [{ data } = { data: {} }] = await endedNow();
    const { recording } = data as { recording?: { bytes: number } };
    expect(recording?.bytes).toBeGreaterThan(15_900_000);
    expect(recording?.bytes).toBeLessThanOrEqual(16 * 1024 * 1024);
  }, 60_000);

  it('is visible to operators of the device only', async () => {
    const { session } = await run('true\n');
    // The recording is complete before its end is recorded.
    await expect.poll(() => endOf(session)).toBeDefined();
    await own.client.users.add({ name: 'cleo', role: 'operator' });
    const codes = [];
    for (const more of [
      { role: 'viewer' },
      { role: 'operator', selector: 'pi-9' },
      { role: 'operator' },
    ] as const) {
      const made = await own.client.tokens.create({ name: `t${codes.length}`, owner: 'cleo', ...more });
      const token = (made as { token?: string }).token ?? '';
      const client = createClient({ url: own.platform.urls.http, ca: own.ca, token });
      codes.push(
        await client.remoteSessions.recording(session).then(
          ({ id }) => id,
          ({ code }: { code?: string }) => code,
        ),
      );
      await client.close();
    }
    expect(codes).toEqual(['AIOT_NOT_ALLOWED', 'AIOT_NOT_FOUND', session]);
    expect(await refusal(['device', 'sessions', 'recording', randomUUID()])).toMatchObject({
      ...{ code: 'AIOT_NOT_FOUND', exit: 4 },
    });
  });

  it('is in the audit log too if the platform was killed', async () => {
    const session = randomUUID();
    const record = {
      ...{ session, device: 'pi-1', who: 'ada', kind: 'shell', target: 'terminal' },
      ...{ opened: Date.now() - 5000, until: Date.now() },
    };
    const folder = join(own.folder, 'data', 'remote');
    await writeFile(join(folder, `${session}.json`), JSON.stringify(record));
    await writeFile(join(folder, `${session}.cast`), '{"version":2');
    await own.restart();
    await expect
      .poll(() => endOf(session))
      .toMatchObject({
        reason: 'the platform stopped unexpectedly',
        recording: { bytes: 12, sha256: createHash('sha256').update('{"version":2').digest('hex') },
      });
  });
});

it('does not record a shell unless the platform is told to', async () => {
  await own.restart({ recordShells: false });
  await expect
    .poll(
      () =>
        run('true\n').then(
          ({ recorded, session }) => [recorded, session.length],
          () => null,
        ),
      {
        timeout: 15_000,
      },
    )
    .toEqual([false, 36]);
});

it('keeps recordings for 90 days, at most 1 GiB in all', async () => {
  const folder = join(own.folder, 'recordings');
  await mkdir(folder);
  const day = 24 * 60 * 60;
  const now = Date.now() / 1000;
  for (const [name, age] of [
    ['old', 91],
    ['new', 89],
  ] as const) {
    await writeFile(join(folder, `${name}.cast`), name);
    await utimes(join(folder, `${name}.cast`), now - age * day, now - age * day);
  }
  const recordings = new RemoteRecordings(folder, () => now * 1000);
  const session = { session: 'current', device: 'pi-1', who: 'ada', target: 'commands' };
  const request = { kind: 'shell', forMs: 1000, tty: 'no', rows: 24, columns: 80, term: 'xterm' } as const;
  const recording = await recordings.begin(session, request, () => {});
  await recording.end();
  expect((await readdir(folder)).sort()).toEqual(['current.cast', 'new.cast']);

  // 1 GiB is 64 recordings of 16 MiB, one of which is the next. The oldest are named last. Sparse files need no space.
  const names = Array.from({ length: 66 }, (_, i) => `large-${String(i).padStart(2, '0')}.cast`);
  for (const [i, name] of names.entries()) {
    const file = join(folder, name);
    await writeFile(file, '');
    await truncate(file, 16 * 1024 ** 2);
    await utimes(file, now - (i + 1) * 60, now - (i + 1) * 60);
  }
  await rm(join(folder, 'current.cast'));
  const next = await recordings.begin({ ...session, session: 'next' }, request, () => {});
  await next.end();
  expect((await readdir(folder)).sort()).toEqual([...names.slice(0, 63), 'next.cast']);
});
