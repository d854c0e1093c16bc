import { createHash } from 'node:crypto';
import { ESPLoader, HardReset, type Transport } from 'esptool-js';
import { describe, expect, it } from 'vitest';

/**
 * Defects of esptool-js 0.7.0 that our loader works around. Each test reproduces an observed defect. If a test
 * fails, upstream has fixed the defect, and our workaround can be removed.
 */
describe('esptool-js (known defects)', () => {
  it('does not reset the chip after a write: releases RTS without asserting it first', async () => {
    const lines: boolean[] = [];
    await new HardReset({
      setRTS: async (level: boolean) => void lines.push(level),
    } as unknown as Transport).reset();
    expect(lines).toEqual([false]);
  });

  it('leaves a stale SHA-256 in an image when it patches flash mode, size or frequency', async () => {
    const { loader } = await recorded('ESP32-C3');
    const image = smallImage();
    const patched = await loader._updateImageFlashParams(image, 0, 'qio', 'keep', 'keep');
    expect(patched[2]).toBe(0);
    const hash = createHash('sha256').update(patched.subarray(0, -32)).digest();
    expect(hash.equals(patched.subarray(-32))).toBe(false);
    expect(patched.subarray(-32)).toEqual(image.subarray(-32));
  });

  it('uploads its stub even if the stub is disabled', async () => {
    const { loader } = await recorded('ESP32-C3', { noStub: true, stub: false, useStub: false });
    const steps: string[] = [];
    Object.assign(loader, {
      detectChip: async () => steps.push('detect'),
      runStub: async () => steps.push('stub'),
      readFlashId: async () => 0x1640c8,
      chip: new Proxy({}, { get: () => async () => '' }),
    });
    await loader.main();
    expect(steps).toEqual(['detect', 'stub']);
  });

  it('sends 4 bytes to attach the flash, although the ROM expects 8', async () => {
    const { loader, sent } = await recorded('ESP32-C3');
    await loader.flashSpiAttach(0);
    expect(sent).toEqual([{ op: 0x0d, bytes: 4 }]);
  });

  it('sends 16 KiB blocks to a ROM without attaching the flash first or ending the write', async () => {
    const { loader, sent } = await recorded('ESP32-C3');
    await loader.writeFlash({
      fileArray: [{ data: new Uint8Array(0x400), address: 0x10000 }],
      flashMode: 'keep',
      flashFreq: 'keep',
      flashSize: 'keep',
      eraseAll: false,
      compress: false,
    });
    expect(sent).toEqual([
      { op: 0x02, bytes: 20 },
      { op: 0x03, bytes: 16 + 0x4000 },
    ]);
  });

  it('treats the 32 hex digits of a ROM’s MD5 as bytes', async () => {
    const { loader } = await recorded('ESP32-C3');
    const digits = 'dbf3d4bb1e05ca66bf1e6d662d857ebd';
    loader.checkCommand = async () => new TextEncoder().encode(digits);
    expect(await loader.flashMd5sum(0x10000, 256)).toBe(Buffer.from(digits).toString('hex'));
  });

  it.each(['ESP32-C6', 'ESP32-H2', 'ESP32-P4'])(
    'omits the fifth word of FLASH_DEFL_BEGIN for the ROM of an %s',
    async (chip) => {
      const { loader, sent } = await recorded(chip);
      await loader.flashDeflBegin(4096, 100, 0x10000);
      expect(sent).toEqual([{ op: 0x10, bytes: 16 }]);
    },
  );

  it('accepts any data from a read without checking the MD5 that follows', async () => {
    const { loader } = await recorded('ESP32');
    loader.checkCommand = async () => 0;
    let frames = 0;
    loader.transport.read = async () => {
      frames++;
      return new Uint8Array(256);
    };
    loader.transport.write = async () => undefined;
    await loader.readFlash(0, 512);
    expect(frames).toBe(2);
  });
});

type Loader = Omit<ESPLoader, 'checkCommand' | 'transport'> & {
  checkCommand: (description: string, op: number | null, data?: Uint8Array) => Promise<Uint8Array | number>;
  transport: { read: () => Promise<Uint8Array>; write: (bytes: Uint8Array) => Promise<void> };
};

/** Creates a loader without a chip, and records the packets that it would have sent. */
async function recorded(
  chip: string,
  options: Record<string, boolean> = {},
): Promise<{ loader: Loader; sent: { op: number; bytes: number }[] }> {
  const sent: { op: number; bytes: number }[] = [];
  const transport = { getInfo: () => 'nothing' } as unknown as Transport;
  const terminal = { clean: () => undefined, writeLine: () => undefined, write: () => undefined };
  const wanted = { transport, terminal, baudrate: 115200, ...options };
  const loader = new ESPLoader(wanted) as unknown as Loader;
  loader.checkCommand = async (_description, op, data = new Uint8Array(0)) => {
    sent.push({ op: op ?? -1, bytes: data.length });
    return 0;
  };
  const name = chip.toLowerCase().replace('-', '');
  const targets = new URL('../../node_modules/esptool-js/lib/targets/', import.meta.url);
  const { [`${chip.replace('-', '')}ROM`]: Rom } = await import(new URL(`${name}.js`, targets).href);
  loader.chip = new Rom();
  return { loader, sent };
}

/** An ESP32-C3 image in DIO mode with one 16-byte segment in IRAM, a checksum and an SHA-256. */
function smallImage(): Uint8Array {
  const body = new Uint8Array(64);
  const view = new DataView(body.buffer);
  body.set([0xe9, 1, 2, 0x20]);
  view.setUint32(4, 0x40380000, true);
  body[12] = 5;
  body[23] = 1;
  view.setUint32(24, 0x3fff0000, true);
  view.setUint32(28, 16, true);
  // The checksum is the last byte of a 16-byte line: the XOR of sixteen zeros with the initial value EF.
  body[63] = 0xef;
  return new Uint8Array([...body, ...createHash('sha256').update(body).digest()]);
}
