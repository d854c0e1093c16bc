import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { openAuthority } from '../../src/lib/provision/authority.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { describeReal } from '../support/real.js';

describeReal('openssl', 'openssl checks of our certificates', () => {
  let folder: string;
  const openssl = (...args: string[]) => {
    const { stdout, stderr, status } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    return { out: stdout + stderr, status };
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-openssl-'));
    const authority = await openAuthority(folder, () => Date.now());
    await authority.server(['localhost', '127.0.0.1', '::1']);
    const csr = await certificateRequest(generateKeyPair().privatePem, 'motor-1');
    await writeFile(join(folder, 'device.csr'), csr);
    const device = await authority.device({ csr, name: 'motor-1', id: 'dev_1' });
    await writeFile(join(folder, 'device.crt'), device.certificate);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    ['the server', ['-purpose', 'sslserver', '-verify_hostname', 'localhost', 'server.crt'], 0],
    ['the server by its address', ['-purpose', 'sslserver', '-verify_ip', '::1', 'server.crt'], 0],
    ['the device as a client', ['-purpose', 'sslclient', 'device.crt'], 0],
    ['the device as a server, which is invalid', ['-purpose', 'sslserver', 'device.crt'], 2],
    ['the server as a client, which is invalid', ['-purpose', 'sslclient', 'server.crt'], 2],
  ])('return the correct verdict on %s', (_, args, status) => {
    const result = openssl('verify', '-x509_strict', '-CAfile', 'ca.crt', ...args);
    expect(result.status, result.out).toBe(status);
  });

  it('accept the request and its signature', () => {
    const { out } = openssl('req', '-in', 'device.csr', '-verify', '-noout', '-subject');
    expect(out).toMatch(/verify OK/);
    expect(out).toContain('CN = motor-1');
  });

  it('show the same subject and curve', () => {
    const { out } = openssl('x509', '-in', 'device.crt', '-noout', '-text');
    expect(out).toContain('CN = motor-1, O = aiot, serialNumber = dev_1');
    expect(out).toContain('ASN1 OID: prime256v1');
    expect(out).toContain('ecdsa-with-SHA256');
  });
});
