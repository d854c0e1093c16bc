import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { guideProvisionedSchema } from '../../src/lib/api/guide/provision.js';
import { shownContextSchema } from '../../src/lib/core/contexts.js';
import { guideModelSchema, guidePulledSchema, guidePushedSchema } from '../../src/lib/model/publish/guide.js';
import { tinyBundle } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { ask } from '../support/guide.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let ca: string;
const at = (name: string) => join(own.folder, name);
const add = (name: string, url: string | undefined, ...more: string[]) => [
  'context',
  'add',
  name,
  '--kind',
  'architects-guide',
  '--url',
  url ?? '',
  ...more,
];

beforeAll(async () => {
  own = await upForTests({ compat: ['architects-guide'] });
  ca = await readFile(own.ca, 'utf8');
  await writeFile(at('tiny.aiot'), tinyBundle());
}, 30_000);

afterAll(() => own?.stop());

describe('a context for an installation of the guide', () => {
  it('supports device provision and model push, list and pull', async () => {
    const added = await ok(shownContextSchema, [...add('boards', own.guide?.devices, '--ca', own.ca)]);
    expect(added).toMatchObject({ kind: 'architects-guide', token: false, mqtt: null });
    const known = await ok(guideProvisionedSchema, [
      ...['device', 'provision', '--mac', '24:0a:c4:da:b6:b0', '--context', 'boards'],
    ]);
    expect(known).toMatchObject({ chipId: '14333616', confirmed: true });
    await ok(shownContextSchema, add('models', own.guide?.models, '--ca', own.ca));
    const pushed = await ok(guidePushedSchema, ['model', 'push', at('tiny.aiot'), '--context', 'models']);
    expect(pushed).toMatchObject({ bytes: 11_148, whole: true });
    expect(pushed.name).toMatch(/^\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d-model\.tflite$/);
    const there = await ask(own.guide?.models ?? '', `/quantized/${pushed.name}`, { ca });
    expect(there.body).toHaveLength(11_148);
    const listed = await ok(z.array(guideModelSchema), ['model', 'list', '--context', 'models']);
    expect(listed.map(({ name }) => name)).toContain(pushed.name);
    const pull = ['model', 'pull', pushed.name, '--out', at('pulled'), '--context', 'models'];
    const pulled = await ok(guidePulledSchema, pull);
    expect(pulled).toMatchObject({ name: pushed.name, digest: pushed.digest, unchanged: false });
    expect(await readFile(pulled.file)).toEqual(there.body);
    expect(await ok(guidePulledSchema, pull)).toMatchObject({ unchanged: true });
    await writeFile(pulled.file, 'mine');
    expect(await refusal(pull)).toMatchObject({ code: 'AIOT_FOLDER_NOT_EMPTY' });
    expect(await readFile(pulled.file, 'utf8')).toBe('mine');
    const latest = ['model', 'pull', 'latest', '--out', at('latest'), '--context', 'models'];
    expect(await ok(guidePulledSchema, latest)).toMatchObject({ name: listed.at(-1)?.name });
    const none = ['model', 'pull', 'none.tflite', '--out', at('none'), '--context', 'models'];
    expect(await refusal(none)).toMatchObject({ code: 'AIOT_NOT_FOUND', exit: 4 });
    const { stdout } = await runCli(['model', 'push', at('tiny.aiot'), '--context', 'models']);
    expect(stdout).toContain('download-model');
  });

  it('accepts only the certificate with the given fingerprint', async () => {
    const shown = await new Promise<string>((resolve, reject) => {
      const { hostname, port } = new URL(own.guide?.devices ?? '');
      const socket = connect({ host: hostname, port: Number(port), ca }, () => {
        resolve(new X509Certificate(socket.getPeerCertificate().raw).fingerprint256);
        socket.destroy();
      });
      socket.on('error', reject);
    });
    await ok(shownContextSchema, add('pinned', own.guide?.devices, '--fingerprint', shown));
    const provision = ['device', 'provision', '--chip-id', '5'];
    await ok(guideProvisionedSchema, [...provision, '--context', 'pinned']);
    await ok(shownContextSchema, add('other', own.guide?.devices, '--fingerprint', 'ab'.repeat(32)));
    await ok(shownContextSchema, add('blind', own.guide?.devices));
    for (const context of ['other', 'blind']) {
      const refused = await refusal([...provision, '--context', context]);
      expect(refused, context).toMatchObject({ code: 'AIOT_PLATFORM_UNTRUSTED' });
    }
  });

  it('is rejected by unsupported commands and with unsupported options', async () => {
    const [kind, usage] = [
      { code: 'AIOT_CONTEXT_KIND', exit: 2 },
      { code: 'AIOT_USAGE', exit: 2 },
    ];
    expect(await refusal(['device', 'list', '--context', 'boards'])).toMatchObject(kind);
    expect(await refusal(['device', 'provision', 'pump', '--context', 'boards'])).toMatchObject(usage);
    expect(await refusal(add('x', own.guide?.devices, '--mqtt', 'mqtts://h:1'))).toMatchObject(usage);
    expect(await refusal(add('x', own.guide?.devices, '--fingerprint', 'xyz'))).toMatchObject(usage);
    const plain = ['context', 'add', 'x', '--url', own.url, '--fingerprint', 'ab'.repeat(32)];
    expect(await refusal(plain)).toMatchObject(usage);
  });
});
