import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { packSigned } from '../../src/lib/model/bundle/signed-bundle.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { tableBundle } from '../support/any-bundle.js';
import { describeReal } from '../support/real.js';

describeReal('openssl', 'a signed bundle processed by tar, sha256sum and OpenSSL', () => {
  const { privatePem, publicPem } = generateKeyPair();
  let folder: string;
  const run = (program: string, ...args: string[]) => {
    const { stdout, stderr, status } = spawnSync(program, args, { cwd: folder, encoding: 'utf8' });
    return { out: stdout + stderr, status };
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-signed-'));
    const { bytes } = tableBundle('reconstruction', 'int16x8');
    const signed = { name: 'table', version: 1, sequence: 1, issued: 1, expires: null, deviceTypes: ['pi'] };
    const envelope = signManifest(manifestOf(bytes, signed), privatePem);
    await writeFile(join(folder, 'table-1.aiot'), packSigned(bytes, envelope));
    await writeFile(join(folder, 'operator.pub.pem'), publicPem);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('is unpacked, matches its checksums, and verifies over the exact bytes of its manifest', async () => {
    expect(run('tar', '-xf', 'table-1.aiot')).toEqual({ out: '', status: 0 });
    expect(run('sha256sum', '-c', 'SHA256SUMS').status).toBe(0);
    const [signature] = JSON.parse(await readFile(join(folder, 'signatures.json'), 'utf8'));
    await writeFile(join(folder, 'manifest.sig'), Buffer.from(signature.sig, 'base64'));
    const verify = ['dgst', '-sha256', '-verify', 'operator.pub.pem', '-signature', 'manifest.sig'];
    expect(run('openssl', ...verify, 'manifest.json')).toEqual({ out: 'Verified OK\n', status: 0 });
    const changed = await readFile(join(folder, 'manifest.json'));
    changed[40] = changed[40]! ^ 1;
    await writeFile(join(folder, 'changed.json'), changed);
    expect(run('openssl', ...verify, 'changed.json').status).toBe(1);
    const { files } = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
    for (const { name, sha256 } of files) expect(run('sha256sum', name).out).toBe(`${sha256}  ${name}\n`);
  });
});
