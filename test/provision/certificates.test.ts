import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateKeyPair } from '../../src/lib/core/index.js';
import { certificateRequest, openAuthority } from '../../src/lib/provision/index.js';

let folder: string;
let now = Date.now();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-ca-'));
  now = Date.now();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = () => openAuthority(folder, () => now);
const year = 366 * 86_400_000;

describe('the authority', () => {
  it('keeps its root over restarts, with the key private', async () => {
    const first = await open();
    expect((await open()).certificate).toBe(first.certificate);
    expect((await stat(join(folder, 'ca.key'))).mode & 0o777).toBe(0o600);
    const root = new X509Certificate(first.certificate);
    expect(root.ca).toBe(true);
    expect(Date.parse(root.validTo) - now).toBeGreaterThan(9.9 * year);
  });

  it('signs a server certificate for each name it is reached by', async () => {
    const authority = await open();
    const { certificate } = await authority.server(['localhost', '127.0.0.1', '::1', 'gateway.lan']);
    const server = new X509Certificate(certificate);
    expect(server.checkIssued(new X509Certificate(authority.certificate))).toBe(true);
    expect(server.checkHost('gateway.lan')).toBeTruthy();
    expect(server.checkIP('::1')).toBeTruthy();
    expect(server.checkHost('elsewhere.lan')).toBeFalsy();
  });

  it.each([
    ['keeps the server certificate while it fits', ['localhost'], 0, true],
    ['renews it when a host is added', ['localhost', 'b.lan'], 0, false],
    ['renews it when it nears its end', ['localhost'], 340 * 86_400_000, false],
  ])('%s', async (_, hosts, later, same) => {
    const before = await (await open()).server(['localhost']);
    now += later;
    const after = await (await open()).server(hosts);
    expect(after.certificate === before.certificate).toBe(same);
  });

  it('names the device in the certificate, whatever the request asks for', async () => {
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
    ['no PEM at all', 'nonsense'],
    [
      'a certificate request cut short',
      '-----BEGIN CERTIFICATE REQUEST-----\nMIHJ\n-----END CERTIFICATE REQUEST-----',
    ],
  ])('refuses %s', async (_, csr) => {
    const authority = await open();
    await expect(authority.device({ csr, name: 'a', id: 'b' })).rejects.toMatchObject({
      code: 'AIOT_CSR_INVALID',
    });
    expect((await readdir(folder)).sort()).toEqual(['ca.crt', 'ca.key']);
  });

  it('refuses a request whose signature does not fit its key', async () => {
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
