import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firmwareImages } from '../../../src/lib/flash/plan/pieces.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-project-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function project(name: string, files: Record<string, string>): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, name, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  return join(folder, name);
}

async function placesOf(path: string) {
  const { pieces } = await firmwareImages(path);
  return pieces.map(({ name, place, data }) => [name.slice(path.length + 1), place, String(data)]);
}

describe('the images of a firmware folder', () => {
  it('are read from ESP-IDF’s flasher_args.json', async () => {
    const args = {
      write_flash_args: ['--flash_mode', 'dio'],
      flash_settings: { flash_mode: 'dio', flash_size: '2MB', flash_freq: '40m' },
      flash_files: { '0x1000': 'bootloader/bootloader.bin', '0x8000': 'table.bin', '0x10000': 'app.bin' },
    };
    const path = await project('idf', {
      'build/flasher_args.json': JSON.stringify(args),
      'build/bootloader/bootloader.bin': 'b',
      'build/table.bin': 't',
      'build/app.bin': 'a',
    });
    expect(await placesOf(path)).toEqual([
      ['build/bootloader/bootloader.bin', 0x1000, 'b'],
      ['build/table.bin', 0x8000, 't'],
      ['build/app.bin', 0x10000, 'a'],
    ]);
  });

  it('are found in the only PlatformIO environment with firmware', async () => {
    const path = await project('pio', {
      '.pio/build/esp32dev/bootloader.bin': 'b',
      '.pio/build/esp32dev/partitions.bin': 'p',
      '.pio/build/esp32dev/firmware.bin': 'f',
      '.pio/build/native/program': 'n',
    });
    expect((await placesOf(path)).map(([name, place]) => [name, place])).toEqual([
      ['.pio/build/esp32dev/bootloader.bin', 'bootloader'],
      ['.pio/build/esp32dev/partitions.bin', 0x8000],
      ['.pio/build/esp32dev/firmware.bin', 0x10000],
    ]);
  });

  it('are found in an Arduino sketch, without its merged image', async () => {
    const path = await project('sketch', {
      'build/esp32.esp32.esp32/blink.ino.bin': 'f',
      'build/esp32.esp32.esp32/blink.ino.bootloader.bin': 'b',
      'build/esp32.esp32.esp32/blink.ino.partitions.bin': 'p',
      'build/esp32.esp32.esp32/blink.ino.merged.bin': 'm',
      'build/esp32.esp32.esp32/boot_app0.bin': 'o',
    });
    expect((await placesOf(path)).map(([, place, data]) => [data, place])).toEqual([
      ['b', 'bootloader'],
      ['p', 0x8000],
      ['o', 0xe000],
      ['f', 0x10000],
    ]);
  });

  it.each([
    ['ESP-IDF', 'build/esp32c3/flasher_args.json'],
    ['PlatformIO', 'hal/esp32/.pio/build/esp32dev/firmware.bin'],
    ['idf.py, run by hand', 'hal/esp32/build/flasher_args.json'],
  ])('are found after aiot firmware build with %s', async (tool, path) => {
    const made = await project(`own-${tool}`, {
      'aiot-firmware.json': '{}',
      'build/host/aiot-device': '',
      [path]: '{"flash_files":{"0x10000":"app.bin"}}',
      [join(dirname(path), 'app.bin')]: 'a',
    });
    const [name, place] = path.endsWith('.json') ? ['app.bin', 0x10000] : ['firmware.bin', 0x10000];
    expect((await placesOf(made)).map(([file, at]) => [file, at])).toEqual([
      [join(dirname(path), String(name)), place],
    ]);
  });

  it('are rejected if there are several builds, unless one is specified', async () => {
    const path = await project('two', {
      '.pio/build/esp32dev/firmware.bin': '1',
      '.pio/build/esp32s3/firmware.bin': '2',
    });
    await expect(firmwareImages(path)).rejects.toMatchObject({
      code: 'AIOT_USAGE',
      next: expect.stringContaining('--project'),
    });
    expect(await placesOf(join(path, '.pio/build/esp32s3'))).toEqual([['firmware.bin', 0x10000, '2']]);
    const chips = await project('two chips', {
      'build/esp32/flasher_args.json': '{"flash_files":{"0x10000":"app.bin"}}',
      'build/esp32/app.bin': 'a',
      'build/esp32c3/flasher_args.json': '{}',
    });
    await expect(firmwareImages(chips)).rejects.toMatchObject({
      message: expect.stringContaining('contains several builds'),
      next: `Choose one, as in \`aiot flash --project "${join(chips, 'build/esp32')}"\`.`,
    });
    expect(await placesOf(join(chips, 'build/esp32'))).toEqual([['app.bin', 0x10000, 'a']]);
  });

  it.each([
    ['a missing folder', 'nowhere', undefined, 'does not exist', 'aiot firmware init'],
    ['a project', 'a project', 'aiot.yaml', 'is a project, not a firmware folder', 'aiot firmware init'],
    ['sources', 'only sources', 'main.c', 'contains no build', 'aiot firmware build'],
  ])('are not found in %s, and the error names the expected files', async (_what, name, file, why, next) => {
    const path = file === undefined ? join(folder, name) : await project(name, { [file]: '' });
    await expect(firmwareImages(path)).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
      message: `${path} ${why}: expected a firmware folder with a build: build/flasher_args.json (ESP-IDF), .pio/build/ENV/firmware.bin (PlatformIO) or build/BOARD/NAME.ino.bin (Arduino)`,
      next: expect.stringContaining(next),
    });
  });

  it('are not found next to programs that only test the core, and the error names the build for a board', async () => {
    const path = await project('tests', { 'build/host/aiot-device': '', 'build/c3/aiot_c3.bin': '' });
    await expect(firmwareImages(path)).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
      message: expect.stringContaining(
        `${path} contains only test programs (build/c3, build/host), no firmware for a board`,
      ),
      next: expect.stringMatching(/ESP-IDF or PlatformIO.*`aiot firmware build \S+ --target esp32c3`/),
    });
  });

  it('are rejected if nothing is built or the build is incomplete', async () => {
    const path = await project('empty', { 'main.c': '' });
    await expect(firmwareImages(path)).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_FOUND' });
    const broken = await project('broken', {
      'build/flasher_args.json': '{"flash_files":{"0x1000":"gone.bin"}}',
    });
    await expect(firmwareImages(broken)).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_FOUND' });
    const other = await project('other', { 'build/flasher_args.json': '[]' });
    await expect(firmwareImages(other)).rejects.toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
  });
});
