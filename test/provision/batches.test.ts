import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { batchSchema, enrollmentListSchema } from '../../src/lib/api/contract/batches.js';
import { decisionSchema } from '../../src/lib/api/decide-enrollments.js';
import { deviceSchema } from '../../src/lib/api/fields.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { systemClock } from '../../src/lib/core/time.js';
import { createBatch, createdBatchSchema, enrollDevice } from '../../src/lib/provision/batch.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { activatedSchema } from '../../src/lib/provision/claim.js';
import { runCli } from '../support/cli.js';
import { testPlatform } from '../support/platform.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
const at = (...parts: string[]) => join(own.folder, ...parts);
beforeAll(async () => {
  own = await upForTests();
});
afterAll(() => own.stop());

const create = (name: string, ...more: string[]) =>
  ok(createdBatchSchema, [
    'device',
    'batch',
    'create',
    name,
    '--type',
    'virtual',
    '--out',
    at(`${name}.json`),
    ...more,
  ]);
const waiting = (...more: string[]) => ok(enrollmentListSchema, ['device', 'waiting', 'list', ...more]);
const approve = (...more: string[]) => ok(decisionSchema, ['device', 'approve', ...more]);

describe('a batch', () => {
  it('has a key, which only the response and the file for the factory image contain', async () => {
    const { key, file, expires, created } = await create('july', '--size', '500', '--expires', '30d');
    expect(file).toBe(at('july.json'));
    expect(expires - created).toBe(30 * 86_400_000);
    expect((await stat(at('july.json'))).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(at('july.json'), 'utf8'))).toMatchObject({
      ...{ spec: 'aiot-batch/1', batch: 'july', type: 'virtual', url: own.url, key },
      ca: await readFile(own.ca, 'utf8'),
    });
    const shown = await ok(batchSchema, ['device', 'batch', 'show', 'july']);
    expect(shown).toMatchObject({ name: 'july', state: 'open', size: 500 });
    expect(JSON.stringify(shown)).not.toContain(key);
    expect((await runCli(['device', 'batch', 'list'])).stdout).toContain('july');
  });

  it.each([
    ['an invalid name', ['bad name'], 'AIOT_REQUEST_INVALID'],
    ['a name in use', ['july', '--type', 'virtual'], 'AIOT_ALREADY_EXISTS'],
    ['an invalid pattern', ['p', '--approve', 'A/*'], 'AIOT_USAGE'],
    ['a tag without a value', ['p', '--tag', 'site-'], 'AIOT_USAGE'],
    ['no devices', ['p', '--size', '0'], 'AIOT_USAGE'],
    ['a missing list', ['p', '--serials', 'missing.csv'], 'AIOT_FILE_NOT_FOUND'],
  ])('is not created with %s', async (_, argv, code) => {
    expect(await refusal(['device', 'batch', 'create', ...argv])).toMatchObject({ code });
  });

  it('is not created if its file would replace the key of another batch', async () => {
    expect(await refusal(['device', 'batch', 'create', 'other', '--out', at('july.json')])).toMatchObject({
      code: 'AIOT_ALREADY_EXISTS',
    });
    expect(await refusal(['device', 'batch', 'show', 'other'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });

  it.each([
    ['no column serial', 'name\nA1\n', 'AIOT_CSV_COLUMNS', 'list.csv:1: expected a column serial, got name'],
    ['no rows', 'serial\n', 'AIOT_CSV_EMPTY', 'lists no serial numbers'],
    [
      'a serial number twice',
      'serial\nA1\nA2\nA1\n',
      'AIOT_FILE_MALFORMED',
      'list.csv:4: the serial number A1 is also on line 2',
    ],
    ['an invalid serial number', 'mac,serial\nx,A 1\n', 'AIOT_FILE_MALFORMED', 'got "A 1"'],
  ])('is not created from a list with %s', async (_, text, code, message) => {
    await writeFile(at('list.csv'), text);
    const error = await refusal(['device', 'batch', 'create', 'listed', '--serials', at('list.csv')]);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });
});

describe('a device with a batch file', () => {
  it('gets its identity at its first start if its serial number is expected', async () => {
    await writeFile(at('serials.csv'), 'serial,mac\nA7-0001,\nA7-0002,\n');
    await create('listed', '--serials', at('serials.csv'), '--group', 'presses', '--tag', 'site=lab');
    const argv = ['device', 'activate', at('A7-0001'), '--batch', at('listed.json')];
    const device = await ok(activatedSchema, argv);
    expect(device).toMatchObject({ name: 'listed-A7-0001', state: 'active', claimed: true });
    expect((await stat(at('A7-0001', 'device.key'))).mode & 0o777).toBe(0o600);
    expect(existsSync(at('A7-0001', 'batch.key'))).toBe(false);
    expect(await ok(deviceSchema, ['device', 'show', 'listed-A7-0001'])).toMatchObject({
      ...{ groups: ['presses'], tags: { site: 'lab' } },
    });
    // The identity is complete, so the batch is not asked again.
    expect(await ok(activatedSchema, argv)).toMatchObject({ claimed: false, files: [] });
  });

  it('waits until it is approved, and continues with the same key after an interruption', async () => {
    await create('slow');
    const argv = ['device', 'activate', at('gateway'), '--batch', at('slow.json'), '--serial', 'B1'];
    const late = await refusal([...argv, '--timeout', '100ms']);
    expect(late).toMatchObject({ code: 'AIOT_TIMEOUT', message: 'slow-B1 still waits for its approval' });
    const key = await readFile(at('gateway', 'batch.key'), 'utf8');
    expect(await waiting('--batch', 'slow')).toMatchObject({
      enrollments: [{ name: 'slow-B1', serial: 'B1', state: 'waiting', expected: null, conflicts: 0 }],
    });
    expect(await approve('--batch', 'slow', '--dry-run')).toMatchObject({ dryRun: true, changed: 1 });
    expect(await approve('slow-B1')).toMatchObject({ changed: 1, refused: 0 });
    expect(await ok(activatedSchema, argv)).toMatchObject({ name: 'slow-B1', state: 'active' });
    expect(await readFile(at('gateway', 'device.key'), 'utf8')).toBe(key);
    expect((await waiting('--all', '--batch', 'slow')).enrollments).toMatchObject([{ state: 'issued' }]);
  });

  it('repeats its request while it waits', async () => {
    await create('patient');
    const slept: number[] = [];
    let approved = false;
    const files = await enrollDevice({
      ...{ dir: at('P1'), batch: at('patient.json') },
      clock: {
        sleep: async (ms) => {
          slept.push(ms);
          if (slept.length === 2) approved = (await approve('patient-P1')).changed === 1;
        },
      },
    });
    expect(approved).toBe(true);
    expect(slept).toEqual([5000, 5000]);
    expect(files.map((file) => file.split('/').at(-1))).toContain('device.crt');
  });

  it('waits as long as too many devices ask at once', async () => {
    let passed = 0;
    const start = Date.now();
    const crowded = await testPlatform({ clock: { ...systemClock, now: () => start + passed } });
    const { platform, ca, client, folder } = crowded;
    const anybody = createClient({ url: platform.urls.http, ca });
    try {
      const [dir, batch] = [join(folder, 'X1'), join(folder, 'crowd.json')];
      const { key } = await createBatch({
        ...{ client, name: 'crowd', type: 'virtual', size: 1, pattern: 'X*' },
        ...{ serialsFile: undefined, caFile: platform.ca, out: batch },
      });
      const [first, stranger] = [
        await certificateRequest(generateKeyPair().privatePem, 'first'),
        await certificateRequest(generateKeyPair().privatePem, 'stranger'),
      ];
      await anybody.enrollments.enroll({ key, csr: first, serial: 'first' });
      // The batch is full. Requests of unknown devices count all the same.
      let code = '';
      for (let i = 0; code !== 'AIOT_RATE_LIMITED' && i < 400; i++)
        await anybody.enrollments
          .enroll({ key, csr: stranger, serial: `S${i}` })
          .catch((error: { code: string }) => (code = error.code));
      expect(code).toBe('AIOT_RATE_LIMITED');
      await client.enrollments.decide({ action: 'reject', names: ['crowd-first'] });
      await expect(enrollDevice({ dir, batch, timeoutMs: 100 })).rejects.toMatchObject({
        code: 'AIOT_TIMEOUT',
        message: 'the platform had too many other devices to answer',
      });
      const [slept, limited]: [number[], number[]] = [[], []];
      const files = await enrollDevice({
        dir,
        batch,
        onLimit: (ms) => limited.push(ms),
        clock: {
          sleep: async (ms) => {
            slept.push(ms);
            passed += Math.ceil(ms);
          },
        },
      });
      expect(files.map((file) => file.split('/').at(-1))).toContain('device.crt');
      expect(slept).toHaveLength(1);
      expect(slept[0]).toBeGreaterThanOrEqual(60_000);
      expect(slept[0]).toBeLessThanOrEqual(80_000);
      expect(limited).toEqual(slept);
    } finally {
      await anybody.close();
      await crowded.stop();
    }
  });

  it('is refused once it is rejected, and approved later with the same command', async () => {
    await create('judged');
    const argv = ['device', 'activate', at('J1'), '--batch', at('judged.json'), '--timeout', '100ms'];
    await refusal(argv);
    const rejected = await ok(decisionSchema, ['device', 'reject', 'judged-J1', '--note', 'not ours']);
    expect(rejected).toMatchObject({ action: 'reject', changed: 1 });
    expect(await refusal(argv)).toMatchObject({
      ...{ code: 'AIOT_ENROLLMENT_REFUSED', message: 'judged-J1 was rejected: not ours' },
    });
    // A selector chooses among the devices that wait.
    const none = await refusal(['device', 'approve', '--selector', 'judged-J1']);
    expect(none).toMatchObject({ code: 'AIOT_NOT_FOUND' });
    await approve('judged-J1');
    expect(await ok(activatedSchema, argv)).toMatchObject({ name: 'judged-J1' });
  });

  it.each([
    ['another type of file', 'serials.csv', 'X1', 'AIOT_FILE_MALFORMED'],
    ['a folder whose name is no serial number', 'july.json', 'bad name', 'AIOT_USAGE'],
  ])('is not enrolled with %s', async (_, batch, dir, code) => {
    const argv = ['device', 'activate', at(dir), '--batch', at(batch)];
    expect(await refusal(argv)).toMatchObject({ code });
    expect(existsSync(at(dir))).toBe(false);
  });

  it('is not enrolled once its batch is revoked', async () => {
    await create('gone');
    expect(await refusal(['device', 'batch', 'revoke', 'gone'])).toMatchObject({ code: 'AIOT_USAGE' });
    expect(await ok(batchSchema, ['device', 'batch', 'revoke', 'gone', '--yes'])).toMatchObject({
      state: 'revoked',
    });
    const argv = ['device', 'simulate', at('G1'), '--batch', at('gone.json'), '--for', '1s'];
    expect(await refusal(argv)).toMatchObject({ code: 'AIOT_ENROLLMENT_REFUSED' });
  });

  it('runs as a virtual device', async () => {
    await create('virtual', '--approve', '*');
    const argv = [
      'device',
      'simulate',
      at('V1'),
      '--batch',
      at('virtual.json'),
      '--motor',
      'healthy',
      '--for',
      '200ms',
    ];
    const { code, stdout } = await runCli(argv);
    expect([code, stdout]).toEqual([0, expect.stringContaining('online')]);
    expect(await ok(deviceSchema, ['device', 'show', 'virtual-V1'])).toMatchObject({ state: 'active' });
  });
});

describe('approving and rejecting', () => {
  it('require a device, a batch or a selector', async () => {
    expect(await refusal(['device', 'approve'])).toMatchObject({ code: 'AIOT_USAGE' });
    expect(await refusal(['device', 'approve', 'a', '--batch', 'b'])).toMatchObject({ code: 'AIOT_USAGE' });
    expect(await refusal(['device', 'approve', 'nobody'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await refusal(['device', 'reject', '--selector', 'site=moon'])).toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
  });

  it('show people a contradiction below the row of the device', async () => {
    await create('liars');
    const [honest, liar] = [at('one', 'L1'), at('two', 'L1')];
    for (const dir of [honest, liar])
      await refusal(['device', 'activate', dir, '--batch', at('liars.json'), '--timeout', '50ms']);
    const { stdout } = await runCli(['device', 'waiting', 'list', '--batch', 'liars']);
    expect(stdout).toContain('! another key asked for its serial number (1 request rejected)');
  });

  it('show people the number of contradictions of a device that has its certificate', async () => {
    await create('trusted', '--approve', '*');
    const activate = (dir: string) => ['device', 'activate', at(dir, 'T1'), '--batch', at('trusted.json')];
    await ok(activatedSchema, activate('one'));
    expect(await refusal(activate('two'))).toMatchObject({ code: 'AIOT_ENROLLMENT_REFUSED' });
    const { stdout } = await runCli(['device', 'waiting', 'list', '--all', '--batch', 'trusted']);
    expect(stdout).toContain('! 1 contradicting request rejected');
  });
});
