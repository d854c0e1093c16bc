import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { privateKeyOf } from '../../../src/lib/flash/images/keys.js';
import { decryptMcuboot, readMcuboot } from '../../../src/lib/formats/mcuboot.js';
import { runCli } from '../../support/cli.js';
import { describeReal, python } from '../../support/real.js';

const keyKinds = {
  'rsa-2048': 'rsa-2048',
  'rsa-3072': 'rsa-3072',
  'ecdsa-p256': 'ecdsa-p256',
  'ecdsa-p384': 'ecdsa-p384',
  ed25519: 'ed25519',
} as const;

/** MCUboot's imgtool verifies what aiot signs, and the other way round. */
describeReal('mcuboot', 'MCUboot images compared with imgtool', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-mcuboot-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const at = (name: string) => join(folder, name);

  const imgtool = (...args: string[]) =>
    spawnSync(python('mcuboot'), ['-m', 'imgtool.main', ...args], { encoding: 'utf8', timeout: 60_000 });
  const must = (...args: string[]) => {
    const { status, stdout, stderr } = imgtool(...args);
    if (status !== 0) throw new Error(`imgtool ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  const keyOf = (kind: string, name: string = kind) => {
    must('keygen', '-k', at(`${name}.pem`), '-t', kind);
    return at(`${name}.pem`);
  };
  const ours = async (...args: string[]) => {
    const { code, stderr, json } = await runCli(['firmware', 'mcuboot', 'sign', ...args, '--json']);
    if (code !== 0) throw new Error(stderr);
    return json;
  };

  // A program as Zephyr builds it, with 0x200 zeros in place of the header, and one without room for it.
  const program = at('zephyr.bin');
  const random = Buffer.from(
    Array.from({ length: 5003 }, (_, index) => (index * 7919 + (index >> 3)) & 0xff),
  );
  writeFileSync(program, Buffer.concat([Buffer.alloc(0x200), random]));
  const bare = at('bare.bin');
  writeFileSync(bare, random);
  const slot = ['--slot-size', '0x20000'];

  it.each([
    ['hashed only', ['-H', '0x200'], []],
    [
      'of another version',
      ['-H', '0x200', '-v', '255.254.65535+4294967295'],
      ['--version', '255.254.65535+4294967295'],
    ],
    ['with a security counter', ['-H', '0x200', '-s', '77'], ['--security-counter', '77']],
    [
      'with a counter from the version',
      ['-H', '0x200', '-s', 'auto', '-v', '1.2.3'],
      ['--security-counter', 'auto', '--version', '1.2.3'],
    ],
    [
      'with dependencies',
      ['-H', '0x200', '-d', '(1, 2.3.4+5), (2, 1.0.0)'],
      ['--dependency', '1,2.3.4+5', '--dependency', '2,1.0.0'],
    ],
    ['with a load address', ['-H', '0x200', '-L', '0x20000000'], ['--load-address', '0x20000000']],
    ['with another header', ['-H', '32', '--pad-header'], ['--header-size', '32', '--pad-header']],
    ['padded', ['-H', '0x200', '--pad'], ['--pad', 'pending']],
    [
      'padded and confirmed',
      ['-H', '0x200', '--confirm', '--align', '4'],
      ['--pad', 'confirmed', '--align', '4'],
    ],
    [
      'aligned to 32 bytes',
      ['-H', '0x200', '--confirm', '--align', '32', '-M', '64'],
      ['--pad', 'confirmed', '--align', '32', '--max-sectors', '64'],
    ],
    [
      'for overwriting',
      ['-H', '0x200', '--pad', '--overwrite-only'],
      ['--pad', 'pending', '--overwrite-only'],
    ],
  ])(
    'writes an image %s as imgtool does, byte for byte, including with Ed25519 signatures',
    async (_what, theirs, own) => {
      const input = theirs.includes('--pad-header') ? bare : program;
      const align = theirs.includes('--align') ? [] : ['--align', '8'];
      const version = theirs.includes('-v') ? [] : ['-v', '1.2.3+4'];
      const ownVersion = own.includes('--version') ? [] : ['--version', '1.2.3+4'];
      const key = keyOf('ed25519');
      for (const keyed of [false, true]) {
        const keyArgs = keyed ? ['-k', key] : [];
        must('sign', ...theirs, ...version, ...align, '-S', '0x20000', ...keyArgs, input, at('theirs.bin'));
        await ours(
          input,
          ...own,
          ...ownVersion,
          ...slot,
          ...(keyed ? ['--key', key] : []),
          '--out',
          at('ours.bin'),
        );
        expect(readFileSync(at('ours.bin')).equals(readFileSync(at('theirs.bin')))).toBe(true);
      }
    },
  );

  describe.each(Object.entries(keyKinds))('a key %s', (kind, key) => {
    it("signs an image that imgtool accepts, and verifies imgtool's", async () => {
      const pem = keyOf(kind);
      const other = keyOf(kind, `${kind}-other`);
      await ours(program, '--version', '1.0.0', ...slot, '--key', pem, '--out', at('ours.bin'));
      expect(imgtool('verify', '-k', pem, at('ours.bin')).status).toBe(0);
      expect(imgtool('verify', '-k', other, at('ours.bin')).status).not.toBe(0);

      must(
        'sign',
        '-H',
        '0x200',
        '-v',
        '1.0.0',
        '--align',
        '8',
        '-S',
        '0x20000',
        '-k',
        pem,
        program,
        at('theirs.bin'),
      );
      const verify = async (...args: string[]) => runCli(['firmware', 'verify', ...args, '--json']);
      expect(await verify(at('theirs.bin'), '--key', pem)).toMatchObject({
        code: 0,
        json: { format: 'mcuboot', verified: true, signatures: [{ key, valid: true, expected: true }] },
      });
      expect(await verify(at('theirs.bin'), '--key', other)).toMatchObject({
        code: 6,
        json: { verified: false, signatures: [{ key, valid: null, expected: false }] },
      });
    });

    it('detects a signature by another key under the same key hash', async () => {
      const pem = keyOf(kind, `${kind}-again`);
      await ours(program, '--version', '1.0.0', ...slot, '--key', pem, '--out', at('ours.bin'));
      const bytes = readFileSync(at('ours.bin'));
      bytes[bytes.length - 20]! ^= 1;
      writeFileSync(at('altered.bin'), bytes);
      expect(imgtool('verify', '-k', pem, at('altered.bin')).status).not.toBe(0);
      const { code, json } = await runCli(['firmware', 'verify', at('altered.bin'), '--key', pem, '--json']);
      expect({ code, json }).toMatchObject({
        code: 6,
        json: { signatures: [{ valid: false, expected: true }] },
      });
    });
  });

  it('verifies pure Ed25519 signatures, full public keys and padded ECDSA signatures', async () => {
    const [ed, ec] = [keyOf('ed25519', 'pure'), keyOf('ecdsa-p256', 'full')];
    const base = ['-H', '0x200', '-v', '3.0.0', '--align', '8', '-S', '0x20000'];
    must('sign', ...base, '--pure', '-k', ed, program, at('pure.bin'));
    must('sign', ...base, '--public-key-format', 'full', '--pad-sig', '-k', ec, program, at('full.bin'));
    for (const [file, key] of [
      ['pure.bin', ed],
      ['full.bin', ec],
    ] as const) {
      const { code, json } = await runCli(['firmware', 'verify', at(file), '--key', key, '--json']);
      expect({ code, json }).toMatchObject({ code: 0, json: { verified: true } });
    }
  });

  it.each(['ecdsa-p256', 'x25519'])('decrypts what imgtool encrypted for a key %s', async (kind) => {
    const pem = keyOf(kind, `${kind}-encrypt`);
    const publicPem = must('getpub', '-k', pem, '-e', 'pem');
    writeFileSync(at('public.pem'), publicPem);
    must(
      'sign',
      '-H',
      '0x200',
      '-v',
      '1.0.0',
      '--align',
      '8',
      '-S',
      '0x20000',
      '-E',
      at('public.pem'),
      program,
      at('hidden.bin'),
    );
    const image = readMcuboot(readFileSync(at('hidden.bin')));
    expect(image).toMatchObject({ intact: null, encryption: kind === 'x25519' ? 'x25519' : 'ec256' });
    const plain = decryptMcuboot(image, await privateKeyOf(pem));
    expect(Buffer.from(plain.subarray(0x200, 0x200 + random.length)).equals(random)).toBe(true);
  });

  it.each(['ecdsa-p256', 'x25519'])(
    "encrypts for a key %s in the layout of imgtool's image",
    async (kind) => {
      const pem = keyOf(kind, `${kind}-own`);
      writeFileSync(at('public.pem'), must('getpub', '-k', pem, '-e', 'pem'));
      await ours(
        program,
        '--version',
        '1.0.0',
        ...slot,
        '--encrypt',
        at('public.pem'),
        '--out',
        at('own.bin'),
      );
      must(
        'sign',
        '-H',
        '0x200',
        '-v',
        '1.0.0',
        '--align',
        '8',
        '-S',
        '0x20000',
        '-E',
        at('public.pem'),
        program,
        at('theirs.bin'),
      );
      const [own, theirs] = [
        readMcuboot(readFileSync(at('own.bin'))),
        readMcuboot(readFileSync(at('theirs.bin'))),
      ];
      const shape = ({ tlvs, hash, covered, ...rest }: typeof own) => ({
        ...rest,
        hash: Buffer.from(hash.value).toString('hex'),
        header: Buffer.from(covered.subarray(0, 0x200)).toString('hex'),
        tlvs: tlvs.map(({ type, value }) => [type, value.length]),
      });
      expect(shape(own)).toEqual(shape(theirs));
      // An independent ECIES (Python's cryptography) recovers the program.
      const judge = spawnSync(python('mcuboot'), ['-c', unwrap, at('own.bin'), pem, at('plain.bin')], {
        encoding: 'utf8',
      });
      expect(judge.stderr).toBe('');
      expect(readFileSync(at('plain.bin')).subarray(0, random.length).equals(random)).toBe(true);
    },
  );

  it('reports the same fields as imgtool dumpinfo', async () => {
    const key = keyOf('ecdsa-p256', 'dump');
    await ours(
      program,
      '--version',
      '1.2.3+4',
      ...slot,
      '--key',
      key,
      '--dependency',
      '1,2.0.0',
      '--out',
      at('own.bin'),
    );
    const dump = must('dumpinfo', '-s', at('own.bin'));
    expect(dump).toMatch(/magic/);
    const { json } = await runCli(['firmware', 'inspect', at('own.bin'), '--json']);
    const { mcuboot } = json as { mcuboot: { records: { name: string; bytes: number }[] } };
    for (const { name } of mcuboot.records) expect(dump).toContain(name);
    expect(json).toMatchObject({
      kind: 'mcuboot',
      signed: { scheme: 'mcuboot' },
      mcuboot: { version: '1.2.3+4', dependencies: [{ image: 1, version: '2.0.0' }] },
    });
  });
});

/** Decrypts an image's program: arguments are image, private key and output. */
const unwrap = `
import struct, sys
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
image = open(sys.argv[1], 'rb').read()
key = serialization.load_pem_private_key(open(sys.argv[2], 'rb').read(), None)
head, size = struct.unpack('<H2xI', image[8:16])
at = head + size + 4
while True:
    kind, length = struct.unpack('<HH', image[at:at + 4])
    value = image[at + 4:at + 4 + length]
    at += 4 + length
    if kind in (0x32, 0x33): break
if kind == 0x32:
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), value[:65])
    shared, rest = key.exchange(ec.ECDH(), peer), value[65:]
else:
    shared, rest = key.exchange(x25519.X25519PublicKey.from_public_bytes(value[:32])), value[32:]
keys = HKDF(algorithm=hashes.SHA256(), length=48, salt=None, info=b'MCUBoot_ECIES_v1').derive(shared)
mac = hmac.HMAC(keys[16:], hashes.SHA256())
mac.update(rest[32:])
mac.verify(rest[:32])
ctr = lambda secret: Cipher(algorithms.AES(secret), modes.CTR(bytes(16))).decryptor()
plain = ctr(keys[:16]).update(rest[32:])
open(sys.argv[3], 'wb').write(ctr(plain).update(image[head:head + size]))
`;
