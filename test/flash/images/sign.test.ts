import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { root, runCli } from '../../support/cli.js';

const image = join(root, 'test', 'golden', 'images', 'c3-boot.bin');
const folder = mkdtempSync(join(tmpdir(), 'aiot-sign-'));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const small = at('small.pem');
writeFileSync(
  small,
  generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
);
const good = at('good.pem');
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
writeFileSync(good, pair.privateKey.export({ type: 'sec1', format: 'pem' }));
const known = at('public.pem');
writeFileSync(known, pair.publicKey.export({ type: 'spki', format: 'pem' }));
writeFileSync(at('text.pem'), 'no key');
writeFileSync(at('same.key'), Buffer.alloc(32, 7));
writeFileSync(at('short.key'), Buffer.alloc(20, 7));

describe('firmware sign', () => {
  it('keeps the image, and is confirmed by verify, inspect and a public key', async () => {
    const out = at('signed.bin');
    const signed = await runCli(['firmware', 'sign', image, '--key', good, '--out', out]);
    expect(signed).toMatchObject({ code: 0, stdout: expect.stringMatching(/ecdsa-p256 +[0-9a-f]{64}/) });
    const verified = await runCli(['firmware', 'verify', out, '--key', known]);
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringMatching(/The signatures are valid/) });
    const { json } = await runCli(['firmware', 'inspect', out, '--json']);
    const digest = await runCli(['firmware', 'key', 'digest', known, '--json']);
    expect(json).toMatchObject({
      signed: { scheme: 'secure-boot-v2', valid: true, keyids: [(digest.json as { digest: string }).digest] },
    });
  });

  it('reports an image without a signature with code 6', async () => {
    const { code, stdout } = await runCli(['firmware', 'verify', image]);
    expect(code).toBe(6);
    expect(stdout).toMatch(/The image has no signature/);
  });

  it.each([
    ['a key of the wrong size', [image, '--key', small], 2, /requires an RSA 3072/],
    ['a file that is not a key', [image, '--key', at('text.pem')], 2, /expected a private key in PEM/],
    ['a public key', [image, '--key', known], 2, /expected a private key in PEM/],
    ['a file that is not an image', [small, '--key', good], 2, /AIOT_IMAGE_MALFORMED/],
    [
      'two keys for version 1',
      [image, '--key', good, '--key', good, '--secure-boot', 'v1'],
      2,
      /exactly one key/,
    ],
    ['the same key twice', [image, '--key', good, '--key', good], 2, /already signed by/],
  ])('rejects %s, and writes nothing', async (_what, args, code, reason) => {
    const out = at('never.bin');
    const result = await runCli(['firmware', 'sign', ...args, '--out', out]);
    expect(result).toMatchObject({ code, stderr: expect.stringMatching(reason) });
    expect(existsSync(out)).toBe(false);
  });
});

describe('firmware encrypt', () => {
  it.each([
    [
      'a key with equal halves',
      ['--key', at('same.key'), '--address', '0'],
      /both halves of the key are equal/,
    ],
    ['a key of the wrong length', ['--key', at('short.key'), '--address', '0'], /16, 32 or 64 bytes, got 20/],
    ['an address inside a block', ['--key', at('same.key'), '--address', '8'], /must be a multiple of 16/],
  ])('rejects %s', async (_what, args, reason) => {
    const { code, stderr } = await runCli(['firmware', 'encrypt', image, ...args, '--out', at('no.bin')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(reason);
  });
});
