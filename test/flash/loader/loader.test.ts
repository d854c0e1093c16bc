import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { board, endLoaders, noise, text } from './board.js';

afterEach(endLoaders);

const md5 = (data: Uint8Array) => createHash('md5').update(data).digest('hex');

const chips = ['esp32', 'esp32s3', 'esp32c3'] as const;
const ways = chips.flatMap((chip) =>
  [true, false].flatMap((stub) => [true, false].map((compress) => ({ chip, stub, compress }))),
);

describe('a loader', () => {
  it.each(ways)(
    'writes, skips, reads and erases ($chip, stub: $stub, compressed: $compress)',
    async (way) => {
      const { chip, loader } = await board({ chip: way.chip }, { stub: way.stub });
      const data = Uint8Array.from([...text(30_000), ...noise(20_001)]);
      const region = { name: 'app.bin', offset: 0x10000, data };
      const { compress } = way;
      expect(await loader.write([region], { compress })).toEqual([
        { offset: 0x10000, bytes: 50_001, skipped: false, md5: md5(data) },
      ]);
      expect(chip.flash.bytes.subarray(0x10000, 0x10000 + data.length)).toEqual(data);
      expect(await loader.write([region], { compress })).toMatchObject([{ skipped: true, md5: md5(data) }]);
      expect(await loader.read(0x10000 + 7, 5000)).toEqual(data.subarray(7, 5007));
      expect(await loader.md5(0x10000, 4096)).toBe(md5(data.subarray(0, 4096)));
      expect(await loader.md5(0x10000 + 1, 333)).toBe(md5(data.subarray(1, 334)));
      await loader.eraseRegion(0x11000, 0x1000);
      expect(await loader.matches(region)).toBe(false);
      expect(chip.flash.bytes.subarray(0x11000, 0x12000).every((byte) => byte === 0xff)).toBe(true);
      expect(chip.flash.bytes.subarray(0x10000, 0x11000)).toEqual(data.subarray(0, 0x1000));
      await loader.eraseAll();
      expect(chip.flash.bytes.every((byte) => byte === 0xff)).toBe(true);
    },
  );

  it.each(chips)('identifies the MAC address, crystal, flash and security of an %s', async (name) => {
    const { loader } = await board({ chip: name, mac: '10:01:00:c4:0a:24', flashBytes: 8 << 20 });
    expect(loader.chip).toMatchObject({
      chip: name,
      mac: '10:01:00:c4:0a:24',
      crystalMHz: 40,
      flash: { bytes: 8 << 20 },
      security: { secureBoot: false, flashEncryption: false, secureDownload: false },
    });
    expect(loader.chip.description).toMatch(/^ESP32\S* .*\(revision v\d\.\d\)$/);
    expect(loader).toMatchObject({ stub: true, baud: 115_200, canReset: true });
  });

  it('preserves the data before a region in its first sector', async () => {
    const { chip, loader } = await board({ chip: 'esp32c3' });
    const before = noise(0xc00, 5);
    await loader.write([{ name: 'table', offset: 0x8000, data: before }]);
    await loader.write([{ name: 'beside', offset: 0x8c01, data: noise(30, 6) }]);
    expect(chip.flash.bytes.subarray(0x8000, 0x8c00)).toEqual(before);
    expect(chip.flash.bytes.subarray(0x8c01, 0x8c1f)).toEqual(noise(30, 6));
  });

  it.each([1, 2, 3, 5, 4095, 4097, 0x4000, 0x4001])('writes %i bytes', async (length) => {
    const { chip, loader } = await board({ chip: 'esp32' });
    const data = noise(length, length);
    await loader.write([{ name: 'x', offset: 0x20000, data }]);
    expect(chip.flash.bytes.subarray(0x20000, 0x20000 + length)).toEqual(data);
    expect(chip.flash.bytes[0x20000 + length]).toBe(0xff);
  });

  it('rewrites equal data if skipping is disabled, and writes nothing for empty input', async () => {
    const { loader } = await board({ chip: 'esp32' });
    const region = { name: 'x', offset: 0, data: text(5000) };
    await loader.write([region]);
    expect(await loader.write([region], { skipEqual: false })).toMatchObject([{ skipped: false }]);
    expect(await loader.write([{ ...region, data: new Uint8Array(0) }])).toMatchObject([{ skipped: true }]);
    expect(await loader.write([])).toEqual([]);
  });

  it('reports progress in order', async () => {
    const stages: string[] = [];
    const { loader } = await board(
      { chip: 'esp32' },
      { progress: ({ stage, done, total }) => stages.push(`${stage} ${done}/${total}`) },
    );
    await loader.write([{ name: 'x', offset: 0x10000, data: noise(40_000) }]);
    await loader.end();
    expect(stages).toEqual([
      'connect 0/0',
      'stub 0/0',
      'check 0/40000',
      'write 16384/40000',
      'write 32768/40000',
      'write 40000/40000',
      'verify 40000/40000',
      'reset 0/0',
    ]);
  });

  it.each([
    ['past the end', 0x3ff000, 0x2000],
    ['at the end', 0x400000, 1],
    ['before the beginning', -1, 4],
  ])('rejects a range %s before changing anything', async (_, offset, length) => {
    const { chip, loader } = await board({ chip: 'esp32' });
    const region = { name: 'x', offset, data: new Uint8Array(length) };
    for (const refused of [
      () => loader.read(offset, length),
      () => loader.write([{ name: 'first', offset: 0, data: text(9) }, region]),
      () => loader.md5(offset, length),
      () => loader.matches(region),
    ]) {
      await expect(async () => refused()).rejects.toMatchObject({ code: 'AIOT_USAGE' });
    }
    expect(chip.flash.bytes.every((byte) => byte === 0xff)).toBe(true);
  });

  it('erases only whole sectors', async () => {
    const { loader } = await board({ chip: 'esp32' });
    for (const [offset, length] of [
      [1, 0x1000],
      [0, 100],
    ] as const) {
      await expect(loader.eraseRegion(offset, length)).rejects.toMatchObject({ code: 'AIOT_USAGE' });
    }
  });

  it('resets into the program once at the end and closes the line', async () => {
    const { chip, loader } = await board({ chip: 'esp32c3' });
    await Promise.all([loader.end(), loader.end()]);
    await vi.waitFor(() => expect(chip.state).toBe('program'), 10_000);
    await expect(loader.read(0, 4)).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
  });
});
