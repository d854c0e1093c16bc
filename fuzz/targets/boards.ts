import { generateKeyPairSync } from 'node:crypto';
import { DeltaDecoder } from '../../src/lib/formats/delta/apply.js';
import { createDelta } from '../../src/lib/formats/delta/patch.js';
import { defaultDeviceConfig, readDeviceConfig } from '../../src/lib/formats/device-config.js';
import { buildIdOf, readAnyElf, readElf } from '../../src/lib/formats/elf/read.js';
import { symbolize } from '../../src/lib/formats/elf/symbolize.js';
import { functionsOf } from '../../src/lib/formats/elf/symbols.js';
import { elfUsage } from '../../src/lib/formats/elf/usage.js';
import { readEspImage } from '../../src/lib/formats/esp-image/read.js';
import { readIntelHex, writeIntelHex } from '../../src/lib/formats/intel-hex.js';
import { mcubootSignatures, readMcuboot, writeMcuboot } from '../../src/lib/formats/mcuboot.js';
import { readNvsKeys, writeNvsKeys } from '../../src/lib/formats/nvs/crypt.js';
import { parseNvsCsv } from '../../src/lib/formats/nvs/csv.js';
import { readNvs } from '../../src/lib/formats/nvs/read.js';
import { writeNvs } from '../../src/lib/formats/nvs/write.js';
import { firstOtadata, readOtadata } from '../../src/lib/formats/otadata.js';
import {
  parsePartitionsCsv,
  readPartitionTable,
  writePartitionTable,
} from '../../src/lib/formats/partitions.js';
import { readUf2, writeUf2 } from '../../src/lib/formats/uf2.js';
import { elfOf } from '../../test/support/elf-file.js';
import { described, espApp, espBootloader, espImage } from '../../test/support/esp-image.js';
import { mendedHex, mendedImage, mendedNvs, mendedOtadata, mendedTable } from '../mend.js';
import { filesIn } from '../seeds.js';
import type { Target } from '../types.js';

const base = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * i * 7) & 0xff));
const next = Buffer.concat([base.subarray(0, 900), Buffer.from('something else'), base.subarray(1000)]);
const tableCsv =
  '# Name, Type, SubType, Offset, Size, Flags\nnvs,data,nvs,0x9000,24K,\notadata,data,ota,,8K,\nota_0,app,ota_0,,1M,encrypted\nota_1,app,ota_1,,1M,\n';
const nvsCsv =
  'key,type,encoding,value\naiot,namespace,,\nname,data,string,a b\nport,data,u16,1883\nkey,data,base64,AAEC\nblob,data,hex2bin,00ff\n';

const mcubootKey = generateKeyPairSync('ed25519').privateKey;
const mcubootOptions = {
  version: { major: 1, minor: 2, revision: 3, build: 4 },
  headerBytes: 64,
  padHeader: false,
  slotBytes: 0x4000,
  dependencies: [{ image: 1, version: { major: 1, minor: 0, revision: 0, build: 0 } }],
} as const;

const noFile = async () => Buffer.from('a file');

/** Targets that read the contents of a chip's flash, or files that are written to it. */
export const boards: readonly Target[] = [
  {
    name: 'formats/esp-image',
    seeds: () => [
      espImage(),
      espApp('esp32', 512),
      espBootloader('esp32c3'),
      espImage({ hash: false }),
      espImage({ starts: described('p', '1'), bytes: 300 }),
      ...filesIn('test/golden/images', '.bin'),
    ],
    run: (input) => readEspImage(input),
    mend: mendedImage,
  },
  {
    name: 'formats/partition-table',
    seeds: () => [
      writePartitionTable(parsePartitionsCsv(tableCsv)),
      ...filesIn('test/golden/flash/partitions', '.bin'),
      ...filesIn('../shared/flash-samples/partitions', '.bin'),
    ],
    run: (input) => readPartitionTable(input),
    mend: mendedTable,
  },
  {
    name: 'formats/partition-csv',
    seeds: () => [tableCsv, ...filesIn('test/golden/flash/partitions', '.csv')],
    run: (input) => parsePartitionsCsv(input.toString()),
    words: ['app', 'data', 'factory', 'ota_15', '0x8000', '4K', '16M', 'encrypted', 'readonly', '0x'],
  },
  {
    name: 'formats/nvs',
    seeds: async () => [
      writeNvs(await parseNvsCsv(nvsCsv, noFile), { size: 12288 }),
      writeNvs(await parseNvsCsv(nvsCsv, noFile), { size: 12288, version: 1 }),
      ...filesIn('test/golden/flash/nvs', '.bin'),
    ],
    run: (input) => [readNvs(input, { salvage: true }), readNvs(input)],
    mend: mendedNvs,
  },
  {
    name: 'formats/nvs-keys',
    seeds: () => [
      writeNvsKeys(Buffer.from(base.subarray(1, 65))),
      ...filesIn('test/golden/flash/nvs', 'keys.bin'),
    ],
    run: (input) => readNvsKeys(input),
  },
  {
    name: 'formats/nvs-csv',
    seeds: () => [nvsCsv, ...filesIn('test/golden/flash/nvs', '.csv')],
    run: (input) => parseNvsCsv(input.toString(), noFile),
    words: [
      'namespace',
      'file',
      'u8',
      'i64',
      'string',
      'binary',
      'hex2bin',
      'base64',
      '18446744073709551616',
    ],
  },
  {
    name: 'formats/otadata',
    seeds: () => [firstOtadata(0, 2), firstOtadata(1, 2, 'new'), ...filesIn('test/golden/flash/ota')],
    run: (input) => readOtadata(input),
    mend: mendedOtadata,
  },
  {
    name: 'formats/elf',
    seeds: () => [
      elfOf('esp32', 0x40080000, [{ name: '.text', address: 0x40080000, data: base.subarray(0, 64) }]),
      ...filesIn('test/golden/images', '.elf'),
    ],
    run: (input) => [
      functionsOf(readElf(input)),
      elfUsage(input, 'it'),
      symbolize(input, [0x40080010, 0x40380000]),
      buildIdOf(readAnyElf(input)),
    ],
  },
  {
    name: 'formats/intel-hex',
    seeds: () => [
      writeIntelHex([{ offset: 0x10000, data: base.subarray(0, 70) }]),
      ...filesIn('test/golden/images', '.hex'),
    ],
    run: (input) => readIntelHex(input),
    words: [':00000001FF\n', ':02000004FFFFFC\n'],
    mend: mendedHex,
  },
  {
    name: 'formats/uf2',
    seeds: () => [
      writeUf2([{ offset: 0x10000, data: base }], { chip: 'esp32' }),
      ...filesIn('test/golden/images', '.uf2'),
    ],
    run: (input) => readUf2(input),
  },
  {
    name: 'formats/mcuboot',
    seeds: () => [
      writeMcuboot(Buffer.concat([Buffer.alloc(64), base]), mcubootOptions),
      writeMcuboot(base, { ...mcubootOptions, padHeader: true, pad: 'confirmed' }),
      writeMcuboot(base, { ...mcubootOptions, padHeader: true, key: mcubootKey, securityCounter: 3 }),
    ],
    run: (input) => mcubootSignatures(readMcuboot(input), [mcubootKey]),
  },
  {
    name: 'formats/delta',
    seeds: () => [createDelta(base, next), createDelta(base, base), createDelta(new Uint8Array(0), next)],
    run: (input) =>
      new DeltaDecoder((at, bytes) => base.subarray(at, at + bytes), base.length, next.length).push(input),
  },
  {
    name: 'formats/device-config',
    seeds: () => [JSON.stringify(defaultDeviceConfig)],
    run: (input) => readDeviceConfig(input, 'it'),
  },
];
