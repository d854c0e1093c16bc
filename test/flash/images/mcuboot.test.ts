import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseMcubootVersion, readMcuboot } from '../../../src/lib/formats/mcuboot.js';
import { runCli } from '../../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-mcuboot-'));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pair = generateKeyPairSync('ed25519');
const key = at('key.pem');
writeFileSync(key, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
writeFileSync(at('public.pem'), pair.publicKey.export({ type: 'spki', format: 'pem' }));
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey;
writeFileSync(at('p521.pem'), p521.export({ type: 'pkcs8', format: 'pem' }));
const program = at('zephyr.bin');
writeFileSync(program, Buffer.concat([Buffer.alloc(0x200), Buffer.alloc(3000, 'program')]));
writeFileSync(at('bare.bin'), Buffer.alloc(3000, 'program'));

const sign = (file: string, ...args: string[]) =>
  runCli([
    'firmware',
    'mcuboot',
    'sign',
    file,
    ...(args.includes('--version') ? [] : ['--version', '1.2.3+4']),
    ...(args.includes('--slot-size') ? [] : ['--slot-size', '64K']),
    ...args,
  ]);

describe('firmware mcuboot sign', () => {
  it('signs a program, which verify and inspect confirm', async () => {
    const out = at('signed.bin');
    const { code, stdout } = await sign(program, '--key', key, '--dependency', '1,2.0.0', '--out', out);
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('signed with ed25519'),
    });
    expect(stdout).toMatch(/Requires +image 1 from 2\.0\.0/);
    expect((await runCli(['firmware', 'verify', out, '--key', at('public.pem')])).stdout).toContain(
      'The signatures are valid.',
    );
    const inspected = await runCli(['firmware', 'inspect', out, '--json']);
    expect(inspected.json).toMatchObject({ kind: 'mcuboot', mcuboot: { version: '1.2.3+4', trailer: null } });
    const shown = await runCli(['firmware', 'inspect', out, '--no-color']);
    expect(shown.stdout).toMatch(/Type +an MCUboot image/);
  });

  it('asks for the key of a signature that it cannot check, with code 6', async () => {
    await sign(program, '--key', key, '--out', at('unchecked.bin'));
    const { code, stdout } = await runCli(['firmware', 'verify', at('unchecked.bin')]);
    expect({ code, stdout }).toMatchObject({ code: 6, stdout: expect.stringContaining('add --key') });
  });

  it('reports an image that is only hashed, with code 6', async () => {
    await sign(program, '--out', at('hashed.bin'));
    const { code, stdout } = await runCli(['firmware', 'verify', at('hashed.bin'), '--key', key]);
    expect({ code, stdout }).toMatchObject({ code: 6, stdout: expect.stringContaining('no signature') });
  });

  it('fills a slot and marks it as confirmed', async () => {
    await sign(program, '--pad', 'confirmed', '--out', at('padded.bin'));
    const bytes = readFileSync(at('padded.bin'));
    expect(bytes.length).toBe(64 * 1024);
    expect(readMcuboot(bytes).trailer).toBe('confirmed');
  });

  it.each([
    ['a program without room for the header', [at('bare.bin')], /--pad-header/],
    ['a header that is too long', [program, '--header-size', '70000', '--pad-header'], /32 to 65535 bytes/],
    ['a header that is too short', [program, '--header-size', '8'], /32 to 65535 bytes, got 8/],
    ['a key of an unsupported curve', [program, '--key', at('p521.pem')], /got secp521r1/],
    ['a public key', [program, '--key', at('public.pem')], /expected a private key/],
    ['a program that does not fit', [program, '--slot-size', '6K'], /AIOT_IMAGE_TOO_LARGE/],
    ['a dependency without a version', [program, '--dependency', '1'], /such as 1,2\.0\.0/],
    [
      'a counter that is no number',
      [program, '--security-counter', 'new'],
      /expected auto or a 32-bit number/,
    ],
    ['a version out of range', [program, '--version', '256.0.0'], /is not an MCUboot version/],
    ['encryption for a key that only signs', [program, '--encrypt', at('public.pem')], /P-256 or X25519/],
  ])('rejects %s, and writes nothing', async (_what, args, reason) => {
    const out = at('never.bin');
    const { code, stderr } = await sign(...(args as [string]), '--out', out);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(reason) });
    expect(existsSync(out)).toBe(false);
  });

  it('rejects an image that is already signed', async () => {
    await sign(program, '--key', key, '--out', at('once.bin'));
    expect((await sign(at('once.bin'), '--out', at('twice.bin'))).stderr).toContain(
      'already an MCUboot image',
    );
  });
});

describe('reading an MCUboot image', () => {
  it.each([
    ['1', '1.0.0+0'],
    ['1.2', '1.2.0+0'],
    ['255.255.65535+4294967295', '255.255.65535+4294967295'],
  ])('parses version %s', (text, whole) => {
    const { major, minor, revision, build } = parseMcubootVersion(text);
    expect(`${major}.${minor}.${revision}+${build}`).toBe(whole);
  });

  it('rejects every truncation, and every altered byte that the hash covers', async () => {
    await sign(program, '--key', key, '--security-counter', '9', '--out', at('whole.bin'));
    const bytes = readFileSync(at('whole.bin'));
    const { covered, bytes: total } = readMcuboot(bytes);
    expect(total).toBe(bytes.length);
    for (let length = 0; length < bytes.length; length += length < 40 ? 1 : 97)
      expect(() => readMcuboot(bytes.subarray(0, length))).toThrow(/AIOT_IMAGE_MALFORMED|at offset/);
    for (let place = 20; place < covered.length; place += 61) {
      const altered = Buffer.from(bytes);
      altered[place]! ^= 4;
      let intact: boolean | null = false;
      try {
        intact = readMcuboot(altered).intact;
      } catch {
        continue;
      }
      expect(intact).toBe(false);
    }
  });

  it('is rejected by inspect if its hash is wrong', async () => {
    const bytes = readFileSync(at('whole.bin'));
    bytes[0x300]! ^= 1;
    writeFileSync(at('damaged.bin'), bytes);
    for (const command of ['inspect', 'verify']) {
      const { code, stderr } = await runCli(['firmware', command, at('damaged.bin')]);
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('does not match its hash'),
      });
    }
  });
});
