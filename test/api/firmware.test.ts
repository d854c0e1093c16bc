import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import { firmwareListSchemas, firmwareVersionSchema } from '../../src/lib/api/contract/releases.js';
import { fetchFirmware, pulledFirmwareSchema } from '../../src/lib/api/firmware/fetch.js';
import { pushedFirmwareSchema } from '../../src/lib/api/firmware/push.js';
import { digestOf, generateKeyPair } from '../../src/lib/core/crypto.js';
import { peekManifest, signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { runCli } from '../support/cli.js';
import { elfOf } from '../support/elf-file.js';
import { described, espApp, espBootloader, espImage } from '../support/esp-image.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

/** An app of the secure version 3. */
const secureApp = espImage({ address: 0x3f40_0020, starts: described('vault', '1.0.0', 3) });

let own: UpForTests;
let client: RegistryClient;
const at = (...parts: string[]) => join(own.folder, ...parts);
beforeAll(async () => {
  own = await upForTests();
  client = await clientFor();
  await writeFile(at('app.bin'), espApp('esp32'));
  await writeFile(at('app2.bin'), espApp('esp32', 4096));
  await writeFile(at('c3.bin'), espApp('esp32c3'));
  await writeFile(at('secure.bin'), secureApp);
  await writeFile(at('boot.bin'), espBootloader('esp32'));
  await writeFile(at('cut.bin'), espApp('esp32').subarray(0, 1500));
});
afterAll(async () => {
  await client.close();
  await own.stop();
});

describe('the firmware registry', () => {
  it('accepts images signed locally, numbers them, and returns them byte for byte', async () => {
    const push = (file: string, ...more: string[]) =>
      ok(pushedFirmwareSchema, ['firmware', 'push', at(file), ...more]);
    expect(await push('app.bin', '--name', 'motor')).toMatchObject({
      ...{ name: 'motor', version: 1, sequence: 1, chip: 'esp32', deviceTypes: ['esp32'] },
      digest: digestOf(espApp('esp32')),
    });
    expect(await push('app2.bin', '--name', 'motor', '--types', 'esp32,pump')).toMatchObject({
      ...{ version: 2, sequence: 2, deviceTypes: ['esp32', 'pump'] },
    });
    expect(await push('c3.bin', '--name', 'probe')).toMatchObject({
      version: 1,
      sequence: 3,
      chip: 'esp32c3',
    });
    const list = await ok(firmwareListSchemas.firmware.shape.firmware, ['firmware', 'list']);
    expect(list.map(({ name, versions }) => [name, versions])).toEqual([
      ['motor', 2],
      ['probe', 1],
    ]);
    expect(await ok(firmwareVersionSchema, ['firmware', 'show', 'motor'])).toMatchObject({ version: 2 });
    expect(await ok(firmwareVersionSchema, ['firmware', 'show', 'motor@1'])).toMatchObject({ version: 1 });
    const argv = ['firmware', 'pull', 'motor@2', '--out', at('pulled.bin')];
    expect(await ok(pulledFirmwareSchema, argv)).toMatchObject({ version: 2, file: at('pulled.bin') });
    expect(await readFile(at('pulled.bin'))).toEqual(await readFile(at('app2.bin')));
    const { bytes } = await fetchFirmware(client, 'motor@1');
    expect(digestOf(bytes)).toBe(digestOf(espApp('esp32')));
  });

  it('uploads the ELF file of the same build with an image, and rejects that of another build', async () => {
    const elf = elfOf('esp32', 0x4008_0000, [{ name: '.debug_line', address: 0, data: new Uint8Array(0) }]);
    const starts = described('mill', '1.0.0');
    starts.splice(144, 32, ...createHash('sha256').update(elf).digest());
    await writeFile(at('mill.elf'), elf);
    await writeFile(at('mill.bin'), espImage({ address: 0x3f40_0020, starts }));
    const pushed = await ok(pushedFirmwareSchema, [
      'firmware',
      'push',
      at('mill.bin'),
      '--elf',
      at('mill.elf'),
    ]);
    const build = digestOf(elf).slice('sha256:'.length);
    expect(pushed).toMatchObject({
      version: 1,
      symbols: { file: at('mill.elf'), builds: [build], lines: true },
    });
    const { stdout } = await runCli(['firmware', 'push', at('mill.bin'), '--elf', at('mill.elf')]);
    expect(stdout).toMatch(/Pushed mill@2[\s\S]*Uploaded .*mill\.elf with 0 functions/);

    const other = ['firmware', 'push', at('secure.bin'), '--elf', at('mill.elf')];
    expect(await refusal(other)).toMatchObject({
      code: 'AIOT_USAGE',
      message: expect.stringContaining('mill.elf is not of the same build as'),
    });
    expect(await refusal(['firmware', 'push', at('mill.bin'), '--elf', at('no.elf')])).toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
    });
    const list = await ok(firmwareListSchemas.firmware.shape.firmware, ['firmware', 'list']);
    expect(list.filter(({ name }) => name === 'mill' || name === 'vault')).toMatchObject([
      { name: 'mill', versions: 2 },
    ]);
  });

  it("signs an image's secure version into the manifest, also when it is signed again", async () => {
    const pushed = await ok(pushedFirmwareSchema, ['firmware', 'push', at('secure.bin')]);
    expect(pushed).toMatchObject({ name: 'vault', secureVersion: 3 });
    const signed = await client.firmware.manifest('vault', 1);
    expect(peekManifest(signed)).toMatchObject({ secureVersion: 3 });
    const key = await operatorKey((await contextFor()).name);
    const { sequence } = await client.firmware.next('vault');
    const { secureVersion: _, ...without } = { ...peekManifest(signed), sequence };
    await expect(client.firmware.sign('vault', 1, signManifest(without, key))).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
  });

  it.each([
    ['a damaged image', ['push', 'cut.bin', '--name', 'x'], 'AIOT_IMAGE_MALFORMED', 2],
    ['a missing image', ['push', 'no.bin'], 'AIOT_FILE_NOT_FOUND', 4],
    ['a bootloader without a name', ['push', 'boot.bin'], 'AIOT_USAGE', 2],
    ['an invalid name', ['push', 'app.bin', '--name', 'a/b'], 'AIOT_USAGE', 2],
    ['an invalid type', ['push', 'app.bin', '--name', 'x', '--types', 'a b'], 'AIOT_USAGE', 2],
    [
      "a secure version that differs from the image's",
      ['push', 'secure.bin', '--secure-version', '4'],
      'AIOT_USAGE',
      2,
    ],
    ['a malformed version', ['show', 'motor@one'], 'AIOT_USAGE', 2],
    ['an unknown version', ['show', 'motor@9'], 'AIOT_NOT_FOUND', 4],
    ['unknown firmware', ['pull', 'nothing', '--out', 'x.bin'], 'AIOT_NOT_FOUND', 4],
    [
      'signatures by another key',
      ['pull', 'motor', '--out', 'x.bin', '--trust', 'other.json'],
      'AIOT_SIGNATURE_INVALID',
      5,
    ],
  ])('rejects %s', async (_, argv, code, exit) => {
    const { trustRootOf } = await import('../../src/lib/formats/manifest/envelope.js');
    const { publicKeyOf } = await import('../../src/lib/core/crypto.js');
    const stranger = trustRootOf(publicKeyOf(generateKeyPair().privatePem));
    await writeFile(at('other.json'), JSON.stringify(stranger));
    const placed = argv.map((word) => (/\.(bin|json)$/.test(word) ? at(word) : word));
    expect(await refusal(['firmware', ...placed])).toMatchObject({ code, exit });
    expect(existsSync(at('x.bin'))).toBe(false);
  });

  it('rejects a manifest of another kind, name, sequence or content', async () => {
    const bytes = espApp('esp32');
    const key = await operatorKey((await contextFor()).name);
    const manifest = {
      spec: 'aiot-manifest/1' as const,
      role: 'release' as const,
      kind: 'firmware' as const,
      name: 'motor',
      ...(await client.firmware.next('motor')),
      floor: 0,
      issued: Date.now(),
      expires: null,
      deviceTypes: ['esp32'],
      artifacts: [{ name: 'app.bin', digest: digestOf(bytes), bytes: bytes.length }],
    };
    const refused = async (change: object, code: string, by = key) =>
      expect(
        client.firmware.push('motor', signManifest({ ...manifest, ...change }, by)),
      ).rejects.toMatchObject({
        code,
      });
    await refused({ kind: 'model' }, 'AIOT_REQUEST_INVALID');
    await refused({ name: 'probe' }, 'AIOT_REQUEST_INVALID');
    await refused({ sequence: manifest.sequence + 1 }, 'AIOT_VERSION_CONFLICT');
    await refused({ version: manifest.version + 1 }, 'AIOT_VERSION_CONFLICT');
    await refused({ artifacts: [{ ...manifest.artifacts[0]!, bytes: 1 }] }, 'AIOT_DIGEST_MISMATCH');
    const absent = digestOf('absent');
    await refused({ artifacts: [{ ...manifest.artifacts[0]!, digest: absent }] }, 'AIOT_NOT_FOUND');
    const noImage = Buffer.from('no image at all, and long enough to be looked at');
    await client.blobs.put(digestOf(noImage), noImage);
    const junk = [{ name: 'app.bin', digest: digestOf(noImage), bytes: noImage.length }];
    await refused({ artifacts: junk }, 'AIOT_IMAGE_MALFORMED');
    await refused({ secureVersion: 1 }, 'AIOT_REQUEST_INVALID');
    await refused({}, 'AIOT_SIGNATURE_INVALID', generateKeyPair().privatePem);
    const envelope = signManifest(manifest, key);
    const first = await client.firmware.push('motor', envelope);
    expect(await client.firmware.push('motor', envelope)).toEqual(first);
  });
});
