import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { type TrustRoot, trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { packSigned, verifySigned } from '../../src/lib/model/bundle/signed-bundle.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { verifyFile } from '../../src/lib/model/publish/verify.js';
import { tinyBundle } from '../support/bundle.js';

const { privatePem } = generateKeyPair();
const trust = trustRootOf(publicKeyOf(privatePem));
const options = {
  name: 'tiny',
  version: 3,
  sequence: 5,
  issued: 1_700_000_000_000,
  expires: null,
  deviceTypes: ['virtual'],
};
const content = tinyBundle();
const signed = packSigned(content, signManifest(manifestOf(content, options), privatePem));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-signed-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function refusal(bytes: Uint8Array, root: TrustRoot = trust): AiotError {
  try {
    verifySigned(bytes, root, 'tiny.aiot');
  } catch (error) {
    if (error instanceof AiotError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

/** Name, offset and size of each member of the archive, in order. */
function members(): { name: string; at: number; size: number }[] {
  const found = [];
  for (let at = 0; signed[at] !== 0; ) {
    const name = Buffer.from(signed.subarray(at, at + 100))
      .toString('latin1')
      .replace(/\0.*/s, '');
    const size = Number.parseInt(Buffer.from(signed.subarray(at + 124, at + 135)).toString('latin1'), 8);
    found.push({ name, at, size });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return found;
}

describe('a signed bundle', () => {
  it('is verified with the key alone, and reports what was signed', () => {
    const { manifest, bundle, keyids } = verifySigned(signed, trust, 'tiny.aiot');
    expect(keyids).toEqual(Object.keys(trust.keys));
    expect(bundle.info.name).toBe('tiny');
    expect(manifest).toMatchObject({
      name: 'tiny',
      version: 3,
      interface: 1,
      expires: null,
      model: {
        kind: 'model',
        signal: { fields: ['x', 'y'] },
        labels: { walking: ['walking'] },
        answer: { kind: 'classes', classes: ['resting', 'walking'], vote: 'none' },
        quantization: { mode: 'int8', input: 'int8', output: 'int8' },
        metrics: { int8: { macroF1: 1 } },
        dataset: { name: 'imu' },
        tools: { aiot: '0.1.0' },
      },
    });
    expect(manifest.files?.map(({ name }) => name)).toEqual([
      'bundle.json',
      'model.tflite',
      'golden.json',
      'lineage.json',
    ]);
  });

  it('is rejected if any byte is changed, and the error names the file', () => {
    const named = members();
    const wrong: string[] = [];
    for (let at = 0; at < signed.length; at++) {
      const bytes = signed.slice();
      bytes[at] = bytes[at]! ^ (1 << (at % 8));
      const { code, message } = refusal(bytes);
      const member = named.findLast((one) => one.at <= at);
      const end = member ? member.at + 512 + Math.ceil(member.size / 512) * 512 : 0;
      const expected = at < end ? member!.name : 'last file';
      const told = message.replace('tiny.aiot', '');
      if (!told.includes(expected)) wrong.push(`${at} (${expected}): ${code}: ${told}`);
      if (!/^AIOT_(BUNDLE|SIGNATURE)_/.test(code) || !message.includes('tiny.aiot'))
        wrong.push(`${at}: ${code}`);
    }
    expect(wrong).toEqual([]);
  }, 300_000);

  it.each([
    ['no content', () => new Uint8Array()],
    ['an extra byte at its end', () => new Uint8Array([...signed, 0])],
    [
      'an extra record at its end',
      () => new Uint8Array(signed.length + 10_240).fill(0).map((_, i) => signed[i] ?? 0),
    ],
    ['its last record missing', () => signed.slice(0, signed.length - 10_240)],
    ['its end cut off', () => signed.slice(0, signed.length - 1)],
    ['two members swapped', () => swapped()],
  ])('is rejected with %s', (_, make) => {
    const { code, message } = refusal(make());
    expect(code).toMatch(/^AIOT_BUNDLE_(MALFORMED|TAMPERED)$/);
    expect(message).toContain('tiny.aiot: ');
  });

  it('is rejected if it was signed with another key, and the error names the key', () => {
    const stranger = generateKeyPair().privatePem;
    const forged = packSigned(content, signManifest(manifestOf(content, options), stranger));
    const { code, message } = refusal(forged);
    expect(code).toBe('AIOT_SIGNATURE_INVALID');
    expect(message).toContain(Object.keys(trustRootOf(publicKeyOf(stranger)).keys)[0]!.slice(0, 12));
  });

  it('is rejected if its content was replaced under a valid signature', () => {
    const other = tinyBundle('tiny', 1);
    const swappedIn = packSigned(other, signManifest(manifestOf(content, options), privatePem));
    expect(refusal(swappedIn)).toMatchObject({
      code: 'AIOT_BUNDLE_TAMPERED',
      message: expect.stringMatching(/bundle\.json does not match its signature/),
    });
  });

  it('is rejected if its manifest describes a different model', () => {
    const manifest = manifestOf(content, options);
    manifest.model!.labels = { walking: ['running'] };
    expect(refusal(packSigned(content, signManifest(manifest, privatePem)))).toMatchObject({
      code: 'AIOT_BUNDLE_TAMPERED',
      message: expect.stringMatching(/manifest\.json describes a different model/),
    });
  });
});

function swapped(): Uint8Array {
  const [, , third, fourth, fifth] = members();
  const part = (from: number, to: number) => signed.subarray(from, to);
  return Buffer.concat([
    part(0, third!.at),
    part(fourth!.at, fifth!.at),
    part(third!.at, fourth!.at),
    part(fifth!.at, signed.length),
  ]);
}

describe('a bundle on disk', () => {
  it('is verified both as a file and as an unpacked folder', async () => {
    const file = join(folder, 'tiny.aiot');
    await writeFile(file, signed);
    const verified = await verifyFile(file, trust, 0);
    expect(verified).toMatchObject({
      name: 'tiny',
      version: 3,
      expired: false,
      golden: { vectors: 1, passed: 1 },
    });
    const unpacked = join(folder, 'unpacked');
    await mkdir(unpacked);
    for (const { name, data } of verifySigned(signed, trust, file).members)
      await writeFile(join(unpacked, name), data);
    expect(await verifyFile(unpacked, trust, 0)).toMatchObject({ digest: verified.digest });
    expect(verified.unsigned).toEqual([]);
    await writeFile(join(unpacked, 'extra.bin'), 'more');
    expect((await verifyFile(unpacked, trust, 0)).unsigned).toEqual(['extra.bin']);
    await rm(join(unpacked, 'extra.bin'));
    const model = await readFile(join(unpacked, 'model.tflite'));
    await rm(join(unpacked, 'model.tflite'));
    await expect(verifyFile(unpacked, trust, 0)).rejects.toMatchObject({
      code: 'AIOT_BUNDLE_TAMPERED',
      message: `${unpacked}: the signed file model.tflite is missing`,
    });
    await writeFile(join(unpacked, 'model.tflite'), model);
    const changed = join(unpacked, 'golden.json');
    const text = await readFile(changed, 'utf8');
    await writeFile(changed, text.replace('10', '11'));
    await expect(verifyFile(unpacked, trust, 0)).rejects.toMatchObject({
      code: 'AIOT_BUNDLE_TAMPERED',
      message: `${unpacked}: golden.json does not match its signature`,
    });
    expect(await readdir(unpacked)).toHaveLength(7);
  });

  it('is rejected if it has no signature', async () => {
    const file = join(folder, 'plain.aiot');
    await writeFile(file, content);
    await expect(verifyFile(file, trust, 0)).rejects.toMatchObject({ code: 'AIOT_SIGNATURE_INVALID' });
  });

  it('is reported as damaged even if it is unsigned', async () => {
    const file = join(folder, 'damaged.aiot');
    for (const at of [600, content.length - 1]) {
      const damaged = Uint8Array.from(content);
      damaged[at]! ^= 1;
      await writeFile(file, damaged);
      await expect(verifyFile(file, trust, 0)).rejects.toMatchObject({
        code: 'AIOT_BUNDLE_MALFORMED',
        message: expect.stringContaining(`${file}: `),
      });
    }
    await writeFile(file, content.subarray(0, 2000));
    await expect(verifyFile(file, trust, 0)).rejects.toMatchObject({ code: 'AIOT_BUNDLE_MALFORMED' });
  });

  it('is reported as expired after its expiry time', async () => {
    const file = join(folder, 'old.aiot');
    const manifest = manifestOf(content, { ...options, expires: 1_800_000_000_000 });
    await writeFile(file, packSigned(content, signManifest(manifest, privatePem)));
    expect((await verifyFile(file, trust, 1_800_000_000_001)).expired).toBe(true);
  });
});
