import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readEspImage } from '../../../src/lib/formats/esp-image/read.js';
import { root, runCli } from '../../support/cli.js';

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

  it('writes the image that esptool makes, and tells what it holds', async () => {
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

  it('takes revisions, pages and padding', async () => {
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
    expect(stdout).toContain('none appended');
    expect(readFileSync(at('padded.bin')).length).toBe(0x100000);
  });

  it('refuses what cannot become an image, and writes nothing', async () => {
    writeFileSync(at('cut.elf'), readFileSync(at('c3-boot.elf')).subarray(0, 5000));
    const out = ['--out', at('none.bin')];
    const cases: [string[], number, string][] = [
      [[at('c3-boot.elf'), '--chip', 'esp32', ...out], 2, 'is for RISC-V, an esp32 is Xtensa'],
      [[at('cut.elf'), '--chip', 'esp32c3', ...out], 2, 'at offset 0x20: the section headers'],
      [[at('c3-boot.elf'), ...out], 2, 'expected --chip'],
      [[at('gone.elf'), '--chip', 'esp32c3', ...out], 4, 'no such file'],
      [
        [at('c3-boot.elf'), '--chip', 'esp32c3', '--page-size', '8KB', ...out],
        2,
        'an esp32c3 has no flash pages of 8 KiB',
      ],
      [
        [at('c3-boot.elf'), '--chip', 'esp32c3', '--secure-pad', '1', ...out],
        2,
        'secure boot version 1 is of the ESP32 alone',
      ],
      [
        [at('c3-boot.elf'), '--chip', 'esp32c3', '--flash-freq', '60m', ...out],
        2,
        'an esp32c3 has no flash frequency 60m',
      ],
      [
        [at('c3-boot.elf'), '--chip', 'esp32c3', '--min-rev', '3', ...out],
        2,
        '--min-rev: expected a revision such as 1.3',
      ],
      [[at('c3-boot.elf'), '--chip', 'esp32c3', '--out', at('c3-boot.elf')], 2, 'which is read'],
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

  it('tells of an image in a .bin, HEX and UF2 file alike', async () => {
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

  it('finds an image inside of a merged file', async () => {
    const whole = new Uint8Array(0x20000).fill(0xff);
    whole.set(readFileSync(at('c3-boot.bin')), 0x10000);
    writeFileSync(at('whole.bin'), whole);
    const { json } = await info(at('whole.bin'), '--offset', '64K', '--json');
    expect(json).toMatchObject({ offset: 0x10000, bytes: 384, trailing: 0x10000 - 384 });
    const { code, stderr } = await info(at('whole.bin'));
    expect(code).toBe(2);
    expect(stderr).toContain('begins with no image; it has one at 0x10000');
  });

  it('refuses a damaged file with the offset and the reason', async () => {
    const damaged = readFileSync(at('c3-boot.bin'));
    damaged[100]! ^= 1;
    writeFileSync(at('damaged.bin'), damaged);
    const cases: [string[], string][] = [
      [[at('damaged.bin')], 'AIOT_IMAGE_MALFORMED: '],
      [[at('damaged.bin')], 'at offset 0x15f: the checksum is 0x3d, its segments add up to 0x3c'],
      [[at('table.bin')], 'at offset 0x0: an image starts with 0xe9, this with 0xaa'],
      [[at('c3-boot.elf')], 'is an ELF file, and no image yet'],
      [[at('c3-boot.bin'), '--offset', '0x9000'], 'has nothing at 0x9000; it has 0x0 to 0x180'],
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
  it('changes flash settings and makes the hash new', async () => {
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

  it('refuses a copy over the original, and one without a change', async () => {
    for (const [words, text] of [
      [['--flash-mode', 'qio', '--out', at('c3-boot.bin')], 'which is read'],
      [['--out', at('patched.bin')], 'nothing is to be changed'],
    ] as const) {
      const { code, stderr } = await runCli(['firmware', 'image', 'patch', at('c3-boot.bin'), ...words]);
      expect(stderr).toContain(text);
      expect(code).toBe(2);
    }
  });
});

describe('aiot firmware merge', () => {
  const merge = (...words: string[]) => runCli(['firmware', 'merge', ...words]);

  it('turns images into HEX and UF2 as esptool does, and back', async () => {
    for (const format of ['hex', 'uf2']) {
      const { code } = await merge(`${at('c3-boot.bin')}@bootloader`, '--out', at(`made.${format}`));
      expect(code).toBe(0);
      expect(same(at(`made.${format}`), at(`c3-boot.${format}`))).toBe(true);
      await merge(at(`made.${format}`), '--out', at('back.bin'));
      expect(same(at('back.bin'), at('c3-boot.bin'))).toBe(true);
    }
  });

  it('puts every part at its place, with 0xFF between', async () => {
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

  it('refuses what does not go together, and writes nothing', async () => {
    const image = at('c3-boot.bin');
    const cases: [string[], string][] = [
      [[], 'there is nothing to merge'],
      [[image], 'expected where it goes, such as'],
      [[`${image}@0x0`, `${image}@0x100`], 'reaches up to 0x180 and into'],
      [[`${image}@0x0`, `${image}@0x100`], 'place the second at 0x1000 or later'],
      [[`${at('c3-boot.hex')}@0x0`], 'says itself where its bytes go'],
      [[`${image}@0x0`, '--chip', 'esp32'], 'is for esp32c3, --chip says esp32'],
      [[`${image}@ota_0`], 'there is no board whose table has this label'],
      [[`${at('table.bin')}@bootloader`], 'the chip is not known'],
      [[`${at('c3-boot.elf')}@0x0`], 'is an ELF file, and no image yet'],
      [[`${at('table.bin')}@0x8000`, '--format', 'uf2'], 'a UF2 file names its chip'],
      [[`${at('table.bin')}@0x8000`, '--flash-mode', 'dio'], 'no file says which chip it is for'],
      [
        [`${at('table.bin')}@0x8000`, '--chip', 'esp32c3', '--flash-mode', 'dio'],
        'expected a bootloader at 0x0',
      ],
      [[`${at('table.bin')}@0x8000`, '--start', '0x9000'], 'begins before the file does, at 0x9000'],
      [[`${at('table.bin')}@0xffff0`, '--pad-to', '1MB'], 'ends at 0x100bf0, the flash at 0x100000'],
      [[`${image}@0x0`, '--format', 'hex', '--start', '0x0'], '--start and --pad-to are of raw files alone'],
      [[`${image}@0x0`, '--payload', '256'], '--payload and --no-md5 are of UF2 files'],
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
