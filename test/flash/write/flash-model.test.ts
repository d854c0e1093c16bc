import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { boardInfoText, flashedText } from '../../../src/lib/cli/render/board.js';
import { generateKeyPair, publicKeyOf } from '../../../src/lib/core/crypto.js';
import { boardInfo } from '../../../src/lib/flash/board-info.js';
import { flashModel, type SlotOptions } from '../../../src/lib/flash/write/flash-slot.js';
import { trustRootOf } from '../../../src/lib/formats/manifest/envelope.js';
import { signManifest } from '../../../src/lib/formats/manifest/manifest.js';
import { readNvs } from '../../../src/lib/formats/nvs/read.js';
import { unpackAny } from '../../../src/lib/model/bundle/pack.js';
import { packSigned } from '../../../src/lib/model/bundle/signed-bundle.js';
import { manifestOf, networkBundle } from '../../../src/lib/model/publish/push.js';
import { deviceImage } from '../../../src/lib/provision/device-image.js';
import { tableBundle } from '../../support/any-bundle.js';
import { root } from '../../support/cli.js';
import { twoSlotsTable } from '../plan/support.js';
import { anyLoader, FakeBoard } from './fake-board.js';

const owner = generateKeyPair().privatePem;
const slots = [0x310000, 0x370000];
let content: Uint8Array;
beforeAll(() => {
  content = tableBundle('classes', 'int8').bytes;
});

function signed(
  changes: {
    name?: string;
    sequence?: number;
    floor?: number;
    deviceTypes?: string[];
    expires?: number | null;
    interface?: number;
  } = {},
  key = owner,
  own = content,
) {
  const options = {
    name: 'table',
    version: 3,
    sequence: 9,
    issued: 1,
    expires: null,
    deviceTypes: ['motor'],
  };
  const { interface: needed, ...named } = changes;
  const manifest = manifestOf(own, { ...options, ...named });
  return packSigned(own, signManifest({ ...manifest, interface: needed ?? manifest.interface }, key));
}

/** A provisioned board. */
function board({ encrypt = false, trusted = true, floor = 5 } = {}) {
  const image = deviceImage(
    {
      ...{ name: 'motor-1', id: 'dev_1', type: 'motor', chip: 'esp32', chipId: '14333616' },
      ...{ key: 'KEY', certificate: 'CERTIFICATE' },
    },
    {
      ...{ wifi: { ssid: 'net', password: 'secret' }, release: { sequence: 5, floor } },
      platform: { http: 'https://a', mqtts: 'mqtts://a', ca: 'CA' },
      trust: trusted ? trustRootOf(publicKeyOf(owner)) : null,
      ...{ version: 2, table: null, flashBytes: 4 * 1024 * 1024, encrypt },
    },
  );
  const at = new FakeBoard()
    .put(image.partitions.offset, image.partitions.data)
    .put(image.nvs.offset, image.nvs.data);
  if (image.keys) at.put(image.keys.offset, image.keys.data);
  return at;
}

function update(to: FakeBoard, data: Uint8Array, watch?: SlotOptions['watch'], force = false) {
  const job = { image: { name: 'table.aiot', data }, verify: true, force };
  return flashModel(job, { port: 'fake', loader: anyLoader, open: to.opener(), watch });
}

const nvsOf = (at: FakeBoard) => at.bytes(0x3dc000, 0xc000);
const numberOf = (at: FakeBoard, wanted: string) =>
  readNvs(nvsOf(at)).entries.find(({ key }) => key === wanted)?.value;

describe('a model flashed over the cable', () => {
  it('is written to the other slot, and changes only its slot and sequence in NVS', async () => {
    const at = board();
    const before = Buffer.from(nvsOf(at));
    const bundle = signed();
    const result = await update(at, bundle);
    expect(result).toMatchObject({
      device: 'motor-1',
      versions: ['table@3'],
      // The board had no model.
      switched: { slot: 'model_1', before: null, healthy: null },
    });
    expect(at.bytes(slots[1]!, bundle.length).equals(Buffer.from(bundle))).toBe(true);
    expect(numberOf(at, 'model_slot')).toBe(1);
    expect(numberOf(at, 'sequence')).toBe(9n);
    const changed = [...nvsOf(at)].flatMap((byte, i) => (byte === before[i] ? [] : [i]));
    // The slot and the sequence, with a CRC for each.
    expect(changed.length).toBeLessThanOrEqual(10);
    // This board has no program, so nothing uses the model yet.
    expect(result.program).toBe('none');
    expect(flashedText(result)).toMatch(
      /The model is in the slot model_1\. Nothing uses it until the board has a program\.$/m,
    );
    expect(flashedText({ ...result, program: 'unchanged' })).toMatch(/The board now uses model_1\.$/m);
    const again = await update(at, signed({ sequence: 10 }));
    expect(again.switched).toMatchObject({ slot: 'model_0', before: 'model_1' });
    expect(flashedText(again)).toMatch(
      /until the board has a program\. The previous one is still in model_1\.$/m,
    );
    expect(numberOf(at, 'model_slot')).toBe(0);
  });

  it('is named by board info with its version, in the slot that is selected', async () => {
    const at = board();
    const about = () => boardInfo({ port: 'fake', loader: anyLoader, open: at.opener() });
    const empty = { name: null, version: null, selected: false };
    expect((await about()).models).toEqual([
      { label: 'model_0', offset: slots[0], ...empty },
      { label: 'model_1', offset: slots[1], ...empty },
    ]);
    await update(at, signed());
    const info = await about();
    expect(info.models).toEqual([
      { label: 'model_0', offset: slots[0], ...empty },
      { label: 'model_1', offset: slots[1], name: 'table', version: 3, selected: true },
    ]);
    expect(boardInfoText(info)).toMatch(/model_0 +no model\n *→ +model_1 +table@3/);
    // A bundle whose manifest is damaged is not a model.
    at.put(slots[1]! + 512, Buffer.alloc(64));
    expect((await about()).models[1]).toMatchObject(empty);
  });

  it('causes a warning if the default firmware of the chip has too little memory for it', async () => {
    const har = readFileSync(join(root, 'firmware/test/fixtures/bundles/har.aiot'));
    expect((await update(board(), signed({ name: 'har' }, owner, har))).warnings).toEqual([
      expect.stringMatching(
        /^The default firmware for esp32 has 15,104 bytes of memory for models, but this model needs at least 46,659\./,
      ),
    ]);
    expect((await update(board(), signed())).warnings).toEqual([]);
  });

  it('is committed with its sequence and floor, which never decrease', async () => {
    const at = board();
    await update(at, signed({ sequence: 300, floor: 280 }));
    expect([numberOf(at, 'sequence'), numberOf(at, 'floor')]).toEqual([300n, 280n]);
    const forced = await update(at, signed({ sequence: 290, floor: 2 }), undefined, true);
    expect(forced.overridden).toEqual([
      {
        ...{ rule: 'sequence', region: 'table.aiot' },
        message:
          'table.aiot has sequence number 290, but the board has committed 300 and accepts only a higher one',
      },
    ]);
    expect([numberOf(at, 'sequence'), numberOf(at, 'floor')]).toEqual([300n, 280n]);
    await expect(update(at, signed({ sequence: 279 }), undefined, true)).rejects.toMatchObject({
      code: 'AIOT_UPDATE_FLOOR',
    });
  });

  it('is written before the changed pages of NVS, and no other pages are written', async () => {
    const at = board();
    const bundle = signed();
    await update(at, bundle);
    const writes = at.log.filter((line) => line.startsWith('write'));
    expect(writes[0]).toBe(`write 370000 ${bundle.length}`);
    expect(new Set(writes.slice(1)).size).toBe(writes.length - 1);
    expect(writes.length).toBeLessThanOrEqual(3);
    for (const write of writes.slice(1)) expect(write).toMatch(/^write 3d[cdef]000 4096$/);
  });

  it('is also committed in an encrypted NVS', async () => {
    const at = board({ encrypt: true });
    await update(at, signed());
    const again = await update(at, signed({ sequence: 10 }));
    expect(again.switched).toMatchObject({ slot: 'model_0', before: 'model_1' });
    expect(flashedText(again)).toMatch(
      /until the board has a program\. The previous one is still in model_1\.$/m,
    );
    await expect(update(at, signed({ sequence: 10 }))).rejects.toMatchObject({
      code: 'AIOT_UPDATE_SEQUENCE',
    });
  });

  it('is reverted if the board is unhealthy', async () => {
    const at = board();
    const before = Buffer.from(nvsOf(at));
    const result = await update(at, signed(), async () => ({ healthy: false, reason: 'it crashed' }));
    expect(result.switched).toMatchObject({ restored: true, healthy: false, before: null });
    expect(nvsOf(at).equals(before)).toBe(true);
  });

  it.each<[string, () => FakeBoard, () => Uint8Array, string]>([
    [
      'if signed with another key',
      board,
      () => signed({}, generateKeyPair().privatePem),
      'AIOT_SIGNATURE_INVALID',
    ],
    ['for another device type', board, () => signed({ deviceTypes: ['pump'] }), 'AIOT_UPDATE_DEVICE_TYPE'],
    ['if below the floor', () => board({ floor: 20 }), () => signed(), 'AIOT_UPDATE_FLOOR'],
    ['if not newer than the committed one', board, () => signed({ sequence: 5 }), 'AIOT_UPDATE_SEQUENCE'],
    ['if expired', board, () => signed({ expires: 2 }), 'AIOT_UPDATE_EXPIRED'],
    [
      'if it is a network without a project',
      board,
      () => signed({}, owner, networkBundle('table', unpackAny(content).model, 'table.tflite')),
      'AIOT_MODEL_UNFIT',
    ],
    ['if truncated', board, () => signed().subarray(0, 3000), 'AIOT_BUNDLE_MALFORMED'],
    ['for a newer interface', board, () => signed({ interface: 99 }), 'AIOT_UPDATE_INTERFACE'],
    [
      'on a board without a trust root',
      () => board({ trusted: false }),
      () => signed(),
      'AIOT_TRUST_MISSING',
    ],
    [
      'on a board without model slots',
      () => board().put(0x8000, twoSlotsTable),
      () => signed(),
      'AIOT_FLASH_NO_SLOT',
    ],
    ['on a blank board', () => new FakeBoard(), () => signed(), 'AIOT_FLASH_NO_SLOT'],
  ])('is rejected %s, with nothing written', async (_, at, data, code) => {
    const to = at();
    await expect(update(to, data())).rejects.toMatchObject({ code });
    expect(to.log.filter((line) => line.startsWith('write'))).toEqual([]);
    expect(to.open).toBe(0);
  });
});
