import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { pkcs11PublicKey } from '../../src/lib/flash/images/pkcs11.js';
import { root, runCli } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-hsm-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const image = join(root, 'test', 'golden', 'images', 'c3-boot.bin');

describeReal('softhsm', 'signing with a key in SoftHSM', () => {
  let module = '';
  const settings = { SOFTHSM2_CONF: at('softhsm2.conf') };
  const uri = (object: string, pin = 'pin.txt', token = 'my%20plant') =>
    `pkcs11:token=${token};object=${object}?module-path=${module}&pin-source=file:${at(pin)}`;
  const sign = (key: string, out: string, ...more: string[]) =>
    runCli(['firmware', 'sign', image, '--key', key, '--out', at(out), ...more, '--json']);

  beforeAll(() => {
    const found = execFileSync('sh', ['-c', 'command -v softhsm2-util'], { encoding: 'utf8' }).trim();
    module = join(dirname(dirname(found)), 'lib', 'softhsm', 'libsofthsm2.so');
    mkdirSync(at('tokens'));
    writeFileSync(at('softhsm2.conf'), `directories.tokendir = ${at('tokens')}\n`);
    writeFileSync(at('pin.txt'), '4321\n');
    writeFileSync(at('wrong.txt'), '1234\n');
    const env = { ...process.env, ...settings, PIN: '4321' };
    const made = ['--init-token', '--free', '--label', 'my plant', '--so-pin', '87654321', '--pin', '4321'];
    execFileSync('softhsm2-util', ['--module', module, ...made], { env });
    for (const [id, label, type] of [
      ['01', 'rsa', 'rsa:3072'],
      ['02', 'p256', 'EC:prime256v1'],
      ['03', 'p384', 'EC:secp384r1'],
      ['04', 'small', 'rsa:2048'],
    ] as const) {
      const args = ['--token-label', 'my plant', '--login', '--pin', 'env:PIN', '--keypairgen'];
      const names = ['--key-type', type, '--label', label, '--id', id];
      execFileSync('pkcs11-tool', ['--module', module, ...args, ...names], { env });
    }
  }, 60_000);
  beforeEach(() => {
    vi.stubEnv('SOFTHSM2_CONF', settings.SOFTHSM2_CONF);
  });

  /** The public key as PEM, read by pkcs11-tool and openssl; pkcs11-tool 0.23 cannot read keys on P-384. */
  async function publicPem(label: string): Promise<string> {
    const pem = at(`${label}.pem`);
    if (label === 'p384') {
      writeFileSync(pem, (await pkcs11PublicKey(uri(label))).export({ type: 'spki', format: 'pem' }));
      return pem;
    }
    const args = ['--module', module, '--token-label', 'my plant', '--read-object', '--type', 'pubkey'];
    execFileSync('pkcs11-tool', [...args, '--label', label, '--output-file', at(`${label}.der`)]);
    const der = ['-pubin', '-inform', 'der', '-in', at(`${label}.der`)];
    execFileSync('openssl', ['pkey', ...der, '-out', pem]);
    return pem;
  }

  const espsecure = join(dirname(python('esptool')), 'espsecure');
  it.each([
    ['rsa', 'rsa-3072'],
    ['p256', 'ecdsa-p256'],
    ['p384', 'ecdsa-p384'],
  ])('makes a signature with the key %s that espsecure verifies', async (label, kind) => {
    const { code, json } = await sign(uri(label), `${label}.bin`);
    expect({ code, json }).toMatchObject({ code: 0, json: { signatures: [{ key: kind, valid: true }] } });
    const pem = await publicPem(label);
    const verified = await runCli(['firmware', 'verify', at(`${label}.bin`), '--key', pem, '--json']);
    expect(verified.json).toMatchObject({ verified: true });
    if (existsSync(espsecure)) {
      const args = ['verify-signature', '--version', '2', '--keyfile', pem, at(`${label}.bin`)];
      expect(execFileSync(espsecure, args, { encoding: 'utf8' })).toMatch(/verification successful/i);
    }
    const digest = async (key: string) =>
      ((await runCli(['firmware', 'key', 'digest', key, '--json'])).json as { digest: string }).digest;
    expect(await digest(uri(label))).toBe(await digest(pem));
  });

  it('signs for version 1 with a P-256 key', async () => {
    expect((await sign(uri('p256'), 'v1.bin', '--secure-boot', 'v1')).code).toBe(0);
    const signed = readFileSync(at('v1.bin'));
    expect(signed.length).toBe(readFileSync(image).length + 68);
    if (!existsSync(espsecure)) return;
    const args = ['verify-signature', '--version', '1', '--keyfile', await publicPem('p256'), at('v1.bin')];
    expect(execFileSync(espsecure, args, { encoding: 'utf8' })).toMatch(/signature is valid/i);
  });

  it('reports a wrong PIN without printing it, and writes nothing', async () => {
    const { json, code, stdout } = await sign(uri('rsa', 'wrong.txt'), 'none.bin');
    expect({ json, code }).toMatchObject({ code: 5, json: { error: { code: 'AIOT_PKCS11_PIN' } } });
    expect(stdout).not.toContain('1234');
    expect(existsSync(at('none.bin'))).toBe(false);
  });

  it('reports a missing token, a missing key, a missing module and an unsuitable key', async () => {
    for (const [key, why] of [
      [uri('rsa', 'pin.txt', 'other'), 'No slot with token named "other"'],
      [uri('lost'), 'the token has no such public key'],
      [uri('rsa').replace('libsofthsm2.so', 'nothing.so'), 'the library cannot be loaded'],
      [uri('small'), 'got RSA 2048'],
    ] as const) {
      const { stdout, code } = await sign(key, 'none.bin');
      expect(code, key).toBeGreaterThan(0);
      expect(stdout).toContain(JSON.stringify(why).slice(1, -1));
    }
    expect(existsSync(at('none.bin'))).toBe(false);
  });

  it('takes the PIN from the environment, or requires one', async () => {
    const key = uri('p256').replace(/&pin-source.*/, '');
    vi.stubEnv('AIOT_PKCS11_PIN', '');
    expect(await sign(key, 'env.bin')).toMatchObject({ code: 2 });
    vi.stubEnv('AIOT_PKCS11_PIN', '4321');
    expect(await sign(key, 'env.bin')).toMatchObject({ code: 0 });
  });
});
