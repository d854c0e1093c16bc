import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { root, runCli } from '../../support/cli.js';
import { describeReal, python } from '../../support/real.js';

const image = join(root, 'test', 'golden', 'images', 'c3-boot.bin');

/** PyPI's espsecure verifies what aiot signs, and the other way round. */
describeReal('esptool', 'secure boot and flash encryption compared with espsecure', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-sign-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const at = (name: string) => join(folder, name);

  const espsecure = (...args: string[]) =>
    spawnSync(python('esptool'), ['-m', 'espsecure', ...args], { encoding: 'utf8', timeout: 60_000 });
  const must = (...args: string[]) => {
    const { status, stdout, stderr } = espsecure(...args);
    if (status !== 0) throw new Error(`espsecure ${args.join(' ')}: ${stdout}${stderr}`);
  };
  const accepts = (version: '1' | '2', key: string, file: string) =>
    espsecure('verify-signature', '--version', version, '--keyfile', key, file).status === 0;
  const ours = async (...args: string[]) => runCli(['firmware', ...args, '--json']);

  function newKey(name: string): string {
    const make: Record<string, () => { privateKey: KeyObject }> = {
      'rsa-3072': () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
      'ecdsa-p256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      'ecdsa-p384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    };
    const kind = Object.keys(make).find((known) => name.startsWith(known)) as string;
    // For version 1, espsecure accepts a key only in this format.
    const type = kind === 'rsa-3072' ? 'pkcs8' : 'sec1';
    const pem = make[kind]!().privateKey.export({ type, format: 'pem' });
    writeFileSync(at(`${name}.pem`), pem);
    return at(`${name}.pem`);
  }

  function altered(file: string): string {
    const bytes = readFileSync(file);
    bytes[100]! ^= 1;
    const copy = at('altered.bin');
    writeFileSync(copy, bytes);
    return copy;
  }

  describe.each(['rsa-3072', 'ecdsa-p256', 'ecdsa-p384'])('a %s key', (kind) => {
    const key = newKey(kind);
    const out = at(`${kind}.bin`);

    it('signs an image that espsecure accepts, and both detect one altered bit', async () => {
      const { code, json } = await ours('sign', image, '--key', key, '--secure-boot', 'v2', '--out', out);
      expect(code).toBe(0);
      expect(json).toMatchObject({ file: out, scheme: 'v2', signatures: [{ key: kind, valid: true }] });
      expect(accepts('2', key, out)).toBe(true);
      expect(accepts('2', newKey(`${kind}-other`), out)).toBe(false);
      const copy = readFileSync(image);
      copy[100]! ^= 1;
      const damaged = at('damaged.bin');
      writeFileSync(damaged, Buffer.concat([copy, readFileSync(out).subarray(copy.length)]));
      expect(accepts('2', key, damaged)).toBe(false);
    });

    it('has the digest that espsecure computes', async () => {
      must('digest-sbv2-public-key', '--keyfile', key, '--output', at('digest.bin'));
      const { json } = await ours('key', 'digest', key, '--out', at('own.bin'));
      expect((json as { digest: string }).digest).toBe(readFileSync(at('digest.bin')).toString('hex'));
      expect(readFileSync(at('own.bin'))).toEqual(readFileSync(at('digest.bin')));
    });

    it("verifies espsecure's signature", async () => {
      const theirs = at(`${kind}-theirs.bin`);
      must('sign-data', '--version', '2', '--keyfile', key, '--output', theirs, image);
      expect(await ours('verify', theirs, '--key', key)).toMatchObject({
        code: 0,
        json: { verified: true, signatures: [{ key: kind, valid: true, expected: true }] },
      });
      const other = await ours('verify', theirs, '--key', newKey(`${kind}-third`));
      expect(other).toMatchObject({ code: 6, json: { verified: false, signatures: [{ expected: false }] } });
      const bytes = readFileSync(theirs);
      // A bit of the signature itself, which the CRC covers, too.
      bytes[bytes.length - 4096 + 60]! ^= 1;
      writeFileSync(at('broken.bin'), bytes);
      const broken = await ours('verify', at('broken.bin'));
      expect(broken).toMatchObject({ code: 6, json: { signatures: [{ valid: false }] } });
      expect((await ours('verify', altered(theirs))).code).not.toBe(0);
    });
  });

  it('adds signatures up to three, and espsecure accepts each of the keys', async () => {
    const keys = ['rsa-3072-a', 'rsa-3072-b', 'rsa-3072-c', 'rsa-3072-d'].map(newKey);
    const [a = '', b = '', c = '', d = ''] = keys;
    await ours('sign', image, '--key', a, '--out', at('one.bin'));
    const three = await ours('sign', at('one.bin'), '--key', b, '--key', c, '--out', at('three.bin'));
    expect(three).toMatchObject({ code: 0, json: { signatures: [{}, {}, {}] } });
    for (const key of [a, b, c]) expect(accepts('2', key, at('three.bin'))).toBe(true);
    const again = await runCli(['firmware', 'sign', at('three.bin'), '--key', a, '--out', at('no.bin')]);
    expect(again).toMatchObject({ code: 2, stderr: expect.stringMatching(/already signed by/) });
    const fourth = await runCli(['firmware', 'sign', at('three.bin'), '--key', d, '--out', at('no.bin')]);
    expect(fourth).toMatchObject({ code: 2, stderr: expect.stringMatching(/at most 3 signatures/) });
  });

  it('signs for version 1', async () => {
    const key = newKey('ecdsa-p256-v1');
    expect((await ours('sign', image, '--key', key, '--secure-boot', 'v1', '--out', at('v1.bin'))).code).toBe(
      0,
    );
    expect(accepts('1', key, at('v1.bin'))).toBe(true);
    expect(accepts('1', newKey('ecdsa-p256-v2'), at('v1.bin'))).toBe(false);
  });

  it.each([
    [16, '0x10000', 4096],
    [32, '0x10000', 5000],
    [32, '0x10010', 48],
    [64, '0x9070', 160],
    [64, '0x0', 33_024],
  ])(
    'encrypts with a key of %i bytes at %s as espsecure does, and decrypts',
    async (bytes, address, length) => {
      const [key, plain] = [at('flash.key'), at('plain.bin')];
      writeFileSync(key, randomBytes(bytes));
      writeFileSync(plain, randomBytes(length));
      const padded = Buffer.concat([readFileSync(plain), Buffer.alloc((16 - (length % 16)) % 16, 0xff)]);
      writeFileSync(at('padded.bin'), padded);
      const theirs = at('theirs.bin');
      const common = ['--aes-xts', '--keyfile', key, '--address', address];
      must('encrypt-flash-data', ...common, '--output', theirs, at('padded.bin'));
      const made = await ours('encrypt', plain, '--key', key, '--address', address, '--out', at('made.bin'));
      expect(made.code).toBe(0);
      expect(readFileSync(at('made.bin')).equals(readFileSync(theirs))).toBe(true);
      await runCli([
        'firmware',
        'decrypt',
        theirs,
        '--key',
        key,
        '--address',
        address,
        '--out',
        at('back.bin'),
      ]);
      expect(readFileSync(at('back.bin')).equals(padded)).toBe(true);
    },
  );
});
