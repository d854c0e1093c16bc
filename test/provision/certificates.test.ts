import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { openAuthority } from '../../src/lib/provision/authority.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';

let folder: string;
let now = Date.now();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-ca-'));
  now = Date.now();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = () => openAuthority(folder, () => now);
const year = 366 * 86_400_000;

describe('the certificate authority', () => {
  it('keeps its root across restarts, with a private key file', async () => {
    const first = await open();
    expect((await open()).certificate).toBe(first.certificate);
    expect((await stat(join(folder, 'ca.key'))).mode & 0o777).toBe(0o600);
    const root = new X509Certificate(first.certificate);
    expect(root.ca).toBe(true);
    expect(Date.parse(root.validTo) - now).toBeGreaterThan(9.9 * year);
  });

  it('does not start with a missing or damaged root once it has signed certificates', async () => {
    const first = await open();
    await first.server(['localhost']);
    const [crt, key] = ['ca.crt', 'ca.key'].map((name) => join(folder, name)) as [string, string];
    const [certificate, secret] = [await readFile(crt), await readFile(key)];
    for (const spoil of [
      () => rm(crt),
      () => rm(key),
      () => writeFile(crt, 'x'),
      () => writeFile(key, 'x'),
      () => writeFile(key, generateKeyPair().privatePem),
    ]) {
      await spoil();
      await expect(open()).rejects.toMatchObject({
        code: expect.stringMatching(/^AIOT_FILE_(NOT_FOUND|MALFORMED)$/),
      });
      await writeFile(crt, certificate);
      await writeFile(key, secret);
    }
    expect((await open()).certificate).toBe(first.certificate);
    await rm(folder, { recursive: true });
    await expect(openAuthority(folder, () => now, true)).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
    });
  });

  it.each([
    ['an invalid key', 'server.key', () => 'x'],
    ['an invalid certificate', 'server.crt', () => 'x'],
    ['a key that does not match', 'server.key', () => generateKeyPair().privatePem],
  ])('issues a new server certificate in place of %s', async (_, file, content) => {
    const authority = await open();
    await authority.server(['localhost']);
    await writeFile(join(folder, file), content());
    const { certificate, key } = await authority.server(['localhost']);
    expect(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))).toBe(true);
  });

  it('does not use a certificate that another authority has signed', async () => {
    const before = await (await open()).server(['localhost']);
    for (const file of ['ca.crt', 'ca.key', 'server.crt']) await rm(join(folder, file));
    const authority = await open();
    await writeFile(join(folder, 'server.crt'), before.certificate);
    const { certificate } = await authority.server(['localhost']);
    expect(
      new X509Certificate(certificate).verify(new X509Certificate(authority.certificate).publicKey),
    ).toBe(true);
  });

  it('signs a server certificate for every host name and address', async () => {
    const authority = await open();
    const { certificate } = await authority.server(['localhost', '127.0.0.1', '::1', 'gateway.lan']);
    const server = new X509Certificate(certificate);
    expect(server.checkIssued(new X509Certificate(authority.certificate))).toBe(true);
    expect(server.checkHost('gateway.lan')).toBeTruthy();
    expect(server.checkIP('::1')).toBeTruthy();
    expect(server.checkHost('elsewhere.lan')).toBeFalsy();
  });

  it.each([
    ['keeps a server certificate that is still valid', ['localhost'], 0, true],
    ['renews the server certificate when a host is added', ['localhost', 'b.lan'], 0, false],
    ['renews the server certificate before it expires', ['localhost'], 340 * 86_400_000, false],
  ])('%s', async (_, hosts, later, same) => {
    const before = await (await open()).server(['localhost']);
    now += later;
    const after = await (await open()).server(hosts);
    expect(after.certificate === before.certificate).toBe(same);
  });

  it('writes the device’s name into the certificate, whatever the request contains', async () => {
    const authority = await open();
    const csr = await certificateRequest(generateKeyPair().privatePem, 'somebody-else');
    const issued = await authority.device({ csr, name: 'motor-1', id: 'dev_1' });
    const device = new X509Certificate(issued.certificate);
    expect(device.subject.split('\n').sort()).toEqual(['CN=motor-1', 'O=aiot', 'serialNumber=dev_1']);
    expect(device.ca).toBe(false);
    expect(issued.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(issued.expires - now).toBeLessThan(2 * year);
  });

  it.each([
    ['text that is not PEM', 'nonsense'],
    [
      'a truncated certificate request',
      '-----BEGIN CERTIFICATE REQUEST-----\nMIHJ\n-----END CERTIFICATE REQUEST-----',
    ],
  ])('rejects %s', async (_, csr) => {
    const authority = await open();
    await expect(authority.device({ csr, name: 'a', id: 'b' })).rejects.toMatchObject({
      code: 'AIOT_CSR_INVALID',
    });
    expect((await readdir(folder)).sort()).toEqual(['ca.crt', 'ca.key']);
  });

  it('rejects a request whose signature does not match its key', async () => {
    const csr = await certificateRequest(generateKeyPair().privatePem, 'a');
    const der = Buffer.from(csr.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    der[der.length - 1] = (der[der.length - 1] ?? 0) ^ 1;
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    const authority = await open();
    await expect(authority.device({ csr: forged, name: 'a', id: 'b' })).rejects.toMatchObject({
      code: 'AIOT_CSR_INVALID',
    });
  });
});
