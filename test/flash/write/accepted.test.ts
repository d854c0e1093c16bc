import { describe, expect, it } from 'vitest';
import { digestOf, generateKeyPair, publicKeyOf } from '../../../src/lib/core/crypto.js';
import { flashSlot } from '../../../src/lib/flash/write/flash-slot.js';
import { trustRootOf } from '../../../src/lib/formats/manifest/envelope.js';
import { signManifest } from '../../../src/lib/formats/manifest/manifest.js';
import { deviceImage } from '../../../src/lib/provision/device-image.js';
import { espApp } from '../../support/esp-image.js';
import { twoSlotsTable } from '../plan/support.js';
import { anyLoader, FakeBoard } from './fake-board.js';

const owner = generateKeyPair().privatePem;
const data = espApp();

function envelope(deviceTypes: string[], key = owner) {
  const artifacts = [{ name: 'app.bin', digest: digestOf(data), bytes: data.length }];
  return signManifest(
    {
      ...{ spec: 'aiot-manifest/1', role: 'release', kind: 'firmware', name: 'motor', version: 3 },
      ...{ sequence: 1, floor: 0, issued: 1, expires: null, deviceTypes, artifacts },
    },
    key,
  );
}

/** A board provisioned as a pump. */
function pump(trusted = true) {
  const image = deviceImage(
    {
      ...{ name: 'pump-1', id: 'dev_1', type: 'pump', chip: 'esp32', chipId: null },
      ...{ key: 'KEY', certificate: 'CERTIFICATE' },
    },
    {
      ...{ wifi: null, release: { sequence: 0, floor: 0 } },
      platform: { http: 'https://a', mqtts: 'mqtts://a', ca: 'CA' },
      trust: trusted ? trustRootOf(publicKeyOf(owner)) : null,
      ...{ version: 2, table: null, flashBytes: 4 * 1024 * 1024, encrypt: false },
    },
  );
  return new FakeBoard()
    .put(image.partitions.offset, image.partitions.data)
    .put(image.nvs.offset, image.nvs.data);
}

function update(to: FakeBoard, signed: ReturnType<typeof envelope>, force = false) {
  const image = { name: 'motor@3', data, envelope: signed };
  return flashSlot(
    { image, slot: 'next', verify: false, force },
    { port: 'fake', loader: anyLoader, open: to.opener() },
  );
}

describe('registry firmware flashed over the cable', () => {
  it.each<[string, FakeBoard, ReturnType<typeof envelope>]>([
    ['for the board’s device type', pump(), envelope(['motor', 'pump'])],
    ['for its chip', pump(), envelope(['esp32'])],
    ['on a board without a trust root', pump(false), envelope(['pump'], generateKeyPair().privatePem)],
    ['on a board without an identity', new FakeBoard().put(0x8000, twoSlotsTable), envelope(['motor'])],
    [
      'on a board whose NVS holds foreign data',
      new FakeBoard().put(0x8000, twoSlotsTable).put(0x9000, Buffer.alloc(0x5000, 0x5a)),
      envelope(['motor']),
    ],
  ])('is accepted %s', async (_, at, signed) => {
    expect((await update(at, signed)).overridden).toEqual([]);
  });

  it.each<[string, FakeBoard, ReturnType<typeof envelope>, string]>([
    ['for another device type', pump(), envelope(['motor']), 'AIOT_UPDATE_DEVICE_TYPE'],
    [
      'for another device type, on a board without a trust root',
      pump(false),
      envelope(['motor']),
      'AIOT_UPDATE_DEVICE_TYPE',
    ],
    [
      'if it is signed with an unknown key',
      pump(),
      envelope(['pump'], generateKeyPair().privatePem),
      'AIOT_SIGNATURE_INVALID',
    ],
  ])('is rejected %s, with nothing written, unless forced', async (_, at, signed, code) => {
    await expect(update(at, signed)).rejects.toMatchObject({ code });
    expect(at.log.filter((line) => line.startsWith('write'))).toEqual([]);
    const forced = await update(at, signed, true);
    expect(forced.overridden).toEqual([
      { rule: 'release', region: 'motor@3', message: expect.stringMatching(/^motor@3/) },
    ]);
  });
});
