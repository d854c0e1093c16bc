import { spawn, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clientFor } from '../../src/lib/api/context.js';
import { publicKeyIn } from '../../src/lib/core/crypto.js';
import { activatedSchema, madeClaimSchema } from '../../src/lib/provision/claim.js';
import { provisionedDeviceSchema } from '../../src/lib/provision/provision.js';
import { describeReal } from '../support/real.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
const at = (...parts: string[]) => join(own.folder, ...parts);
beforeAll(async () => {
  own = await upForTests({ compat: ['architects-guide'] });
});
afterAll(() => own.stop());

const openssl = (...args: string[]) => spawnSync('openssl', args, { cwd: own.folder, encoding: 'utf8' });

/** Runs curl asynchronously, because the platform responds in this process. */
async function curl(...args: string[]): Promise<string> {
  const child = spawn('curl', ['-sS', '--max-time', '20', '--cacert', own.ca, ...args], { cwd: own.folder });
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect(errors).toBe('');
  return out;
}

describeReal('curl', 'a device with only openssl and curl', () => {
  it('creates a key, claims a certificate, activates itself and gets the next certificate', async () => {
    const { token } = await ok(madeClaimSchema, ['device', 'claim', 'foreign', '--type', 'pi']);
    openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'own.key');
    openssl('req', '-new', '-key', 'own.key', '-subj', '/CN=what it likes', '-out', 'own.csr');
    const csr = await readFile(at('own.csr'), 'utf8');
    await writeFile(at('redeem.json'), JSON.stringify({ token, csr, mac: '24:0a:c4:00:99:01' }));
    const json = ['-H', 'content-type: application/json'];
    const redeemed = JSON.parse(await curl(...json, '-d', '@redeem.json', `${own.url}/api/v1/claims/redeem`));
    expect(redeemed.device).toMatchObject({ name: 'foreign', mac: '24:0a:c4:00:99:01', chipId: '39169' });
    await writeFile(at('own.crt'), redeemed.certificate);
    const verified = openssl('verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', own.ca, 'own.crt');
    expect(verified.status, verified.stdout + verified.stderr).toBe(0);
    const as = ['--cert', 'own.crt', '--key', 'own.key'];
    const here = JSON.parse(await curl(...json, ...as, '-d', '{}', `${own.url}/api/v1/activation`));
    expect(here.device).toMatchObject({ name: 'foreign', state: 'active' });
    await writeFile(at('next.json'), JSON.stringify({ csr }));
    const next = `${own.url}/api/v1/devices/foreign/certificate`;
    const rotated = JSON.parse(await curl(...json, ...as, '-d', '@next.json', next));
    expect(rotated.device.next).not.toBeNull();
  });

  it('is confirmed through the guide’s activation endpoint', async () => {
    const confirm = `${own.guide?.devices}/confirmActivation`;
    expect(await curl('-d', 'device_id=39169', confirm)).toBe('TRUE');
    expect(await curl('-d', 'device_id=39170', confirm)).toBe('FALSE');
  });
});

describeReal('openssl', 'openssl checks of provisioned devices', () => {
  it('verify the operator’s signature over the exact bytes of a birth certificate', async () => {
    const argv = ['device', 'provision', 'born', '--type', 'esp32', '--out', at('born')];
    await ok(provisionedDeviceSchema, argv);
    const client = await clientFor();
    const { envelope } = await client.devices.birth.get('born');
    const keys = (await client.trust.get())?.keys ?? {};
    await client.close();
    const [signature] = envelope.signatures;
    const spki = keys[signature?.keyid ?? '']?.publicKey ?? '';
    const pem = `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`;
    expect(publicKeyIn(pem)).toBe(spki);
    await writeFile(at('operator.pem'), pem);
    await writeFile(at('birth.json'), Buffer.from(envelope.payload, 'base64'));
    await writeFile(at('birth.sig'), Buffer.from(signature?.sig ?? '', 'base64'));
    const verify = () =>
      openssl('dgst', '-sha256', '-verify', 'operator.pem', '-signature', 'birth.sig', 'birth.json');
    expect(verify().status).toBe(0);
    await writeFile(at('birth.json'), '{}');
    expect(verify().status).toBe(1);
  });

  it('match the key and the certificate in a chip image', async () => {
    await ok(activatedSchema, ['device', 'activate', at('born')]);
    const { readIdentity } = await import('../../src/lib/provision/held-identity.js');
    const { key, certificate } = await readIdentity(at('born'));
    await writeFile(at('image.key'), key);
    await writeFile(at('image.crt'), certificate);
    const fromKey = openssl('pkey', '-in', 'image.key', '-pubout').stdout;
    expect(fromKey).toContain('BEGIN PUBLIC KEY');
    expect(openssl('x509', '-in', 'image.crt', '-pubkey', '-noout').stdout).toBe(fromKey);
  });
});
