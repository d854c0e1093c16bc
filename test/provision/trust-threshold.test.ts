import { generateKeyPairSync } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../src/lib/api/context.js';
import { signatureResultSchema, signedRelease } from '../../src/lib/api/signatures.js';
import { digestOf, generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import type { Envelope } from '../../src/lib/formats/manifest/envelope.js';
import { peekManifest, signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { boardMemory } from '../../src/lib/model/bundle/board-memory.js';
import { pushResultSchema, signResultSchema } from '../../src/lib/model/publish/push.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { trustChangeSchema } from '../../src/lib/provision/trust.js';
import { tinyBundle } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let roots: string[];
const [bob, eve] = [generateKeyPair().privatePem, generateKeyPair().privatePem];
const files: Record<string, string> = {};
const pem = (privatePem: string) =>
  `-----BEGIN PUBLIC KEY-----\n${publicKeyOf(privatePem)}\n-----END PUBLIC KEY-----\n`;

beforeAll(async () => {
  own = await upForTests();
  const out = join(own.folder, 'offline');
  for (const [name, bytes] of Object.entries({
    bob: pem(bob),
    eve: pem(eve),
    first: tinyBundle(),
    second: tinyBundle('tiny', 1),
  })) {
    files[name] = join(own.folder, name.length === 3 ? `${name}.pub` : `${name}.aiot`);
    await writeFile(files[name], bytes);
  }
  await runCli(['trust', 'init', '--keys', '2', '--threshold', '2', '--out', out]);
  roots = (await readdir(out)).flatMap((name) => ['--root-key', join(out, name)]);
});
afterAll(() => own.stop());

const push = (file: string) => ['model', 'push', file, '--name', 'tiny'];
const sign = (file: string) => ok(signatureResultSchema, ['trust', 'sign', file, '--yes']);
const look = (file: string) => ok(signatureResultSchema, ['trust', 'sign', file, '--dry-run']);
/** The path of the manifest that a rejected push has written. */
const leftBy = ({ message }: { message: string }) => /its manifest is in (\S+)$/.exec(message)?.[1] ?? '';
const publish = (envelope: Envelope) => withClient('local', (client) => client.models.push('tiny', envelope));
const cosigned = async (file: string, privatePem: string): Promise<Envelope> => {
  const envelope = JSON.parse(await readFile(file, 'utf8')) as Envelope;
  const [signature] = signManifest(peekManifest(envelope), privatePem).signatures;
  return { ...envelope, signatures: [...envelope.signatures, signature!] };
};

describe('a release that needs two of three signatures', () => {
  it('requires a root with three signing keys and a threshold of two', async () => {
    expect(await ok(pushResultSchema, push(files.first ?? ''))).toMatchObject({ version: 1 });
    const others = ['--targets-key', files.bob ?? '', '--targets-key', files.eve ?? ''];
    const rotate = ['trust', 'rotate', '--yes', '--role', 'targets', ...roots];
    expect(await refusal([...rotate, '--threshold', '2'])).toMatchObject({ code: 'AIOT_USAGE' });
    expect(
      await refusal([...rotate.slice(0, 2), '--role', 'root', ...roots, '--threshold', '2']),
    ).toMatchObject({
      code: 'AIOT_USAGE',
    });
    const other = join(own.folder, 'ed25519.pub');
    const { publicKey } = generateKeyPairSync('ed25519');
    await writeFile(other, publicKey.export({ type: 'spki', format: 'pem' }));
    expect(await refusal([...rotate, ...others, '--targets-key', other])).toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: `${other} is not a public ECDSA P-256 key in PEM`,
    });
    const many = Array.from({ length: 8 }, () => ['--targets-key', files.bob ?? '']).flat();
    expect(await refusal([...rotate, ...many])).toMatchObject({ code: 'AIOT_USAGE' });
    const changed = await ok(trustChangeSchema, [...rotate, ...others, '--threshold', '2']);
    expect(changed.added).toHaveLength(3);
    expect((await runCli(['trust', 'status'])).stdout).toMatch(/targets +2 of 3/);
  });

  it('is not published by a push alone, but with the second signature', async () => {
    const refused = await refusal(push(files.second ?? ''));
    expect(refused).toMatchObject({ code: 'AIOT_SIGNATURES_MISSING' });
    expect(refused.message).toContain('tiny@2 has 1 of 2 signatures');
    expect(await refusal(['model', 'show', 'tiny@2'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });
    const file = leftBy(refused);
    expect(basename(file)).toMatch(/^model-tiny-2\.2\.[0-9a-f]{8}-[0-9a-f]{8}\.manifest\.json$/);
    expect(await sign(file)).toMatchObject({ signed: 1, wanted: 2, published: false });
    await writeFile(file, JSON.stringify(await cosigned(file, bob)));
    expect(await sign(file)).toMatchObject({ name: 'tiny', version: 2, signed: 2, published: true });
    expect((await runCli(['model', 'show', 'tiny@2', '--json'])).json).toMatchObject({
      version: 2,
      trusted: true,
    });
  });

  it('is shown before signing, and signed only after confirmation', async () => {
    const file = leftBy(await refusal(push(files.first ?? '')));
    const before = await readFile(file, 'utf8');
    const release = {
      kind: 'model',
      name: 'tiny',
      version: 3,
      sequence: 3,
      deviceTypes: expect.arrayContaining(['virtual', 'pi', ...Object.keys(boardMemory)]),
    };
    const artifacts = [{ digest: digestOf(tinyBundle()), blob: 'right' }];
    const shown = {
      signed: 1,
      wanted: 2,
      published: false,
      dryRun: true,
      release: { ...release, artifacts },
    };
    expect(await look(file)).toMatchObject(shown);
    const { stdout } = await runCli(['trust', 'sign', file, '--dry-run', '--no-color']);
    expect(stdout).toMatch(/To sign +model tiny@3\n/);
    expect(stdout).toContain(digestOf(tinyBundle()));
    expect(stdout).toContain("the platform's content is identical");

    const refused = await refusal(['trust', 'sign', file]);
    expect(refused).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
    expect(refused.message).toContain(
      `confirm with --yes: this will sign model tiny@3 (${digestOf(tinyBundle())})`,
    );
    expect(await readFile(file, 'utf8')).toBe(before);

    const digest = digestOf('nowhere');
    const other = { ...peekManifest(JSON.parse(before)), artifacts: [{ name: 'x', digest, bytes: 7 }] };
    const strange = join(own.folder, 'strange.json');
    await writeFile(strange, JSON.stringify(signManifest(other, bob)));
    expect(await look(strange)).toMatchObject({ release: { artifacts: [{ digest, blob: 'missing' }] } });
    const hiding = { ...other, deviceTypes: ['esp32\u001b[2K'] };
    await writeFile(strange, JSON.stringify(signManifest(hiding, bob)));
    expect((await runCli(['trust', 'sign', strange, '--dry-run', '--no-color'])).stdout).not.toContain(
      '\u001b',
    );
    const text = JSON.stringify(other).replace('"version":3', '"version":9,"version":3');
    const twice = { payload: Buffer.from(text).toString('base64'), signatures: [{ keyid: 'x', sig: '' }] };
    await writeFile(strange, JSON.stringify(twice));
    expect(await refusal(['trust', 'sign', strange, '--dry-run'])).toMatchObject({
      code: 'AIOT_MANIFEST_MALFORMED',
      message: `${strange}: expected JSON as written by aiot, with unique fields`,
    });
  });

  it('keeps gathered signatures, whatever else is pushed', async () => {
    const file = leftBy(await refusal(push(files.first ?? '')));
    const gathered = JSON.stringify(await cosigned(file, bob));
    await writeFile(file, gathered);
    expect(leftBy(await refusal(push(files.second ?? '')))).not.toBe(file);
    expect(await readFile(file, 'utf8')).toBe(gathered);

    const envelope = JSON.parse(gathered) as Envelope;
    const key = await operatorKey('local');
    await withClient('local', async (client) => {
      const again = signedRelease(client, peekManifest(envelope), key);
      await expect(again).rejects.toMatchObject({ code: 'AIOT_SIGNATURES_MISSING' });
    });
    const { signatures } = JSON.parse(await readFile(file, 'utf8')) as Envelope;
    expect(signatures.map(({ keyid }) => keyid).sort()).toEqual(
      envelope.signatures.map(({ keyid }) => keyid).sort(),
    );
  });

  it('can be signed again if it was signed before the keys changed', async () => {
    const unseen = await refusal(['model', 'deploy', 'tiny@1', '--selector', 'all']);
    expect(unseen).toMatchObject({ code: 'AIOT_SIGNATURE_INVALID', exit: 5 });
    expect(await refusal(['model', 'sign', 'tiny@1'])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
    const refused = await refusal(['model', 'sign', 'tiny@1', '--yes']);
    expect(refused).toMatchObject({ code: 'AIOT_SIGNATURES_MISSING' });
    const file = leftBy(refused);
    await writeFile(file, JSON.stringify(await cosigned(file, eve)));
    expect(await sign(file)).toMatchObject({ version: 1, sequence: 3, published: true });
    expect(await ok(signResultSchema, ['model', 'sign', 'tiny@1'])).toMatchObject({
      unchanged: true,
      sequence: 3,
    });
  });

  it('cannot be published with a single stolen key', async () => {
    const file = leftBy(await refusal(push(files.first ?? '')));
    const stolen = JSON.parse(await readFile(file, 'utf8')) as Envelope;
    const [mine] = stolen.signatures;
    const stranger = await cosigned(file, generateKeyPair().privatePem);
    const renamed = {
      ...stranger,
      signatures: [mine!, { ...mine!, keyid: (await cosigned(file, bob)).signatures[1]!.keyid }],
    };
    const twice = { ...stolen, signatures: [mine!, mine!] };
    for (const envelope of [stolen, stranger, renamed, twice]) {
      await expect(publish(envelope)).rejects.toMatchObject({ code: 'AIOT_SIGNATURE_INVALID' });
    }
    // With the other signature, the same manifest is accepted, so nothing else was wrong with it.
    await expect(publish(await cosigned(file, bob))).resolves.toMatchObject({ version: 3 });
  });

  it('cannot be signed from a malformed or missing manifest', async () => {
    const bare = join(own.folder, 'no.json');
    await writeFile(bare, '{}');
    expect(await refusal(['trust', 'sign', bare])).toMatchObject({ code: 'AIOT_MANIFEST_MALFORMED' });
    expect(await refusal(['trust', 'sign', join(own.folder, 'none.json')])).toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
    });
  });
});
