import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { blankRecord, type DeviceRecord } from '../../src/lib/device/update/record.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { createDeviceStore, flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { readNvs } from '../../src/lib/formats/nvs/read.js';
import type { NvsItem } from '../../src/lib/formats/nvs/types.js';
import { writeNvs } from '../../src/lib/formats/nvs/write.js';
import { manifestCases, manifestVerdict } from '../support/manifest-cases.js';
import { describeReal, flashSamplesFolder } from '../support/real.js';
import { trustCases, trustVerdict } from '../support/trust-cases.js';
import { buildUpdateTool, type UpdateTool } from '../support/update-tool.js';

const digest = digestOf('anything');

describeReal('native', 'the firmware’s update code, built with sanitizers', () => {
  let tool: UpdateTool;
  let folder = '';
  beforeAll(async () => {
    tool = await buildUpdateTool('update_tool', 'trust_tool');
    folder = mkdtempSync(join(tmpdir(), 'aiot-update-'));
  }, 180_000);
  afterAll(() => {
    tool?.remove();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  it('reaches the same verdict as TypeScript for every valid and invalid manifest', () => {
    const all = manifestCases();
    const lines = all.map(({ what: _, ...each }) => JSON.stringify(each));
    const said = tool.run(['judge'], `${lines.join('\n')}\n`);
    const expected = all.map(manifestVerdict);
    const differing = all.flatMap(({ what }, i) =>
      expected[i] === said[i] ? [] : [`${what}: ${expected[i]}, and the firmware says ${said[i]}`],
    );
    expect(differing).toEqual([]);
    expect(all.length).toBeGreaterThan(850);
    expect(new Set(said)).toEqual(
      new Set([
        'AIOT_OK',
        'AIOT_MANIFEST_MALFORMED',
        'AIOT_SIGNATURE_INVALID',
        'AIOT_UPDATE_MISMATCH',
        'AIOT_UPDATE_DEVICE_TYPE',
        'AIOT_UPDATE_INTERFACE',
        'AIOT_UPDATE_FLOOR',
        'AIOT_UPDATE_SECURE_VERSION',
        'AIOT_UPDATE_SEQUENCE',
        'AIOT_UPDATE_EXPIRED',
        'AIOT_UPDATE_SIZE',
      ]),
    );
  }, 60_000);

  it('evaluates roots and timestamps as TypeScript does, and stores the same state', async () => {
    const all = trustCases();
    const lines = all.map(({ what: _, ...each }) => JSON.stringify(each));
    const said = tool.run([], `${lines.join('\n')}\n`, 'trust_tool');
    const expected = await Promise.all(all.map(trustVerdict));
    const differing = all.flatMap(({ what }, i) =>
      expected[i] === said[i] ? [] : [`${what}: ${expected[i]}, and the firmware says ${said[i]}`],
    );
    expect(differing).toEqual([]);
    expect(said).toHaveLength(all.length);
    expect(all.length).toBeGreaterThan(500);
    expect(new Set(said.map((line) => line.split(' ')[0]))).toEqual(
      new Set([
        ...['AIOT_OK', 'AIOT_MANIFEST_MALFORMED', 'AIOT_UPDATE_UNPUBLISHED', 'AIOT_TRUST_SIGNATURES'],
        ...['AIOT_TRUST_VERSION', 'AIOT_TRUST_ROOT_EXPIRED', 'AIOT_TRUST_ROOT_BEHIND'],
        ...['AIOT_TIMESTAMP_INVALID', 'AIOT_TIMESTAMP_EXPIRED'],
      ]),
    );
  }, 120_000);

  describe('a flash', () => {
    const content = (slot: number, bytes: Uint8Array) => ({
      name: `slot-${slot}`,
      version: slot + 1,
      sequence: slot + 5,
      digest: digestOf(bytes),
      bytes: bytes.length,
    });
    const error = { code: 'AIOT_UPDATE_DOWNLOAD', message: 'a "text" \\ of\nlines\u0001 and ünïcode 🤖' };
    const bytes = Uint8Array.from({ length: 6000 }, (_, i) => i * 7);
    const records: Record<string, DeviceRecord> = {
      blank: blankRecord,
      'with all there is': {
        floor: 3,
        sequence: 5,
        newestSigned: 1_795_168_216_492,
        epoch: 3,
        secureVersion: 2,
        active: 0,
        slots: [content(0, bytes), content(1, bytes)],
        download: { slot: 1, digest },
        trial: { slot: 1, rollout: 'rollout_01k', floor: 4, tries: 2, secureVersion: 3 },
        last: { rollout: 'rollout_01j', state: 'IDLE', error },
      },
      'rolled back': {
        ...blankRecord,
        active: 1,
        sequence: 6,
        slots: [null, content(1, bytes)],
        last: { rollout: 'r', state: 'ROLLED_BACK', error: { ...error, message: 'x'.repeat(300) } },
      },
    };

    it.each(Object.keys(records))(
      'written in TypeScript is read by the firmware, and vice versa: %s',
      (name) => {
        const record = records[name]!;
        const file = join(folder, 'flash.bin');
        rmSync(file, { force: true });
        const options = { bytes: flashBytesFor(8192), file };
        const flash = createFlash(options);
        const store = createDeviceStore(flash);
        for (const slot of [0, 1] as const) {
          if (!record.slots[slot]) continue;
          store.eraseSlot(slot, bytes.length);
          store.writeSlot(slot, 0, bytes);
        }
        // Three writes, so that both sectors contain a record and the newer one is used.
        for (const newestSigned of [1, 2, record.newestSigned])
          store.writeRecord({ ...record, newestSigned });
        flash.close();

        const [read, first, second, written] = tool.run(['flash', file]);
        expect(read).toBe(JSON.stringify(record));
        expect([first, second]).toEqual(record.slots.map((slot) => (slot ? 'whole' : 'none')));

        const again = createFlash(options);
        const now = createDeviceStore(again);
        expect(JSON.stringify(now.readRecord())).toBe(written);
        const slot = record.active === 0 ? 1 : 0;
        const made = Uint8Array.from({ length: 5000 }, (_, i) => i * 3);
        expect(now.readRecord()).toMatchObject({ active: slot, sequence: record.sequence + 1 });
        expect(now.readRecord().slots[slot]).toMatchObject({ version: 7, digest: digestOf(made) });
        expect(now.damagedSlots(now.readRecord())).toEqual([]);
        // TypeScript can write another record after it.
        now.writeRecord(record);
        expect(now.readRecord()).toEqual(record);
        again.close();
      },
    );

    it('is reported to have a damaged slot', () => {
      const file = join(folder, 'damaged.bin');
      const flash = createFlash({ bytes: flashBytesFor(8192), file });
      const store = createDeviceStore(flash);
      store.writeRecord(records['rolled back']!);
      flash.close();
      expect(tool.run(['flash', file]).slice(1, 3)).toEqual(['none', 'damaged']);
    });
  });

  describe('settings in NVS', () => {
    /**
     * Compares the values that the firmware reads from an image with the image's contents. Returns the number
     * of values.
     */
    function compare(image: Uint8Array): number {
      const file = join(folder, 'nvs.bin');
      writeFileSync(file, image);
      const { entries } = readNvs(image);
      const kind = (type: string) => (type === 'string' || type === 'blob' ? type : 'integer');
      const asked = entries.map(({ type, namespace, key }) => `${kind(type)} ${namespace} ${key}`);
      const expected = entries.map((entry) => {
        if (entry.type === 'blob') return Buffer.from(entry.value).toString('hex');
        if (entry.type === 'string')
          return Buffer.from(entry.raw ?? Buffer.from(entry.value)).toString('hex');
        return BigInt(entry.value) > 2n ** 63n - 1n ? 'none' : String(entry.value);
      });
      expect(tool.run(['nvs', file], `${asked.join('\n')}\n`)).toEqual(expected);
      return entries.length;
    }

    const items: NvsItem[] = [
      { namespace: 'wifi', key: 'ssid', type: 'string', value: 'plant ünder roof' },
      { namespace: 'wifi', key: 'channel', type: 'u8', value: 255 },
      { namespace: 'aiot', key: 'ssid', type: 'string', value: 'not the other one' },
      { namespace: 'aiot', key: 'offset', type: 'i8', value: -128 },
      { namespace: 'aiot', key: 'rate', type: 'u16', value: 65535 },
      { namespace: 'aiot', key: 'trim', type: 'i16', value: -32768 },
      { namespace: 'aiot', key: 'serial', type: 'u32', value: 4294967295 },
      { namespace: 'aiot', key: 'zero', type: 'i32', value: -2147483648 },
      { namespace: 'aiot', key: 'chip', type: 'u64', value: 2n ** 64n - 1n },
      { namespace: 'aiot', key: 'born', type: 'u64', value: 1_795_168_216_492n },
      { namespace: 'aiot', key: 'least', type: 'i64', value: -(2n ** 63n) },
      { namespace: 'aiot', key: 'empty', type: 'string', value: '' },
      { namespace: 'aiot', key: 'key', type: 'blob', value: new Uint8Array(0) },
      { namespace: 'aiot', key: 'fifteen-letters', type: 'string', value: 'x'.repeat(3000) },
      {
        namespace: 'aiot',
        key: 'cert',
        type: 'blob',
        value: Uint8Array.from({ length: 9000 }, (_, i) => i * 5),
      },
      { namespace: 'aiot', key: 'root', type: 'blob', value: Uint8Array.from({ length: 40 }, (_, i) => i) },
    ];

    it('are read as TypeScript wrote them, across pages', () => {
      expect(compare(writeNvs(items, { size: 0x8000 }))).toBe(items.length);
      const short = items.filter(
        ({ type, ...item }) => !('key' in item) || !['fifteen-letters', 'cert'].includes(item.key),
      );
      expect(compare(writeNvs(short, { size: 0x4000, version: 1 }))).toBe(short.length);
    });

    it('are not found if they are missing, and not read if their checksums are wrong', () => {
      const image = writeNvs(items, { size: 0x8000 });
      const file = join(folder, 'nvs.bin');
      const ask = (lines: string[]) => tool.run(['nvs', file], `${lines.join('\n')}\n`);
      writeFileSync(file, image);
      const missing = [
        'integer aiot none',
        'string none ssid',
        'string aiot rate',
        'integer aiot ssid',
        'blob aiot ssid',
      ];
      expect(ask([...missing, 'string aiot fifteen-letters-and-more'])).toEqual(Array(6).fill('none'));
      let wrong = 0;
      for (let at = 0; at < 64 + 32 * 12; at += 13) {
        const damaged = Uint8Array.from(image);
        damaged[at] = damaged[at]! ^ 0x10;
        writeFileSync(file, damaged);
        const [ssid, channel, rate] = ask(['string wifi ssid', 'integer wifi channel', 'integer aiot rate']);
        expect([Buffer.from('plant ünder roof').toString('hex'), 'none']).toContain(ssid);
        expect(['255', 'none']).toContain(channel);
        expect(['65535', 'none']).toContain(rate);
        if (ssid === 'none' || channel === 'none' || rate === 'none') wrong++;
      }
      expect(wrong).toBeGreaterThan(10);
    });

    describeReal('flash-samples', 'from the vendor’s generator', () => {
      it.each(['a_basic.bin', 'a_basic.v1.bin', 'b_ns.bin', 'c_blobs.bin', 'd_many.bin'])(
        'are read from %s',
        (name) => {
          const image = readFileSync(join(flashSamplesFolder, 'nvs', name));
          expect(compare(image)).toBeGreaterThan(0);
        },
      );
    });
  });
});
