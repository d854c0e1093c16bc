import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiotError, digestOf, generateKeyPair, publicKeyOf } from '../../src/lib/core/index.js';
import { createDeviceStore, createFlash, flashBytesFor } from '../../src/lib/device/index.js';
import { judgeManifest } from '../../src/lib/device/update/judge.js';
import { blankRecord, type DeviceRecord } from '../../src/lib/device/update/record.js';
import {
  type Envelope,
  type NvsItem,
  readNvs,
  signPayload,
  type TrustRoot,
  trustRootOf,
  verifyManifest,
  writeNvs,
} from '../../src/lib/formats/index.js';
import { describeReal, sharedFolder } from '../support/real.js';
import { operator, release, trust } from '../support/update.js';
import { buildUpdateTool, type UpdateTool } from '../support/update-tool.js';

type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

interface Case {
  what: string;
  trust: TrustRoot;
  envelope: string;
  desired: ReturnType<typeof release>['desired'];
  standing: Pick<DeviceRecord, 'floor' | 'sequence' | 'newestSigned'> & { slotBytes: number };
  now: number | null;
}

const digest = digestOf('anything');
const payload = {
  ...verifyManifest(release(new Uint8Array(100), 7).envelope, trust),
  floor: 2,
  expires: 1_800_000_000_000 as number | null,
  model: {
    kind: 'model',
    signal: { fields: ['x'] },
    labels: { a: ['b', 'c'] },
    answer: null,
    quantization: { mode: 'int8', input: 'int8', output: 'int8' },
    metrics: { int8: {} },
    gates: [{ name: 'accuracy' }],
    evaluation: digest,
    dataset: { name: 'imu', digest },
    config: null,
    tools: { aiot: '1' },
    created: null,
  },
  files: [{ name: 'model.tflite', sha256: digest.slice(7), bytes: 9 }],
};
const standing = { floor: 2, sequence: 6, newestSigned: 1_600_000_000_000, slotBytes: 4096 };
const { desired } = release(new Uint8Array(100), 7);

const signed = (value: unknown) => JSON.stringify(signPayload(value as { spec: string }, operator));

const madeCase = (what: string, changes: Partial<Case> = {}): Case => ({
  what,
  trust,
  envelope: signed(payload),
  desired,
  standing,
  now: null,
  ...changes,
});

/** Each place in a value, replaced by each of these, removed, or with another member beside it. */
function mutations(value: Json): { what: string; value: Json }[] {
  const others: Json[] = [null, true, 0, -1, 1, 1.5, 2 ** 53, '', 'x', 'model', [], {}, ['x'], { x: 1 }];
  const made: { what: string; value: Json }[] = [];
  const at = (path: string, inner: Json, rebuild: (inner: Json | undefined) => Json) => {
    for (const other of others)
      made.push({ what: `${path} = ${JSON.stringify(other)}`, value: rebuild(other) });
    made.push({ what: `no ${path}`, value: rebuild(undefined) });
    if (inner === null || typeof inner !== 'object') return;
    if (!Array.isArray(inner)) made.push({ what: `${path}.more`, value: rebuild({ ...inner, more: 1 }) });
    for (const [key, child] of Object.entries(inner)) {
      at(`${path}.${key}`, child, (next) => {
        if (Array.isArray(inner)) {
          return rebuild(
            inner.flatMap((each, i) => (`${i}` !== key ? [each] : next === undefined ? [] : [next])),
          );
        }
        const { [key]: _, ...rest } = inner;
        return rebuild(next === undefined ? rest : { ...inner, [key]: next });
      });
    }
  };
  at('', value, (next) => next ?? null);
  return made;
}

/** The first check that says no, on this side. */
function verdict({ trust, envelope, desired, standing, now }: Case): string {
  const record = { ...blankRecord, ...standing };
  const traits = { type: 'virtual', interface: 1, modes: ['int8' as const], slotBytes: standing.slotBytes };
  try {
    if (envelope.length > 64 * 1024) return 'AIOT_MANIFEST_MALFORMED';
    let parsed: unknown;
    try {
      parsed = JSON.parse(envelope);
    } catch {
      return 'AIOT_MANIFEST_MALFORMED';
    }
    return judgeManifest(verifyManifest(parsed, trust), desired, record, traits, now)?.code ?? 'AIOT_OK';
  } catch (error) {
    if (error instanceof AiotError) return error.code;
    throw error;
  }
}

function cases(): Case[] {
  const other = generateKeyPair().privatePem;
  const both = trustOf([operator, other], 2);
  const float = { mode: 'float32', input: 'float32', output: 'float32' };
  const twice = (keys: string[]) => {
    const [first, ...more] = keys.map((key) => signPayload(payload, key));
    return JSON.stringify({
      ...first,
      signatures: [first!, ...more].flatMap(({ signatures }) => signatures),
    });
  };
  const envelope = JSON.parse(signed(payload)) as Envelope;
  const judged: [string, Partial<Case>][] = [
    ['good', {}],
    ['another name', { desired: { ...desired, name: 'other' } }],
    ['another version', { desired: { ...desired, version: 8 } }],
    ['another sequence', { desired: { ...desired, sequence: 8 } }],
    ['below the floor', { standing: { ...standing, floor: 8 } }],
    ['committed already', { standing: { ...standing, sequence: 7 } }],
    ['too large', { standing: { ...standing, slotBytes: 99 } }],
    ['just fits', { standing: { ...standing, slotBytes: 100 } }],
    ['expired by the newest signed time', { standing: { ...standing, newestSigned: 1_800_000_000_000 } }],
    ['expired by the clock', { now: 1_800_000_000_000 }],
    ['not yet expired', { now: 1_799_999_999_999 }],
    ['a clock set back', { now: 5 }],
    ['a network alone', { envelope: signed({ ...payload, model: { ...payload.model, kind: 'network' } }) }],
    [
      'a float network',
      { envelope: signed({ ...payload, model: { ...payload.model, quantization: float } }) },
    ],
    ['a newer interface', { envelope: signed({ ...payload, interface: 2 }) }],
    ['an unknown key', { envelope: JSON.stringify(signPayload(payload, other)) }],
    ['one of two signatures', { trust: both }],
    ['two of two', { trust: both, envelope: twice([operator, other]) }],
    ['the same key twice', { trust: both, envelope: twice([operator, operator]) }],
    ['a bad signature before a good one', { envelope: twice([other, operator]) }],
    ['a key that is not of the role', { trust: { ...both, roles: trustOf([other], 1).roles } }],
    ['a key under the name of another', { trust: misnamed() }],
    ['an envelope of more than 64 KiB', { envelope: `${signed(payload)}${' '.repeat(64 * 1024)}` }],
    ['no JSON', { envelope: signed(payload).slice(0, -1) }],
    ['a payload that is no JSON', { envelope: signedText('{"spec":"aiot-manifest/1"') }],
    ['white space', { envelope: JSON.stringify(envelope, null, 2) }],
    [
      'members in another order',
      { envelope: JSON.stringify({ signatures: envelope.signatures, payload: envelope.payload }) },
    ],
  ];
  return [
    ...judged.map(([what, changes]) => madeCase(what, changes)),
    ...mutations(payload as unknown as Json).map(({ what, value }) =>
      madeCase(`payload${what}`, { envelope: signed(value) }),
    ),
    ...mutations(envelope as unknown as Json).map(({ what, value }) =>
      madeCase(`envelope${what}`, { envelope: JSON.stringify(value) }),
    ),
  ];
}

function trustOf(keys: string[], threshold: number): TrustRoot {
  const roots = keys.map((key) => trustRootOf(publicKeyOf(key)));
  return {
    ...roots[0]!,
    keys: Object.assign({}, ...roots.map(({ keys: one }) => one)),
    roles: { release: { keyids: roots.flatMap(({ roles }) => roles.release.keyids), threshold } },
  };
}

function misnamed(): TrustRoot {
  const id = 'ab'.repeat(32);
  const [key] = Object.values(trust.keys);
  return { ...trust, keys: { [id]: key! }, roles: { release: { keyids: [id], threshold: 1 } } };
}

function signedText(text: string): string {
  const { signatures } = signPayload({ spec: '' }, operator);
  return JSON.stringify({ payload: Buffer.from(text).toString('base64'), signatures });
}

describeReal('native', 'the firmware’s update, built with sanitizers', () => {
  let tool: UpdateTool;
  let folder = '';
  beforeAll(async () => {
    tool = await buildUpdateTool();
    folder = mkdtempSync(join(tmpdir(), 'aiot-update-'));
  }, 180_000);
  afterAll(() => {
    tool?.remove();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  it('comes to the verdict of this side for every manifest, good or not', () => {
    const all = cases();
    const lines = all.map(({ what: _, ...each }) => JSON.stringify(each));
    const said = tool.run(['judge'], `${lines.join('\n')}\n`);
    const expected = all.map(verdict);
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
        'AIOT_UPDATE_SEQUENCE',
        'AIOT_UPDATE_EXPIRED',
        'AIOT_UPDATE_SIZE',
      ]),
    );
  }, 60_000);

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
        active: 0,
        slots: [content(0, bytes), content(1, bytes)],
        download: { slot: 1, digest },
        trial: { slot: 1, rollout: 'rollout_01k', floor: 4, tries: 2 },
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
      'that this side wrote is read there, and the other way round: %s',
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
        // Three times, so that both sectors hold a record and the newer one counts.
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
        // And a record of this side on top of it.
        now.writeRecord(record);
        expect(now.readRecord()).toEqual(record);
        again.close();
      },
    );

    it('tells of a damaged slot', () => {
      const file = join(folder, 'damaged.bin');
      const flash = createFlash({ bytes: flashBytesFor(8192), file });
      const store = createDeviceStore(flash);
      store.writeRecord(records['rolled back']!);
      flash.close();
      expect(tool.run(['flash', file]).slice(1, 3)).toEqual(['none', 'damaged']);
    });
  });

  describe('settings in NVS', () => {
    /** What the firmware reads of an image, and what is in it. */
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

    it('are read as this side wrote them, over pages', () => {
      expect(compare(writeNvs(items, { size: 0x8000 }))).toBe(items.length);
      const short = items.filter(
        ({ type, ...item }) => !('key' in item) || !['fifteen-letters', 'cert'].includes(item.key),
      );
      expect(compare(writeNvs(short, { size: 0x4000, version: 1 }))).toBe(short.length);
    });

    it('are not found where there are none, and not read where their sums are wrong', () => {
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

    describeReal('shared', 'of the vendor’s generator', () => {
      it.each(['a_basic.bin', 'a_basic.v1.bin', 'b_ns.bin', 'c_blobs.bin', 'd_many.bin'])(
        'are read: %s',
        (name) => {
          const image = readFileSync(join(sharedFolder, 'flash-samples', 'nvs', name));
          expect(compare(image)).toBeGreaterThan(0);
        },
      );
    });
  });
});
