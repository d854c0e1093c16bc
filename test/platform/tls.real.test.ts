import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type PeerCertificate } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { openAuthority } from '../../src/lib/provision/authority.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { testPlatform } from '../support/platform.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-tls-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const openssl = (...args: string[]) =>
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] }).toString();

/** Creates a certificate for this name with another tool. */
function foreign(name: string, more: string[] = []) {
  openssl(
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...[
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
      '-subj',
      `/CN=${name}`,
      '-addext',
      `subjectAltName=DNS:${name}`,
      ...more,
    ],
  );
  return { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
}

/** Returns the certificate that a server presents for this name or, without a name, for a connection by address. */
function shown(port: string, servername?: string): Promise<PeerCertificate> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      {
        host: '127.0.0.1',
        port: Number(port),
        rejectUnauthorized: false,
        ...(servername ? { servername } : {}),
      },
      () => {
        resolve(socket.getPeerCertificate());
        socket.destroy();
      },
    );
    socket.on('error', reject);
  });
}
const portOf = (url: string) => new URL(url.replace('mqtts', 'https')).port;

describe('the CA’s key', () => {
  const now = () => Date.now();

  it('is readable only by its owner', async () => {
    await openAuthority(folder, now);
    expect((await stat(join(folder, 'ca.key'))).mode & 0o777).toBe(0o600);
  });

  it('is encrypted with a passphrase, even if it was not before, and OpenSSL can read it', async () => {
    await openAuthority(folder, now);
    const before = await readFile(join(folder, 'ca.key'), 'utf8');
    await openAuthority(folder, now, true, 'correct horse');
    const sealed = await readFile(join(folder, 'ca.key'), 'utf8');
    expect(sealed).toContain('BEGIN ENCRYPTED PRIVATE KEY');
    expect(openssl('pkey', '-in', 'ca.key', '-passin', 'pass:correct horse')).toBe(before);
    expect((await stat(join(folder, 'ca.key'))).mode & 0o777).toBe(0o600);
    const again = await openAuthority(folder, now, true, 'correct horse');
    const csr = await certificateRequest(generateKeyPair().privatePem, 'x');
    expect((await again.device({ csr, name: 'x', id: 'dev_x' })).certificate).toContain('BEGIN CERTIFICATE');
  });

  it.each([undefined, 'wrong'])('is not opened with the passphrase %s', async (passphrase) => {
    await openAuthority(folder, now, false, 'right');
    await expect(openAuthority(folder, now, true, passphrase)).rejects.toMatchObject({
      code: 'AIOT_CA_LOCKED',
      exit: 5,
    });
  });
});

describe('the listeners’ certificate', () => {
  it('is renewed and served at runtime before it expires', async () => {
    let now = Date.now();
    const clock = { now: () => now, sleep: async () => {} };
    const own = await testPlatform({ clock });
    const { http, mqtts } = own.platform.urls;
    const before = [await shown(portOf(http)), await shown(portOf(mqtts))].map(
      ({ fingerprint256 }) => fingerprint256,
    );
    now += 340 * 86_400_000;
    await expect
      .poll(async () => (await shown(portOf(http))).fingerprint256, { timeout: 30_000, interval: 250 })
      .not.toBe(before[0]);
    expect((await shown(portOf(mqtts))).fingerprint256).toBe((await shown(portOf(http))).fingerprint256);
    await own.client.close();
    await own.platform.stop();
  }, 60_000);

  it('is the configured one for its own names, or else the platform’s, and is reloaded on change', async () => {
    const serverCertificate = foreign('iot.example.com');
    const own = await testPlatform({ serverCertificate });
    const port = portOf(own.platform.urls.http);
    expect((await shown(port, 'iot.example.com')).subject.CN).toBe('iot.example.com');
    expect((await shown(port, 'localhost')).subject.CN).toBe('localhost');
    expect((await shown(port)).subject.O).toBe('aiot');
    await own.client.status();
    const first = (await shown(port, 'iot.example.com')).fingerprint256;
    foreign('iot.example.com');
    await utimes(serverCertificate.cert, new Date(), new Date(Date.now() + 2000));
    await expect
      .poll(async () => (await shown(port, 'iot.example.com')).fingerprint256, {
        timeout: 30_000,
        interval: 250,
      })
      .not.toBe(first);
    await own.stop();
  }, 60_000);

  it.each<[string, () => Promise<{ cert: string; key: string }> | { cert: string; key: string }]>([
    ['its key does not match', () => ({ cert: foreign('a').cert, key: foreign('b').key })],
    ['it is for clients only', () => foreign('c', ['-addext', 'extendedKeyUsage=clientAuth'])],
    [
      'it is malformed',
      async () => {
        const files = foreign('d');
        await writeFile(files.cert, 'nonsense');
        return files;
      },
    ],
    [
      'its key has a passphrase',
      () => {
        const files = foreign('e');
        openssl('pkcs8', '-topk8', '-in', files.key, '-out', 'sealed.key', '-passout', 'pass:x');
        return { cert: files.cert, key: join(folder, 'sealed.key') };
      },
    ],
  ])('is rejected if %s', async (_, files) => {
    await expect(testPlatform({ serverCertificate: await files() })).rejects.toMatchObject({
      code: 'AIOT_CERTIFICATE_UNFIT',
      exit: 2,
    });
  });
});

describe('a forged device certificate', () => {
  it('is rejected: from another CA, self-signed, unregistered, expired, or for a server', async () => {
    const own = await testPlatform();
    const key = generateKeyPair().privatePem;
    const { device } = await own.client.devices.provision(
      'motor-1',
      'virtual',
      await certificateRequest(key, 'motor-1'),
    );
    const other = await openAuthority(join(folder, 'other'), () => Date.now());
    const csr = await certificateRequest(key, 'motor-1');
    const forged = await other.device({ csr, name: 'motor-1', id: device.id });
    await writeFile(join(folder, 'k.pem'), key);
    openssl('req', '-x509', '-key', 'k.pem', '-days', '2', '-subj', '/CN=motor-1', '-out', 'self.crt');
    const pki = join(own.folder, 'data', 'pki');
    // These certificates are from our own CA, as if someone had a leaked signing tool. The registry knows valid ones by fingerprint.
    const real = await openAuthority(pki, () => Date.now(), true);
    const unknown = await real.device({ csr, name: 'motor-1', id: device.id });
    const past = await (await openAuthority(pki, () => Date.now() - 3000 * 86_400_000, true)).device({
      csr,
      name: 'motor-1',
      id: device.id,
    });
    const server = { certificate: await readFile(join(pki, 'server.crt'), 'utf8') };
    const serverKey = await readFile(join(pki, 'server.key'), 'utf8');
    const self = await readFile(join(folder, 'self.crt'), 'utf8');
    for (const [cert, owner] of [
      [forged.certificate, key],
      [self, key],
      [unknown.certificate, key],
      [past.certificate, key],
      [server.certificate, serverKey],
    ] as const) {
      const client = createClient({ url: own.platform.urls.http, ca: own.ca, cert, key: owner });
      await expect(client.trust.get()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
      await client.close();
    }
    await own.stop();
  }, 20_000);
});
