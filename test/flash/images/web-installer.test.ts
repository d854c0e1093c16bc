import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WebInstaller } from '../../../src/lib/flash/images/web-installer.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';
import { defaultTable } from '../../../src/lib/provision/device-image.js';
import { runCli } from '../../support/cli.js';
import { described, espBootloader, espImage } from '../../support/esp-image.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-web-installer-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const table = () =>
  writePartitionTable(parsePartitionsCsv(defaultTable, { flashBytes: 4 << 20, file: 'the table' }));

const app = (chip: 'esp32c3' | 'esp32s3', version = '1.2.0') =>
  espImage({ chip, starts: described('pump', version), bytes: 3000, address: 0x3c00_0020 });

/** Writes a file, and returns it with its offset. */
async function file(name: string, data: Uint8Array | string, at?: number): Promise<string> {
  await writeFile(join(folder, name), data);
  return at === undefined ? join(folder, name) : `${join(folder, name)}@${at}`;
}

/** Writes a build of ESP-IDF, and returns its folder. */
async function build(chip: 'esp32c3' | 'esp32s3', version?: string): Promise<string> {
  const dir = join(folder, chip);
  await mkdir(dir);
  await writeFile(join(dir, 'bootloader.bin'), espBootloader(chip));
  await writeFile(join(dir, 'table.bin'), table());
  await writeFile(join(dir, 'pump.bin'), app(chip, version));
  const files = { '0x0': 'bootloader.bin', '0x8000': 'table.bin', '0x10000': 'pump.bin' };
  await writeFile(join(dir, 'flasher_args.json'), JSON.stringify({ flash_files: files }));
  return dir;
}

const create = (...args: string[]) =>
  runCli(['firmware', 'web-installer', '--out', join(folder, 'site'), '--json', ...args]);

/** Fails, and returns the error. */
async function failure(...args: string[]): Promise<{ code: string; message: string }> {
  const { json, code } = await create(...args);
  expect(code).not.toBe(0);
  return (json as { error: { code: string; message: string } }).error;
}

describe('firmware web-installer', () => {
  it('writes a page, its scripts, a manifest and the images of a build for each chip', async () => {
    const [s3, c3] = [await build('esp32s3'), await build('esp32c3')];
    const { json, code } = await create('--project', s3, '--project', c3, '--improv-wait', '20');
    expect(code).toBe(0);
    const made = json as WebInstaller;
    expect(made).toMatchObject({ name: 'pump', version: '1.2.0', notes: [] });
    const manifest = JSON.parse(await readFile(join(made.dir, 'manifest.json'), 'utf8'));
    const parts = (chip: string) => [
      { path: `${chip}/bootloader-0x0.bin`, offset: 0 },
      { path: `${chip}/table-0x8000.bin`, offset: 0x8000 },
      { path: `${chip}/pump-0x10000.bin`, offset: 0x10000 },
    ];
    expect(manifest).toEqual({
      name: 'pump',
      version: '1.2.0',
      new_install_prompt_erase: true,
      new_install_improv_wait_time: 20,
      builds: [
        { chipFamily: 'ESP32-S3', parts: parts('esp32s3') },
        { chipFamily: 'ESP32-C3', parts: parts('esp32c3') },
      ],
    });
    for (const chip of ['esp32s3', 'esp32c3'] as const)
      expect(await readFile(join(made.dir, chip, 'pump-0x10000.bin'))).toEqual(Buffer.from(app(chip)));
    const page = await readFile(join(made.dir, 'index.html'), 'utf8');
    const loaded = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
    expect(loaded.filter((path) => !path.startsWith('assets/'))).toEqual([]);
    expect((await readdir(join(made.dir, 'assets'))).sort()).toEqual(
      [...new Set(loaded), 'assets/licences.txt'].map((path) => path.replace('assets/', '')).sort(),
    );
    expect(await readFile(join(made.dir, 'assets', 'licences.txt'), 'utf8')).toContain('esptool-js 0.');
    // Every script names only scripts that are in the folder.
    for (const path of loaded.filter((each) => each.endsWith('.js'))) {
      const imported = (await readFile(join(made.dir, path), 'utf8')).matchAll(/from"\.\/([\w-]+\.js)"/g);
      for (const [, name] of imported) expect(loaded).toContain(`assets/${name}`);
    }
  });

  it('joins images that share a sector', async () => {
    const images = [
      await file('app.bin', app('esp32s3'), 0x10000),
      await file('a.bin', 'first', 0x3e8000),
      await file('b.bin', 'second', 0x3e8800),
    ];
    const { json } = await create(...images);
    const [only] = (json as WebInstaller).builds;
    expect(only?.parts.map(({ path, offset, bytes }) => ({ path, offset, bytes }))).toEqual([
      { path: 'esp32s3/app-0x10000.bin', offset: 0x10000, bytes: app('esp32s3').length },
      { path: 'esp32s3/a-0x3e8000.bin', offset: 0x3e8000, bytes: 0x800 + 6 },
    ]);
    expect((json as WebInstaller).notes).toEqual([
      'The build for the ESP32-S3 has no bootloader: a board without one will not start.',
    ]);
  });

  it('rejects private keys, because everyone can read an installer', async () => {
    const nvs = await file('nvs.bin', `xx-----BEGIN PRIVATE KEY-----\nMC4C`, 0x9000);
    expect(await failure(await file('app.bin', app('esp32s3'), 0x10000), nvs)).toMatchObject({
      code: 'AIOT_USAGE',
      message: expect.stringContaining('contains a private key'),
    });
    await expect(readdir(join(folder, 'site'))).rejects.toThrow('ENOENT');
  });

  it.each([
    ['nothing to install', async () => [], 'there is nothing to install'],
    [
      'two builds for one chip',
      async () => [await file('app.bin', app('esp32s3'), 0x10000), ...['--project', await build('esp32s3')]],
      'two of the builds are for the ESP32-S3',
    ],
    [
      'apps with different versions',
      async () => ['--project', await build('esp32s3'), '--project', await build('esp32c3', '2.0.0')],
      'expected --version, because the apps state 1.2.0 and 2.0.0',
    ],
    [
      'images without a chip',
      async () => [await file('data.bin', 'data', 0x10000)],
      'expected --chip, because none of the files identifies the chip',
    ],
  ] satisfies [string, () => Promise<string[]>, string][])('rejects %s', async (_name, args, message) => {
    expect(await failure(...(await args()))).toMatchObject({ code: 'AIOT_USAGE', message });
  });

  it('rejects an app at the offset of the bootloader, as aiot flash does', async () => {
    const image = await file('app.bin', app('esp32s3'), 0);
    expect(await failure(image)).toMatchObject({ code: 'AIOT_FLASH_REFUSED' });
    const { json } = await create(image, '--force');
    expect((json as WebInstaller).notes.join()).toContain("0x0 is the bootloader's offset");
  });

  it('keeps a folder that is not empty', async () => {
    await mkdir(join(folder, 'site'));
    await writeFile(join(folder, 'site', 'notes.txt'), 'mine');
    expect(await failure(await file('app.bin', app('esp32s3'), 0x10000))).toMatchObject({
      code: 'AIOT_FOLDER_NOT_EMPTY',
    });
    expect(await readdir(join(folder, 'site'))).toEqual(['notes.txt']);
  });
});
