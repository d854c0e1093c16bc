import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { pushedConfigSchema } from '../../src/lib/api/config/push.js';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import { configListSchemas, configVersionSchema } from '../../src/lib/api/contract/releases.js';
import { digestOf, generateKeyPair } from '../../src/lib/core/crypto.js';
import { peekManifest, signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let client: RegistryClient;
const at = (name: string) => join(own.folder, name);
beforeAll(async () => {
  own = await upForTests();
  client = await clientFor();
  await writeFile(at('slow.json'), '{"spec":"aiot-config/1","sampleHz":10}');
  await writeFile(at('fast.json'), '{"spec":"aiot-config/1","sampleHz":100,"rule":{"onAbove":0.9}}');
});
afterAll(async () => {
  await client.close();
  await own.stop();
});

describe('the configuration registry', () => {
  it('accepts documents signed locally, numbers them, and shows them with their defaults', async () => {
    const first = ['device', 'config', 'push', at('slow.json'), '--name', 'pump'];
    expect(await ok(pushedConfigSchema, first)).toMatchObject({
      version: 1,
      sequence: 1,
      file: at('slow.json'),
    });
    const second = ['device', 'config', 'push', at('fast.json'), '--name', 'pump', '--types', 'pump'];
    expect(await ok(pushedConfigSchema, second)).toMatchObject({
      version: 2,
      sequence: 2,
      deviceTypes: ['pump'],
    });
    const list = await ok(configListSchemas.configs.shape.configs, ['device', 'config', 'list']);
    expect(list).toMatchObject([{ name: 'pump', versions: 2, latest: { version: 2 } }]);
    expect(await ok(configVersionSchema, ['device', 'config', 'show', 'pump'])).toMatchObject({
      ...{
        version: 2,
        config: { sampleHz: 100, rule: { onAbove: 0.9, offBelow: 0.7 }, mqtt: { keepAliveS: 30 } },
      },
    });
  });

  it.each([
    ['invalid JSON', '{', 'AIOT_CONFIG_MALFORMED', /expected JSON/],
    ['an unknown member', '{"spec":"aiot-config/1","rate":1}', 'AIOT_CONFIG_MALFORMED', /rate/],
    ['a missing spec', '{"sampleHz":1}', 'AIOT_CONFIG_MALFORMED', /spec/],
    [
      'an out-of-range number',
      '{"spec":"aiot-config/1","mqtt":{"keepAliveS":1}}',
      'AIOT_CONFIG_MALFORMED',
      /mqtt.keepAliveS/,
    ],
    [
      'inverted thresholds',
      '{"spec":"aiot-config/1","rule":{"onAbove":0.1}}',
      'AIOT_CONFIG_MALFORMED',
      /rule.offBelow/,
    ],
  ])('rejects %s, and reports its location', async (_, text, code, where) => {
    await writeFile(at('bad.json'), text);
    const told = await refusal(['device', 'config', 'push', at('bad.json'), '--name', 'pump']);
    expect(told).toMatchObject({ code, exit: 2 });
    expect(JSON.stringify(told)).toMatch(where);
  });

  it('rejects invalid names and versions', async () => {
    const push = ['device', 'config', 'push', at('slow.json'), '--name'];
    expect(await refusal([...push, 'a/b'])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
    expect(await refusal(['device', 'config', 'show', 'pump@one'])).toMatchObject({
      code: 'AIOT_USAGE',
      exit: 2,
    });
    expect(await refusal(['device', 'config', 'show', 'none'])).toMatchObject({
      code: 'AIOT_NOT_FOUND',
      exit: 4,
    });
    const deploy = ['device', 'config', 'deploy', 'pump@1', '--selector', 'all'];
    expect(await refusal(deploy)).toMatchObject({ code: 'AIOT_ROLLOUT_EMPTY' });
  });

  it('keeps the manifest that a rollout began with when a version is re-signed', async () => {
    const key = await operatorKey((await contextFor()).name);
    const { sequence } = await client.configs.get('pump', 1);
    const manifest = peekManifest(await client.configs.manifest('pump', 1));
    const next = (await client.configs.next('pump')).sequence;
    const refused = (change: object, code: string, by = key) =>
      expect(
        client.configs.sign('pump', 1, signManifest({ ...manifest, sequence: next, ...change }, by)),
      ).rejects.toMatchObject({ code });
    await refused({ sequence: next + 1 }, 'AIOT_VERSION_CONFLICT');
    await refused({ version: 2 }, 'AIOT_REQUEST_INVALID');
    await refused({ deviceTypes: ['other'] }, 'AIOT_REQUEST_INVALID');
    const other = { name: 'config.json', digest: digestOf('other'), bytes: 5 };
    await refused({ artifacts: [other] }, 'AIOT_REQUEST_INVALID');
    await refused({}, 'AIOT_SIGNATURE_INVALID', generateKeyPair().privatePem);
    const signed = signManifest({ ...manifest, sequence: next }, key);
    expect(await client.configs.sign('pump', 1, signed)).toMatchObject({ version: 1, sequence: next });
    expect(await client.configs.sign('pump', 1, signed)).toMatchObject({ version: 1, sequence: next });
    expect(await client.configs.manifest('pump', 1)).toEqual(signed);
    expect(peekManifest(await client.configs.manifest('pump', 1, sequence))).toEqual(manifest);
    await expect(client.configs.manifest('pump', 1, 99)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });
});
