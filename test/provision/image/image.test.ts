import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { generateKeyPair, keyIdOf, publicKeyOf } from '../../../src/lib/core/crypto.js';
import { trustRootOf } from '../../../src/lib/formats/manifest/envelope.js';
import { decryptNvs, readNvsKeys } from '../../../src/lib/formats/nvs/crypt.js';
import { readNvs } from '../../../src/lib/formats/nvs/read.js';
import { writeNvs } from '../../../src/lib/formats/nvs/write.js';
import { otaSlots, parsePartitionsCsv, readPartitionTable } from '../../../src/lib/formats/partitions.js';
import { selfSignedCa } from '../../../src/lib/provision/certificates.js';
import { keepOld } from '../../../src/lib/provision/chip-image.js';
import { fixedAddress } from '../../../src/lib/provision/chip-options.js';
import {
  deviceImage,
  type ImageIdentity,
  type ImageOptions,
} from '../../../src/lib/provision/device-image.js';
import { identityInImage } from '../../../src/lib/provision/held-identity.js';
import { root } from '../../support/cli.js';

const key = generateKeyPair().privatePem;
const certificate = await selfSignedCa(key, 'motor-1', Date.UTC(2026, 10, 20));
const publicKey = publicKeyOf(key);
/** Files made with ESP-IDF's gen_esp32part.py (see test/golden/flash/README.md). */
const golden = join(root, 'test', 'golden', 'flash', 'partitions');
const identity: ImageIdentity = {
  name: 'motor-1',
  id: 'dev_01k',
  type: 'esp32',
  chip: 'esp32',
  chipId: '10276844',
  key,
  certificate,
};
const options: ImageOptions = {
  wifi: { ssid: 'Workshop', password: 'correct horse' },
  platform: { http: 'https://pi.local:8443', mqtts: 'mqtts://pi.local:8883', ca: certificate },
  trust: trustRootOf(publicKey),
  release: { sequence: 7, floor: 3 },
  version: 2,
  table: null,
  flashBytes: 4 << 20,
  encrypt: false,
};

const valuesOf = (bytes: Uint8Array) =>
  Object.fromEntries(
    readNvs(bytes).entries.map(({ namespace, key, value }) => [`${namespace}.${key}`, value]),
  );

describe('a device image', () => {
  it.each([1, 2] as const)('contains everything that the firmware needs (version %d)', (version) => {
    const { nvs, keys } = deviceImage(identity, { ...options, version });
    expect(keys).toBeUndefined();
    expect(nvs).toMatchObject({ offset: 0x3dc000, data: { length: 0xc000 } });
    expect(valuesOf(nvs.data)).toEqual({
      'aiot.layout': 1,
      'aiot.name': 'motor-1',
      'aiot.id': 'dev_01k',
      'aiot.type': 'esp32',
      'aiot.chip': 'esp32',
      'aiot.chip_id': '10276844',
      'aiot.model_slot': 0,
      'aiot.http': 'https://pi.local:8443',
      'aiot.mqtts': 'mqtts://pi.local:8883',
      'aiot.ca': certificate,
      'aiot.certificate': certificate,
      'aiot.key': key,
      'aiot_trust.version': 1,
      'aiot_trust.threshold': 1,
      'aiot_trust.keys': 1,
      'aiot_trust.id0': keyIdOf(publicKey),
      'aiot_trust.key0': Buffer.from(publicKey, 'base64'),
      'aiot_update.sequence': 7n,
      'aiot_update.floor': 3n,
      'wifi.ssid': 'Workshop',
      'wifi.password': 'correct horse',
    });
    expect(new X509Certificate(String(valuesOf(nvs.data)['aiot.certificate'])).subject).toContain('motor-1');
  });

  it.each([1, 2] as const)('contains the trust root in pieces (version %d)', (version) => {
    const envelope = (bytes: number) => ({
      payload: Buffer.alloc(bytes, 7).toString('base64'),
      signatures: [{ keyid: 'a', sig: 'AAAA' }],
    });
    const imageOf = (bytes: number) => deviceImage(identity, { ...options, version, root: envelope(bytes) });
    const rootIn = ({ nvs }: { nvs: { data: Uint8Array } }) =>
      identityInImage({ nvs: nvs.data, keys: null }, 'nvs.bin').root;
    const long = imageOf(4000);
    expect(rootIn(long)).toEqual(envelope(4000));
    // A shorter root leaves nothing of the longer one behind.
    expect(rootIn(keepOld(imageOf(1200), { nvs: long.nvs.data, keys: null }, version))).toEqual(
      envelope(1200),
    );
  });

  it('drops networks that the board learned itself only if it contains a network', () => {
    const learned = { type: 'blob', namespace: 'wifi', key: 'networks', value: Buffer.from([1, 0]) } as const;
    const { entries } = readNvs(deviceImage(identity, options).nvs.data);
    const old = { nvs: writeNvs([...entries, learned], { size: 0xc000 }), keys: null };
    const keptBy = (wifi: typeof options.wifi) =>
      valuesOf(keepOld(deviceImage(identity, { ...options, wifi }), old, 2).nvs.data);
    expect(keptBy(null)).toMatchObject({ 'wifi.networks': learned.value, 'wifi.ssid': 'Workshop' });
    expect(keptBy(options.wifi)).not.toHaveProperty('wifi.networks');
  });

  it('drops the login of an earlier network', () => {
    const user = { name: 'pump', password: 'secret' };
    const login = { method: 'peap', identity: 'anonymous', ca: 'CA', user } as const;
    const made = deviceImage(identity, { ...options, wifi: { ssid: 'campus', password: '', login } });
    const old = { nvs: made.nvs.data, keys: null };
    const keptBy = (wifi: typeof options.wifi) =>
      Object.keys(valuesOf(keepOld(deviceImage(identity, { ...options, wifi }), old, 2).nvs.data));
    const parts = [
      'wifi.eap',
      ...['identity', 'ca', 'username', 'password'].map((part) => `wifi.eap_${part}`),
    ];
    expect(keptBy(null)).toEqual(expect.arrayContaining(parts));
    expect(keptBy(options.wifi).filter((key) => key.startsWith('wifi.eap'))).toEqual([]);
  });

  it('contains the fixed addresses of its network, and drops those of an earlier one', () => {
    const fixed = fixedAddress('10.0.0.7/24', '10.0.0.1', '10.0.0.2');
    const wifi = { ssid: 'lab', password: 'secret lab', fixed };
    const made = deviceImage(identity, { ...options, wifi });
    const addresses = {
      ...{ 'wifi.address': '10.0.0.7', 'wifi.mask': '255.255.255.0' },
      ...{ 'wifi.gateway': '10.0.0.1', 'wifi.dns': '10.0.0.2' },
    };
    expect(valuesOf(made.nvs.data)).toMatchObject(addresses);
    const old = { nvs: made.nvs.data, keys: null };
    const keptBy = (next: typeof options.wifi) =>
      valuesOf(keepOld(deviceImage(identity, { ...options, wifi: next }), old, 2).nvs.data);
    expect(keptBy(null)).toMatchObject(addresses);
    for (const key of Object.keys(addresses)) expect(keptBy(options.wifi)).not.toHaveProperty([key]);
  });

  it.each([
    [
      '10.0.0.7/24',
      '10.0.0.1',
      { address: '10.0.0.7', mask: '255.255.255.0', gateway: '10.0.0.1', dns: '10.0.0.1' },
    ],
    ['172.16.4.3/22', '172.16.7.254', { mask: '255.255.252.0' }],
    ['10.1.2.3/8', '10.255.255.254', { mask: '255.0.0.0' }],
    ['192.168.1.1/30', '192.168.1.2', { mask: '255.255.255.252' }],
  ])('reads the fixed address %s with the gateway %s', (address, gateway, expected) => {
    expect(fixedAddress(address, gateway)).toMatchObject(expected);
  });

  it.each([
    ['10.0.0.7', '10.0.0.1'],
    ['10.0.0.7/31', '10.0.0.6'],
    ['10.0.0.7/0', '10.0.0.1'],
    ['10.0.0.0/24', '10.0.0.1'],
    ['10.0.0.255/24', '10.0.0.1'],
    ['10.0.0.7/24', '10.0.1.1'],
    ['10.0.0.7/24', '10.0.0.7'],
    ['10.0.0/24', '10.0.0.1'],
    ['10.0.0.7/24', 'router'],
    ['fd00::7/64', 'fd00::1'],
  ])('rejects the fixed address %s with the gateway %s', (address, gateway) => {
    expect(() => fixedAddress(address, gateway)).toThrow(/expected|own address/);
  });

  it('omits unknown values', () => {
    const { nvs } = deviceImage({ ...identity, chipId: null }, { ...options, wifi: null, trust: null });
    expect(readNvs(nvs.data).namespaces).toEqual(['aiot', 'aiot_update']);
    expect(valuesOf(nvs.data)).not.toHaveProperty('aiot.chip_id');
  });

  it('has two app slots and two model slots, compatible with Arduino uploads', () => {
    const { partitions } = deviceImage(identity, options);
    expect(partitions.offset).toBe(0x8000);
    const table = readPartitionTable(partitions.data);
    const at = Object.fromEntries(table.partitions.map(({ label, offset }) => [label, offset]));
    expect(at).toMatchObject({ otadata: 0xe000, ota_0: 0x10000, model_0: 0x310000 });
    const sizes = otaSlots(table).map(({ size }) => size);
    expect(sizes).toEqual([0x180000, 0x180000]);
    const last = table.partitions.at(-1)!;
    expect(last.offset + last.size).toBe(4 << 20);
  });

  it('differs from earlier partition tables only in the places of NVS and the core dump', () => {
    const earlier = parsePartitionsCsv(readFileSync(join(golden, 'board_earlier.csv'), 'utf8'), {
      file: 'earlier.csv',
    }).partitions;
    const { partitions } = readPartitionTable(deviceImage(identity, options).partitions.data);
    const moved = earlier.filter((old) => !partitions.some((now) => isDeepStrictEqual(old, now)));
    expect(moved.map(({ label }) => label)).toEqual(['nvs', 'coredump']);
    // An upload for a board with such a table writes its NVS there, so nothing of ours may be in that area.
    const [nvs] = moved;
    const inside = partitions.filter(
      ({ offset, size }) => offset < nvs!.offset + nvs!.size && nvs!.offset < offset + size,
    );
    expect(inside).toEqual([]);
  });

  it('has room for the longest root that the firmware reads, unlike the earlier NVS', () => {
    // The limit is ROOT_BYTES in firmware/hal/esp32/main/identity.c.
    const envelope = (bytes: number) => ({
      payload: Buffer.alloc(bytes, 7).toString('base64'),
      signatures: [{ keyid: 'a', sig: 'AAAA' }],
    });
    const longest = envelope(12_240);
    const bytes = JSON.stringify(longest).length;
    expect(bytes > 16_370 && bytes <= 16_384).toBe(true);
    const imageOf = (table: string | null) => deviceImage(identity, { ...options, root: longest, table });
    expect(identityInImage({ nvs: imageOf(null).nvs.data, keys: null }, 'nvs.bin').root).toEqual(longest);
    expect(() => imageOf('nvs,data,nvs,0x9000,0x5000')).toThrow(
      expect.objectContaining({ code: 'AIOT_NVS_UNFIT' }),
    );
  });

  it('has the firmware’s ESP32 partition table, with records for models and programs', () => {
    const file = join(root, 'firmware', 'hal', 'esp32', 'partitions.csv');
    const own = parsePartitionsCsv(readFileSync(file, 'utf8'), { tableOffset: 0x8000, file });
    const { partitions } = readPartitionTable(deviceImage(identity, options).partitions.data);
    expect(partitions).toEqual(own.partitions);
    // ESP-IDF's own tool generated this file from that table.
    expect(deviceImage(identity, options).partitions.data).toEqual(readFileSync(join(golden, 'board.bin')));
    // Each kind has two sectors: firmware/hal/esp32/main/flash.c accepts programs over the air only with four or more.
    expect(partitions.find(({ label }) => label === 'records')?.size).toBe(4 * 0x1000);
    expect(partitions.find(({ label }) => label === 'trust')?.size).toBe(2 * 0x1000);
  });

  it('is encrypted with its own keys and unreadable without them', () => {
    const first = deviceImage(identity, { ...options, encrypt: true });
    const second = deviceImage(identity, { ...options, encrypt: true });
    expect(first.keys?.offset).toBe(0x3d0000);
    expect(Buffer.compare(first.keys!.data, second.keys!.data)).not.toBe(0);
    for (const secret of ['correct horse', 'PRIVATE KEY', 'motor-1', key.slice(40, 60)]) {
      expect(Buffer.from(first.nvs.data).includes(secret)).toBe(false);
    }
    expect(() => readNvs(first.nvs.data)).toThrow(
      expect.objectContaining({ code: 'AIOT_FILE_MALFORMED', subject: 'nvs' }),
    );
    expect(() => readNvs(decryptNvs(first.nvs.data, readNvsKeys(second.keys!.data)))).toThrow();
    const open = decryptNvs(first.nvs.data, readNvsKeys(first.keys!.data));
    expect(Buffer.compare(open, deviceImage(identity, options).nvs.data)).toBe(0);
  });

  it('follows a custom partition table', () => {
    const table = 'keys,data,nvs_keys,,4K\nother,data,nvs,,12K\nnvs,data,nvs,,32K\napp,app,factory,,1M\n';
    const image = deviceImage(identity, { ...options, table, encrypt: true });
    expect([image.keys?.offset, image.nvs.offset, image.nvs.data.length]).toEqual([0x9000, 0xd000, 0x8000]);
  });

  it.each<[string, Partial<ImageOptions>, string]>([
    [
      'a table beyond the flash',
      { flashBytes: 2 << 20 },
      'the default partition table:4: partition "ota_1": ends at 0x310000, but the flash ends at 0x200000',
    ],
    [
      'a table without nvs',
      { table: 'app,app,factory,,1M' },
      'the partition table has no data partition named nvs',
    ],
    [
      'a table without room for keys',
      { table: 'nvs,data,nvs,,20K', encrypt: true },
      'the partition table has no data partition named nvs_keys',
    ],
    [
      'a value that is too long',
      { wifi: { ssid: 'x'.repeat(5000), password: '' } },
      'wifi.ssid: expected at most 4000 bytes for a string with its NUL (version 2), got 5001',
    ],
  ])('is not created with %s', (_, change, message) => {
    expect(() => deviceImage(identity, { ...options, ...change })).toThrow(
      expect.objectContaining({ message }),
    );
  });

  it('is not created if its NVS partition is too small', () => {
    const table = 'nvs,data,nvs,,12K';
    const long = 'x'.repeat(3900);
    const wifi = { ssid: long, password: long };
    expect(() => deviceImage(identity, { ...options, table, wifi })).toThrow(
      expect.objectContaining({
        code: 'AIOT_NVS_UNFIT',
        message: expect.stringContaining('expected a size of at least 0x'),
      }),
    );
  });
});
