import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { devicesChangedSchema } from '../../src/lib/api/change-devices.js';
import { createClient } from '../../src/lib/api/client.js';
import { clientFor } from '../../src/lib/api/context.js';
import { deviceSchema } from '../../src/lib/api/fields.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { verifiedDeviceSchema } from '../../src/lib/provision/birth.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { activatedSchema, madeClaimSchema } from '../../src/lib/provision/claim.js';
import { provisionedDeviceSchema } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let ca: string;
const at = (...parts: string[]) => join(own.folder, ...parts);
beforeAll(async () => {
  own = await upForTests({ compat: ['architects-guide'], rates: { failures: 1000 } });
  ca = await readFile(own.ca, 'utf8');
});
afterAll(() => own.stop());

const claim = (name: string, ...more: string[]) =>
  ok(madeClaimSchema, ['device', 'claim', name, '--type', 'pi', '--out', at(`${name}.json`), ...more]);

describe('a claim', () => {
  it('gives its holder a certificate for a locally created key', async () => {
    const { token } = await claim('gateway');
    expect((await stat(at('gateway.json'))).mode & 0o777).toBe(0o600);
    expect(await ok(deviceSchema, ['device', 'show', 'gateway'])).toMatchObject({
      state: 'registered',
      fingerprint: null,
    });
    const argv = ['device', 'activate', at('gateway'), '--claim', at('gateway.json')];
    const device = await ok(activatedSchema, argv);
    expect(device).toMatchObject({ name: 'gateway', state: 'active', claimed: true });
    expect((await stat(at('gateway', 'device.key'))).mode & 0o777).toBe(0o600);
    expect(await readdir(at('gateway'))).not.toContain('claim.key');
    expect(await ok(activatedSchema, ['device', 'activate', at('gateway')])).toMatchObject({
      claimed: false,
    });
    for (const file of ['device.json', 'trust.json', 'device.crt'])
      expect(await readFile(at('gateway', file), 'utf8')).not.toContain(token);
  });

  it('is valid for one key, which can use it again if the response was lost', async () => {
    const { token } = await claim('once');
    const anybody = createClient({ url: own.url, ca });
    const csr = async () => await certificateRequest(generateKeyPair().privatePem, 'any');
    const mine = await csr();
    const first = await anybody.claims.redeem(token, mine);
    const again = await anybody.claims.redeem(token, mine);
    expect(again.certificate).toBe(first.certificate);
    await expect(anybody.claims.redeem(token, await csr())).rejects.toMatchObject({
      code: 'AIOT_CLAIM_INVALID',
    });
    await anybody.close();
  });

  it('is invalid after a later claim, with an unknown token, and after revocation', async () => {
    const { token: early } = await claim('void');
    const { token: late } = await claim('void');
    const anybody = createClient({ url: own.url, ca });
    const csr = await certificateRequest(generateKeyPair().privatePem, 'any');
    const invalid = { code: 'AIOT_CLAIM_INVALID' };
    await expect(anybody.claims.redeem(early, csr)).rejects.toMatchObject(invalid);
    await expect(anybody.claims.redeem('claim_x', csr)).rejects.toMatchObject(invalid);
    await ok(devicesChangedSchema, ['device', 'revoke', '--yes', 'void']);
    await expect(anybody.claims.redeem(late, csr)).rejects.toMatchObject(invalid);
    await anybody.close();
  });

  it.each([
    ['rotated', ['rotate', '--out']],
    ['rotated at once', ['rotate', '--now', '--out']],
    ['replaced', ['replace', '--out']],
  ])('is rejected if its device was %s, however often it is used', async (how, [verb = '', ...flags]) => {
    const name = `gw-${how.replaceAll(' ', '-')}`;
    const { token } = await claim(name);
    await ok(provisionedDeviceSchema, ['device', verb, name, ...flags, at(`${name}-folder`)]);
    const { id, fingerprint } = await ok(deviceSchema, ['device', 'show', name]);
    const stranger = createClient({ url: own.url, ca });
    const csr = await certificateRequest(generateKeyPair().privatePem, 'any');
    for (let i = 0; i < 3; i++)
      await expect(stranger.claims.redeem(token, csr)).rejects.toMatchObject({ code: 'AIOT_CLAIM_INVALID' });
    expect(await ok(deviceSchema, ['device', 'show', name])).toMatchObject({ id, fingerprint, next: null });
    await stranger.close();
  });

  it('is rejected even with its own key after its device got another certificate', async () => {
    const { token } = await claim('later');
    const anybody = createClient({ url: own.url, ca });
    const csr = await certificateRequest(generateKeyPair().privatePem, 'any');
    const { device } = await anybody.claims.redeem(token, csr);
    await ok(provisionedDeviceSchema, ['device', 'rotate', 'later', '--now', '--out', at('later')]);
    await expect(anybody.claims.redeem(token, csr)).rejects.toMatchObject({ code: 'AIOT_CLAIM_INVALID' });
    const now = await ok(deviceSchema, ['device', 'show', 'later']);
    expect(now.fingerprint).not.toBe(device.fingerprint);
    await anybody.close();
  });

  it('can be redeemed by only one of several concurrent requests', async () => {
    const { token } = await claim('raced');
    const anybody = createClient({ url: own.url, ca });
    const csrs = await Promise.all(
      Array.from({ length: 6 }, () => certificateRequest(generateKeyPair().privatePem, 'any')),
    );
    const tried = await Promise.allSettled(csrs.map((csr) => anybody.claims.redeem(token, csr)));
    expect(tried.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await anybody.close();
  });

  it('survives an invalid certificate request', async () => {
    const { token } = await claim('patient');
    const anybody = createClient({ url: own.url, ca });
    await expect(anybody.claims.redeem(token, 'no request')).rejects.toMatchObject({
      code: 'AIOT_CSR_INVALID',
    });
    const csr = await certificateRequest(generateKeyPair().privatePem, 'any');
    expect((await anybody.claims.redeem(token, csr)).device.name).toBe('patient');
    await anybody.close();
  });

  it.each([
    ['a folder with neither identity nor claim', ['nowhere'], 'AIOT_FILE_NOT_FOUND', 4],
    ['a missing claim file', ['new', '--claim', 'no.json'], 'AIOT_FILE_NOT_FOUND', 4],
    ['a file that is not a claim', ['new', '--claim', 'gateway/device.json'], 'AIOT_FILE_MALFORMED', 2],
    [
      'a folder that already has an identity',
      ['gateway', '--claim', 'gateway.json'],
      'AIOT_ALREADY_EXISTS',
      2,
    ],
    ['a used claim', ['new', '--claim', 'gateway.json'], 'AIOT_CLAIM_INVALID', 5],
  ])('cannot activate a device with %s, and leaves nothing behind', async (_, argv, code, exit) => {
    const placed = argv.map((word) => (word.startsWith('--') ? word : at(word)));
    expect(await refusal(['device', 'activate', ...placed])).toMatchObject({ code, exit });
    expect(existsSync(at('new'))).toBe(false);
  });

  it('is not needed again once the folder has its certificate', async () => {
    const { stderr, code } = await runCli([
      ...['device', 'activate', at('gateway'), '--claim', at('gateway.json')],
    ]);
    expect(code).toBe(2);
    expect(stderr).toContain(`aiot device activate ${at('gateway')}`);
    expect(stderr).not.toContain('--out');
  });

  it('is rejected for an existing device', async () => {
    expect(await refusal(['device', 'claim', 'gateway'])).toMatchObject({
      code: 'AIOT_ALREADY_EXISTS',
      subject: 'device',
      exit: 2,
    });
    expect(await refusal(['device', 'claim', 'a/b'])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
  });
});

describe('a device’s certificate', () => {
  const provision = (name: string) =>
    ok(provisionedDeviceSchema, ['device', 'provision', name, '--type', 'pi', '--out', at(name)]);
  const rotate = (name: string, ...more: string[]) =>
    ok(provisionedDeviceSchema, ['device', 'rotate', name, '--out', at(name), ...more]);
  const asDevice = async (folder: string) =>
    createClient({
      url: own.url,
      ca,
      cert: await readFile(join(folder, 'device.crt'), 'utf8'),
      key: await readFile(join(folder, 'device.key'), 'utf8'),
    });

  it('stays valid after a rotation until the new one is used', async () => {
    await provision('turning');
    const old = await asDevice(at('turning'));
    const { certificate } = await rotate('turning');
    expect((await old.devices.activate()).device.next?.fingerprint).toBe(certificate.fingerprint);
    expect((await ok(activatedSchema, ['device', 'activate', at('turning')])).certificate).toEqual(
      certificate,
    );
    await expect(old.devices.activate()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    expect(await ok(deviceSchema, ['device', 'show', 'turning'])).toMatchObject({
      fingerprint: certificate.fingerprint,
      next: null,
    });
    await old.close();
  });

  it('is invalid immediately after a rotation with --now', async () => {
    await provision('stolen');
    const old = await asDevice(at('stolen'));
    await rotate('stolen', '--now');
    await expect(old.devices.activate()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    await old.close();
  });

  it('is shown by verify along with the new one until the new one is used', async () => {
    const { certificate: first } = await provision('both');
    const { certificate: second } = await rotate('both');
    const { checks, verified } = await ok(verifiedDeviceSchema, ['device', 'verify', 'both']);
    expect(verified).toBe(true);
    const got = new Map(checks.map(({ check, got }) => [check, got]));
    expect(got.get('certificate')).toBe(`${second.fingerprint} (created, not used yet)`);
    expect(got.get('in use until then')).toBe(first.fingerprint);
    const { stdout } = await runCli(['device', 'verify', 'both']);
    expect(stdout).toContain(`${second.fingerprint.slice(0, 16)}… (created, not used yet)`);
  });

  it('is invalid after revocation, as activate and verify report', async () => {
    await provision('gone');
    await ok(devicesChangedSchema, ['device', 'revoke', '--yes', 'gone']);
    expect(await refusal(['device', 'activate', at('gone')])).toMatchObject({
      code: 'AIOT_CERTIFICATE_REFUSED',
      exit: 5,
    });
    const { json, code } = await runCli(['device', 'verify', 'gone', '--json']);
    const { checks, verified } = verifiedDeviceSchema.parse(json);
    expect([code, verified]).toEqual([6, false]);
    expect(checks.filter(({ passed }) => !passed)).toMatchObject([{ check: 'state', got: 'revoked' }]);
    expect((await runCli(['device', 'verify', 'gone'])).stdout).toContain('gone is revoked');
  });

  it('can be rotated only by the device itself, which cannot replace it', async () => {
    await provision('self');
    const device = await asDevice(at('self'));
    const csr = await certificateRequest(generateKeyPair().privatePem, 'self');
    expect((await device.devices.rotate('self', csr, false)).device.name).toBe('self');
    await expect(device.devices.rotate('gateway', csr, false)).rejects.toMatchObject({
      code: 'AIOT_NOT_ALLOWED',
    });
    await expect(device.devices.replace('self', csr)).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    await device.close();
  });

  it('is invalid immediately after a replacement, which gives the name to another board', async () => {
    const { id } = await provision('moved');
    const old = await asDevice(at('moved'));
    await mkdir(at('moved-2'));
    const argv = ['device', 'replace', 'moved', '--out', at('moved-2')];
    const replaced = await ok(provisionedDeviceSchema, argv);
    expect(replaced.id).not.toBe(id);
    await expect(old.devices.activate()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    expect(await ok(activatedSchema, ['device', 'activate', at('moved-2')])).toMatchObject({
      id: replaced.id,
    });
    const kept = await readFile(at('moved', 'device.key'), 'utf8');
    expect(await refusal(['device', 'rotate', 'moved', '--out', at('moved')])).toMatchObject({
      code: 'AIOT_ALREADY_EXISTS',
      subject: 'identity',
    });
    expect(await readFile(at('moved', 'device.key'), 'utf8')).toBe(kept);
    await old.close();
  });

  it.each([
    ['neither folder nor port', ['rotate', 'gateway'], 'AIOT_USAGE', 2],
    ['an unknown device by rotate', ['rotate', 'nobody', '--out', 'x'], 'AIOT_NOT_FOUND', 4],
    ['the folder of another device', ['rotate', 'gateway', '--out', 'self'], 'AIOT_ALREADY_EXISTS', 2],
    ['an unknown device by replace', ['replace', 'nobody', '--out', 'x'], 'AIOT_NOT_FOUND', 4],
    ['a revoked device', ['rotate', 'void', '--out', 'x'], 'AIOT_DEVICE_STATE', 1],
  ])('is not renewed for %s', async (_, argv, code, exit) => {
    const placed = argv.map((word, i) => (i > 2 && !word.startsWith('--') ? at(word) : word));
    expect(await refusal(['device', ...placed])).toMatchObject({ code, exit });
  });
});

/** Sends the request of the guide's firmware: a form over HTTPS without credentials. */
function confirm(body: string, method = 'POST', path = '/confirmActivation') {
  return new Promise<{ status: number; type: string; body: string; length: string }>((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const call = request(new URL(path, own.guide?.devices), { method, ca, headers }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => {
        text += chunk;
      });
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          type: String(answer.headers['content-type']),
          body: text,
          length: String(answer.headers['content-length']),
        }),
      );
    });
    call.on('error', reject);
    call.end(body);
  });
}

describe('POST /confirmActivation for the guide’s firmware', () => {
  const text = { status: 200, type: 'text/plain; charset=utf-8' };

  it('recognizes a device by its decimal chip ID, given or from its MAC, without a newline', async () => {
    await claim('guide-1', '--chip-id', '14339204');
    await ok(provisionedDeviceSchema, [
      ...['device', 'provision', 'guide-2', '--type', 'esp32', '--mac', '24:0a:c4:da:b6:b0'],
      ...['--out', at('guide-2')],
    ]);
    expect(await confirm('device_id=14339204')).toEqual({ ...text, body: 'TRUE', length: '4' });
    expect(await confirm('device_id=14333616')).toEqual({ ...text, body: 'TRUE', length: '4' });
    expect(await confirm('', 'POST', '/confirmActivation?device_id=14333616')).toMatchObject({
      body: 'TRUE',
    });
  });

  it('identifies one device, because a chip ID is unique until its device is revoked', async () => {
    await claim('alone', '--chip-id', '4711');
    const taken = { code: 'AIOT_ALREADY_EXISTS', subject: 'device', exit: 2 };
    const two = (name: string, ...more: string[]) => [
      ...['device', 'provision', name, '--type', 'esp32', '--out', at(name)],
      ...more,
    ];
    expect(await refusal(['device', 'claim', 'alike', '--chip-id', '4711'])).toMatchObject(taken);
    expect(await refusal(two('alike', '--chip-id', '4711'))).toMatchObject(taken);
    // The lower three octets are the same, but the vendor is different.
    expect(await refusal(two('alike', '--mac', '24:0a:c4:00:12:67'))).toMatchObject(taken);
    expect(
      await refusal(['device', 'replace', 'gateway', '--out', at('x'), '--mac', '24:0a:c4:00:12:67']),
    ).toMatchObject(taken);
    const client = await clientFor();
    const rivals = await Promise.allSettled(
      ['r1', 'r2', 'r3'].map((name) => client.claims.make({ name, type: 'esp32', chipId: '4712' })),
    );
    await client.close();
    expect(rivals.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await claim('alone', '--chip-id', '4711');
    await ok(devicesChangedSchema, ['device', 'revoke', '--yes', 'alone']);
    expect(await confirm('device_id=4711')).toMatchObject({ body: 'FALSE' });
    await claim('alike', '--chip-id', '4711');
    expect(await confirm('device_id=4711')).toMatchObject({ body: 'TRUE' });
  });

  it('responds with FALSE for any other device or an empty request', async () => {
    for (const body of ['device_id=1', 'device_id=', '', 'id=14339204', 'device_id=guide-1'])
      expect(await confirm(body), body).toMatchObject({ ...text, body: 'FALSE' });
  });

  it('responds with FALSE for a suspended or revoked device', async () => {
    const client = await clientFor();
    await client.devices.act('guide-2', 'suspend');
    expect(await confirm('device_id=14333616')).toMatchObject({ body: 'FALSE' });
    await client.devices.act('guide-2', 'resume');
    expect(await confirm('device_id=14333616')).toMatchObject({ body: 'TRUE' });
    await client.devices.act('guide-2', 'revoke');
    expect(await confirm('device_id=14333616')).toMatchObject({ body: 'FALSE' });
    await client.close();
  });

  it('responds to other methods as the guide’s server does, and rejects long bodies', async () => {
    expect(await confirm('', 'GET')).toMatchObject({
      status: 200,
      body: 'Sorry, only GET and POST methods are supported.',
    });
    expect(await confirm('x'.repeat(20_000))).toMatchObject({ status: 413 });
  });

  it('is never served on the API port', async () => {
    const plain = await upForTests({ compat: ['architects-guide'], rates: { failures: 1000 } });
    try {
      const url = new URL('/confirmActivation', plain.url);
      const status = await new Promise((resolve, reject) => {
        const call = request(url, { method: 'POST', rejectUnauthorized: false }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        });
        call.on('error', reject);
        call.end('device_id=1');
      });
      expect(status).toBe(404);
    } finally {
      await plain.stop();
    }
  });
});
