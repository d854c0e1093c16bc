import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../../src/lib/core/crypto.js';
import { firstOtadata } from '../../../src/lib/formats/otadata.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';
import { root, runCli } from '../../support/cli.js';
import { elfOf } from '../../support/elf-file.js';

const golden = join(root, 'test', 'golden', 'images');
const read = (file: string) => new Uint8Array(readFileSync(file));
const image = read(join(golden, 'c3-boot.bin'));
const elf = read(join(golden, 'c3-boot.elf'));
const csv = readFileSync(join(root, 'firmware', 'hal', 'esp32', 'partitions.csv'), 'utf8');
const rows = parsePartitionsCsv(csv);
const table = writePartitionTable(rows);

const folder = mkdtempSync(join(tmpdir(), 'aiot-inspect-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function inspect(bytes: Uint8Array, name = 'file') {
  const file = join(folder, name);
  writeFileSync(file, bytes);
  return { file, ...(await runCli(['firmware', 'inspect', file, '--json'])) };
}

/** A 4 MiB flash with the layout of a C3. */
function flash(): Uint8Array {
  const bytes = new Uint8Array(4 << 20).fill(0xff);
  bytes.set(image, 0);
  bytes.set(table, 0x8000);
  bytes.set(firstOtadata(1, 2), 0xe000);
  bytes.set(image, 0x190000);
  return bytes;
}

describe('aiot firmware inspect', () => {
  it('describes an ELF file for a chip, with its flash and RAM usage', async () => {
    const { json, file } = await inspect(elf);
    expect(json).toMatchObject({
      ...{ file, kind: 'elf', bytes: elf.length, sha256: sha256Hex(elf), signed: null, image: null },
      elf: { bits: 32, machine: 'riscv', type: 'executable' },
    });
    const { elf: told, use } = json as {
      elf: { text: number; data: number; bss: number };
      use: { flash: number; ram: number };
    };
    // A program that the ROM loads entirely into RAM.
    expect(use).toEqual({ flash: told.text + told.data, ram: told.text + told.data + told.bss });
  });

  it('counts code in RAM toward both flash and RAM, and linker script placeholders toward neither', async () => {
    const part = (name: string, address: number, bytes: number, flags: number, type = 1) => ({
      ...{ name, address, data: new Uint8Array(bytes), flags, type },
    });
    const { json } = await inspect(
      elfOf('esp32c3', 0x40380000, [
        part('.iram0.text', 0x40380000, 80_000, 6),
        part('.dram0.dummy', 0x3fc80000, 81_920, 3, 8),
        part('.dram0.data', 0x3fc94000, 12_000, 3),
        part('.dram0.bss', 0x3fc97000, 72_000, 3, 8),
        part('.flash_rodata_dummy', 0x3c000020, 600_000, 3, 8),
        part('.flash.rodata', 0x3c0a0020, 150_000, 3),
        part('.flash.rodata_noload', 0x3c0c4000, 1_000, 3, 8),
        part('.flash.text', 0x42000020, 600_000, 6),
      ]),
    );
    expect(json).toMatchObject({ use: { ram: 80_000 + 12_000 + 72_000 } });
    expect(json).toMatchObject({ use: { flash: 80_000 + 12_000 + 150_000 + 600_000 } });
  });

  it('recognizes a standalone otadata file, erased or with a selected slot', async () => {
    const erased = await inspect(new Uint8Array(0x2000).fill(0xff), 'ota_data_initial.bin');
    expect(erased.json).toMatchObject({ kind: 'flash', parts: [{ what: 'otadata: erased, names no slot' }] });
    const { json } = await inspect(firstOtadata(1, 2));
    expect(json).toMatchObject({ parts: [{ name: 'otadata', what: 'otadata: sequence 2', problem: null }] });
    const { code } = await inspect(new Uint8Array(0x1000).fill(0xff));
    expect(code).toBe(2);
  });

  it('describes an unsigned image in a .bin, HEX or UF2 file', async () => {
    const { json } = await inspect(image);
    expect(json).toMatchObject({
      kind: 'image',
      signed: null,
      image: { chip: 'esp32c3', kind: 'bootloader', format: 'image' },
      use: { flash: image.length },
    });
    for (const format of ['hex', 'uf2']) {
      const { json: same } = await runCli([
        'firmware',
        'inspect',
        join(golden, `c3-boot.${format}`),
        '--json',
      ]);
      expect(same).toMatchObject({ kind: 'image', image: { chip: 'esp32c3', format } });
    }
  });

  it('describes a flash dump part by part', async () => {
    const { json } = await inspect(flash());
    expect(json).toMatchObject({ kind: 'flash', partitions: { problems: [], end: 4 << 20 } });
    const { parts } = json as { parts: { offset: number; name: string; what: string; problem: null }[] };
    expect(parts.map(({ offset, name, what }) => [offset, name, what])).toEqual([
      [0, 'bootloader', 'bootloader for esp32c3'],
      [0x8000, 'partition-table', `${rows.partitions.length} partitions`],
      [0xe000, 'otadata', 'otadata: boots slot 1'],
      [0x190000, 'ota_1', 'bootloader for esp32c3'],
    ]);
  });

  it('identifies the damaged part of a flash dump', async () => {
    const bytes = flash();
    bytes[0x190000 + 100]! ^= 1;
    const { json } = await inspect(bytes);
    expect(json).toMatchObject({
      parts: [{ problem: null }, {}, {}, { name: 'ota_1', problem: expect.stringContaining('checksum') }],
    });
    const { file } = await inspect(bytes);
    const { stdout } = await runCli(['firmware', 'inspect', file, '--no-color']);
    expect(stdout).toContain('0x190000  ota_1');
  });

  it('recognizes a partition table with or without sector padding', async () => {
    for (const bytes of [table, new Uint8Array([...table, ...new Uint8Array(0x400).fill(0xff)])]) {
      const { json } = await inspect(bytes);
      expect(json).toMatchObject({ kind: 'partition-table', partitions: { md5: true, end: 4 << 20 } });
    }
  });

  it('recognizes an unsigned model bundle', async () => {
    const file = join(root, 'firmware', 'test', 'fixtures', 'bundles', 'motor.aiot');
    const { json } = await runCli(['firmware', 'inspect', file, '--json']);
    expect(json).toMatchObject({ kind: 'bundle', signed: null, bundle: { kind: 'model' } });
  });

  it('recognizes a program for this machine and suggests aiot firmware push', async () => {
    const { stdout, code } = await runCli(['firmware', 'inspect', process.execPath, '--no-color']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Type +an ELF program/);
    expect(stdout).toContain('Next: aiot firmware push');
  });

  it.each([
    ['an empty file', new Uint8Array(0), 'the file is empty'],
    [
      'a text file',
      new TextEncoder().encode('hello, this is a text and no firmware at all'),
      'starts with 68 65 6c 6c',
    ],
    [
      'a .tflite model',
      read(join(root, 'firmware', 'test', 'fixtures', 'emitted', 'motor', 'model.tflite')),
      'aiot model inspect',
    ],
    ['a truncated image', image.subarray(0, image.length - 40), 'the file ends'],
    ['an image with a changed byte', image.map((byte, at) => (at === 200 ? byte ^ 1 : byte)), 'checksum'],
    ['a truncated ELF file', elf.subarray(0, elf.length - 10), 'the section headers end at'],
    ['an ELF file truncated within its header', elf.subarray(0, 40), 'within its ELF header'],
    [
      'an ELF file for an unsupported machine',
      elf.map((byte, at) => (at === 18 ? 8 : byte)),
      'built for machine 8',
    ],
    [
      'an ELF file with section headers of the wrong size',
      elf.map((byte, at) => (at === (elf[4] === 1 ? 46 : 58) ? 0 : byte)),
      'section headers of',
    ],
    [
      'an ELF file that is neither 32-bit nor 64-bit',
      elf.map((byte, at) => (at === 4 ? 7 : byte)),
      'neither 32-bit nor 64-bit',
    ],
  ])('rejects %s', async (_, bytes, said) => {
    const { code, stdout, stderr } = await inspect(bytes);
    expect({ code, said: `${stdout}${stderr}` }).toEqual({
      code: 2,
      said: expect.stringContaining('AIOT_IMAGE_MALFORMED'),
    });
    expect(`${stdout}${stderr}`).toContain(said);
  });

  it('rejects a table whose rows do not match its MD5', async () => {
    const { code, stdout, stderr } = await inspect(table.map((byte, at) => (at === 10 ? byte ^ 1 : byte)));
    expect(code).toBe(2);
    expect(`${stdout}${stderr}`).toContain('AIOT_FILE_MALFORMED');
  });
});
