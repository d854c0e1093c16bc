import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readEspImage } from '../../../src/lib/formats/esp-image/read.js';
import { root, runCli } from '../../support/cli.js';
import { described, espImage } from '../../support/esp-image.js';

const golden = join(root, 'test/golden/images');
let folder = '';
const at = (name: string) => join(folder, name);
const same = (a: string, b: string) => readFileSync(a).equals(readFileSync(b));

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-images-'));
  for (const name of ['c3-boot.elf', 'c3-boot.bin', 'c3-boot.hex', 'c3-boot.uf2'])
    copyFileSync(join(golden, name), at(name));
  writeFileSync(at('table.bin'), new Uint8Array(0xc00).fill(0xaa));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('aiot firmware image create', () => {
  const create = (...words: string[]) => runCli(['firmware', 'image', 'create', ...words]);

  it('writes the same image as esptool and describes its contents', async () => {
    const flash = ['--flash-mode', 'dio', '--flash-size', '4MB'];
    const { code, json } = await create(
      at('c3-boot.elf'),
      '--chip',
      'esp32c3',
      '--out',
      at('made.bin'),
      ...flash,
      '--json',
    );
    expect(code).toBe(0);
    expect(json).toMatchObject({
      file: at('made.bin'),
      chip: 'esp32c3',
      kind: 'bootloader',
      mode: 'dio',
      size: '4MB',
      bytes: 384,
    });
    expect(same(at('made.bin'), at('c3-boot.bin'))).toBe(true);
  });

  it('supports options for chip revisions, segments, padding and no hash', async () => {
    const options = [
      '--min-rev',
      '0.3',
      '--max-rev',
      '1.99',
      '--no-hash',
      '--pad-to',
      '1MB',
      '--use-segments',
    ];
    const { code, stdout } = await create(
      at('c3-boot.elf'),
      '--chip',
      'esp32c3',
      '--out',
      at('padded.bin'),
      ...options,
    );
    expect(code).toBe(0);
    expect(stdout).toContain('ESP32-C3, revisions from v0.3 up to v1.99');
    expect(stdout).toMatch(/SHA-256 +none/);
    expect(readFileSync(at('padded.bin')).length).toBe(0x100000);
  });

  it('rejects invalid input and options, and writes nothing', async () => {
    writeFileSync(at('cut.elf'), readFileSync(at('c3-boot.elf')).subarray(0, 5000));
    const out = ['--out', at('none.bin')];
    const cases: [string[], number, string][] = [
      [[at('c3-boot.elf'), '--chip', 'esp32', ...out], 2, 'is for RISC-V, but the esp32 is Xtensa'],
      [[at('cut.elf'), '--chip', 'esp32c3', ...out], 2, 'at offset 0x20: the section headers'],
      [[at('c3-boot.elf'), ...out], 2, 'expected --chip'],
      [[at('gone.elf'), '--chip', 'esp32c3', ...out], 4, 'does not exist'],
      [
        [at('c3-boot.elf'), '--chip', 'esp32c3', '--page-size', '8KB', ...out],
        2,
        'the esp32c3 has no flash pages of 8 KiB',
      ],
      [
        [at('c3-boot.elf'), '--chip', 'esp32c3', '--secure-pad', '1', ...out],
        2,
        'only the ESP32 supports secure boot version 1',
      ],
      [
        [at('c3-boot.elf'), '--chip', 'esp32c3', '--flash-freq', '60m', ...out],
        2,
        'the esp32c3 does not support the flash frequency 60m',
      ],
      [
        [at('c3-boot.elf'), '--chip', 'esp32c3', '--min-rev', '3', ...out],
        2,
        '--min-rev: expected a revision such as 1.3',
      ],
      [[at('c3-boot.elf'), '--chip', 'esp32c3', '--out', at('c3-boot.elf')], 2, 'would overwrite the input'],
    ];
    for (const [words, exit, text] of cases) {
      const { code, stderr } = await create(...words);
      expect(stderr, words.join(' ')).toContain(text);
      expect(code, words.join(' ')).toBe(exit);
    }
    expect(existsSync(at('none.bin'))).toBe(false);
  });
});

describe('aiot firmware image info', () => {
  const info = (...words: string[]) => runCli(['firmware', 'image', 'info', ...words]);

  it('describes an image in a .bin, HEX or UF2 file', async () => {
    for (const [name, format] of [
      ['c3-boot.bin', 'image'],
      ['c3-boot.hex', 'hex'],
      ['c3-boot.uf2', 'uf2'],
    ] as const) {
      const { code, json } = await info(at(name), '--json');
      expect(code).toBe(0);
      expect(json).toMatchObject({
        file: at(name),
        format,
        offset: 0,
        bytes: 384,
        trailing: 0,
        chip: 'esp32c3',
        entry: 0x40380000,
      });
    }
    const { stdout } = await info(at('c3-boot.bin'));
    expect(stdout).toContain('Entry     0x40380000');
    expect(stdout).toMatch(/1 +248 +0x40380000 +0x00005c +IRAM/);
  });

  it('finds an image inside a merged file', async () => {
    const whole = new Uint8Array(0x20000).fill(0xff);
    whole.set(readFileSync(at('c3-boot.bin')), 0x10000);
    writeFileSync(at('whole.bin'), whole);
    const { json } = await info(at('whole.bin'), '--offset', '64K', '--json');
    expect(json).toMatchObject({ offset: 0x10000, bytes: 384, trailing: 0x10000 - 384 });
    const { code, stderr } = await info(at('whole.bin'));
    expect(code).toBe(2);
    expect(stderr).toContain('does not begin with an image; it contains one at 0x10000');
  });

  it('rejects a damaged file with the offset and the reason', async () => {
    const damaged = readFileSync(at('c3-boot.bin'));
    damaged[100]! ^= 1;
    writeFileSync(at('damaged.bin'), damaged);
    const cases: [string[], string][] = [
      [[at('damaged.bin')], 'AIOT_IMAGE_MALFORMED: '],
      [
        [at('damaged.bin')],
        'at offset 0x15f: the checksum is 0x3d, but the checksum of the segments is 0x3c',
      ],
      [[at('table.bin')], 'at offset 0x0: an image starts with 0xe9, but this file starts with 0xaa'],
      [[at('c3-boot.elf')], 'is an ELF file, not a flashable image'],
      [[at('c3-boot.bin'), '--offset', '0x9000'], 'contains no data at 0x9000; it contains 0x0 to 0x180'],
      [[at('c3-boot.bin'), '--offset', 'far'], '--offset: expected a number such as 0x10000'],
    ];
    for (const [words, text] of cases) {
      const { code, stderr } = await info(...words);
      expect(stderr).toContain(text);
      expect(code).toBe(2);
    }
  });
});

describe('aiot firmware image patch', () => {
  it('changes the flash settings and recomputes the hash', async () => {
    const words = [
      at('c3-boot.bin'),
      '--flash-mode',
      'qout',
      '--flash-size',
      '16MB',
      '--flash-freq',
      '80m',
      '--out',
      at('patched.bin'),
    ];
    const { code, json } = await runCli(['firmware', 'image', 'patch', ...words, '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({ mode: 'qout', size: '16MB', frequency: '80m' });
    expect(readEspImage(readFileSync(at('patched.bin')))).toMatchObject({
      mode: 'qout',
      size: '16MB',
      frequency: '80m',
    });
  });

  it('sets the secure version of an app, and recomputes the checksum and the hash', async () => {
    const app = espImage({ chip: 'esp32c3', address: 0x3c00_0020, starts: described('motor', '1.4.0', 1) });
    writeFileSync(at('app.bin'), app);
    const words = [at('app.bin'), '--secure-version', '6', '--out', at('app-6.bin')];
    const { code, json } = await runCli(['firmware', 'image', 'patch', ...words, '--json']);
    expect({ code, json }).toMatchObject({ code: 0, json: { app: { project: 'motor', secureVersion: 6 } } });
    const expected = espImage({
      ...{ chip: 'esp32c3', address: 0x3c00_0020, starts: described('motor', '1.4.0', 6) },
    });
    expect(Buffer.from(expected).equals(readFileSync(at('app-6.bin')))).toBe(true);
  });

  it.each([
    ['app.bin', '17', 'expected a secure version from 0 to 16 for the esp32c3, got 17'],
    ['c3-boot.bin', '1', 'has no app description'],
  ])('rejects the secure version of %s: %s', async (name, version, text) => {
    const words = [at(name), '--secure-version', version, '--out', at('out.bin')];
    const { code, stderr } = await runCli(['firmware', 'image', 'patch', ...words]);
    expect({ code, stderr: stderr.replace(/\s+/g, ' ') }).toEqual({
      code: 2,
      stderr: expect.stringContaining(text),
    });
  });

  it('rejects overwriting the input and a patch without changes', async () => {
    for (const [words, text] of [
      [['--flash-mode', 'qio', '--out', at('c3-boot.bin')], 'would overwrite the input'],
      [['--out', at('patched.bin')], 'no change was requested'],
    ] as const) {
      const { code, stderr } = await runCli(['firmware', 'image', 'patch', at('c3-boot.bin'), ...words]);
      expect(stderr).toContain(text);
      expect(code).toBe(2);
    }
  });
});

describe('aiot firmware merge', () => {
  const merge = (...words: string[]) => runCli(['firmware', 'merge', ...words]);

  it('converts images to HEX and UF2 as esptool does, and back', async () => {
    for (const format of ['hex', 'uf2']) {
      const { code } = await merge(`${at('c3-boot.bin')}@bootloader`, '--out', at(`made.${format}`));
      expect(code).toBe(0);
      expect(same(at(`made.${format}`), at(`c3-boot.${format}`))).toBe(true);
      await merge(at(`made.${format}`), '--out', at('back.bin'));
      expect(same(at('back.bin'), at('c3-boot.bin'))).toBe(true);
    }
  });

  it('places every file at its offset and fills the gaps with 0xFF', async () => {
    const words = [
      `${at('table.bin')}@partition-table`,
      at('c3-boot.uf2'),
      '--pad-to',
      '1MB',
      '--flash-size',
      '1MB',
    ];
    const { code, json, stderr } = await merge(...words, '--out', at('board.bin'), '--json');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(json).toMatchObject({
      format: 'raw',
      bytes: 0x100000,
      offset: 0,
      chip: 'esp32c3',
      regions: [
        { name: at('c3-boot.uf2'), offset: 0, bytes: 384 },
        { name: at('table.bin'), offset: 0x8000, bytes: 0xc00 },
      ],
    });
    const board = readFileSync(at('board.bin'));
    expect(readEspImage(board)).toMatchObject({ size: '1MB', mode: 'dio' });
    expect(board.subarray(384, 0x8000).every((byte) => byte === 0xff)).toBe(true);
  });

  it('rejects incompatible files and options, and writes nothing', async () => {
    const image = at('c3-boot.bin');
    const cases: [string[], string][] = [
      [[], 'there are no files to merge'],
      [[image], 'expected an offset, such as'],
      [[`${image}@0x0`, `${image}@0x100`], 'ends at 0x180 and overlaps'],
      [[`${image}@0x0`, `${image}@0x100`], 'place the second at 0x1000 or later'],
      [[`${at('c3-boot.hex')}@0x0`], 'already contains its addresses'],
      [[`${image}@0x0`, '--chip', 'esp32'], 'is for esp32c3, but --chip specifies esp32'],
      [[`${image}@ota_0`], "a partition label requires a board's partition table"],
      [[`${at('table.bin')}@bootloader`], 'the chip is unknown'],
      [[`${at('c3-boot.elf')}@0x0`], 'is an ELF file, not a flashable image'],
      [[`${at('table.bin')}@0x8000`, '--format', 'uf2'], 'a UF2 file must name its chip'],
      [[`${at('table.bin')}@0x8000`, '--flash-mode', 'dio'], 'no file identifies the chip'],
      [
        [`${at('table.bin')}@0x8000`, '--chip', 'esp32c3', '--flash-mode', 'dio'],
        'expected a bootloader at 0x0',
      ],
      [[`${at('table.bin')}@0x8000`, '--start', '0x9000'], 'before the start of the file at 0x9000'],
      [[`${at('table.bin')}@0xffff0`, '--pad-to', '1MB'], 'ends at 0x100bf0, but the flash ends at 0x100000'],
      [[`${image}@0x0`, '--format', 'hex', '--start', '0x0'], '--start and --pad-to apply only to raw files'],
      [[`${image}@0x0`, '--payload', '256'], '--payload and --no-md5 apply only to UF2 files'],
      [[`${image}@0x0`, '--format', 'uf2', '--payload', '460'], '1 to 452 payload bytes'],
    ];
    for (const [words, text] of cases) {
      const { code, stderr } = await merge(...words, '--out', at('refused.bin'));
      expect(stderr, words.join(' ')).toContain(text);
      expect(code, words.join(' ')).toBe(2);
    }
    expect(existsSync(at('refused.bin'))).toBe(false);
  });
});
