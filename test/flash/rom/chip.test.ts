import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { Host, op, request, syncRequest } from './talk.js';

const chips: SimulatedChip[] = [];
function make(options: Partial<SimulatedChipOptions> = {}) {
  const chip = new SimulatedChip({ chip: 'esp32', ...options });
  chips.push(chip);
  return { chip, host: new Host(chip) };
}
afterEach(() => {
  for (const chip of chips.splice(0)) chip.powerOff();
});

const data = Buffer.from(Array.from({ length: 0x1800 }, (_, at) => (at * 31) & 0xff));
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

describe('the ROM loader', () => {
  it.each(['esp32', 'esp32c3', 'esp32s3'] as const)(
    'writes raw blocks on %s and returns their MD5',
    async (name) => {
      const { chip, host } = make({ chip: name });
      const words = [data.length, 6, 0x400, 0x10000, ...(name === 'esp32' ? [] : [0])];
      expect(await host.status(request(op.flashBegin, words))).toBe('0000');
      for (let seq = 0; seq < 6; seq++) {
        const block = data.subarray(seq * 0x400, (seq + 1) * 0x400);
        expect(await host.status(request(op.flashData, [0x400, seq, 0, 0], block))).toBe('0000');
      }
      const [answer] = await host.ask(request(op.flashMd5, [0x10000, data.length, 0, 0]));
      expect(answer?.subarray(8, 40).toString()).toBe(md5(data));
      expect(chip.flash.erases[0x10]).toBe(1);
      expect(chip.flash.erases[0x12]).toBe(0);
    },
  );

  it('reports bits that were not erased, because programming only clears bits', async () => {
    const { chip, host } = make();
    await host.ask(request(op.flashBegin, [0x400, 1, 0x400, 0x1000]));
    chip.flash.program(0x1000, Uint8Array.of(0));
    expect(await host.status(request(op.flashData, [0x400, 0, 0, 0], Buffer.alloc(0x400, 0x55)))).toBe(
      '0108',
    );
  });

  it('rejects stub commands', async () => {
    const { host } = make();
    await host.ask(request(op.readReg, [0x40001000]));
    expect(await host.status(request(op.eraseFlash, []))).toBe('0105');
  });
});

describe('the stub', () => {
  it.each([0x4000, 0x800])(
    'inflates blocks of %d bytes, and erases ahead only within the last sector',
    async (size) => {
      const { chip, host } = make({ flash: Buffer.alloc(0x100000, 0) });
      expect((await host.startStub()).map(String)).toContain('OHAI');
      const stream = deflateSync(data, { level: 9 });
      const blocks = Math.ceil(stream.length / size);
      expect(await host.status(request(op.deflBegin, [data.length, blocks, size, 0x10000]))).toBe('0000');
      for (let seq = 0; seq < blocks; seq++) {
        const block = stream.subarray(seq * size, (seq + 1) * size);
        expect(await host.status(request(op.deflData, [block.length, seq, 0, 0], block))).toBe('0000');
      }
      expect(await host.status(request(op.deflEnd, [1]))).toBe('0000');
      expect(Buffer.from(chip.flash.bytes.subarray(0x10000, 0x10000 + data.length))).toEqual(data);
      // The rest of the last data sector is erased, but the next sector is not.
      expect(chip.flash.bytes[0x11fff]).toBe(0xff);
      expect(chip.flash.bytes[0x12000]).toBe(0);
    },
  );

  it('reports a broken stream with the next command', async () => {
    const { host } = make();
    await host.startStub();
    await host.ask(request(op.deflBegin, [0x1000, 1, 0x4000, 0]));
    expect(await host.status(request(op.deflData, [4, 0, 0, 0], Buffer.from('oops')))).toBe('0000');
    expect(await host.status(request(op.deflEnd, [1]))).toBe('c700');
  });

  it.each([
    ['version 2', 0x400a902c, 'c000', 'stub'],
    ['the older version', 0x400be658, 'c800', 'rom'],
  ])('%s: responds to a premature END, and to a restart request', async (_, entry, missing, after) => {
    const { chip, host } = make();
    await host.startStub(entry);
    await host.ask(request(op.flashBegin, [0x1000, 1, 0x4000, 0]));
    expect(await host.status(request(op.flashEnd, [1]))).toBe(missing);
    await host.ask(request(op.flashBegin, [0, 0, 0x4000, 0]));
    expect(await host.status(request(op.flashEnd, [0]))).toBe('0000');
    expect(chip.state).toBe(after);
  });

  it('streams a read block by block as the host acknowledges it, followed by the MD5', async () => {
    const { host } = make({ flash: Buffer.concat([data, Buffer.alloc(0xe800, 0xff)]) });
    await host.startStub();
    const [answer, first] = await host.ask(request(op.readFlash, [0, data.length, 0x1000, 64]));
    expect(answer?.subarray(8).toString('hex')).toBe('0000');
    const acknowledge = (bytes: number) => {
      const frame = Buffer.alloc(4);
      frame.writeUInt32LE(bytes);
      return host.ask(frame);
    };
    const [second] = await acknowledge(0x1000);
    const [sum] = await acknowledge(data.length);
    expect(Buffer.concat([first as Buffer, second as Buffer])).toEqual(data);
    expect(sum?.toString('hex')).toBe(md5(data));
  });
});

describe('security', () => {
  it('shows secure boot and encryption in the fuses and the security information', async () => {
    const { host } = make({ chip: 'esp32c3', security: { secureBoot: true, flashEncryption: true } });
    const [info] = await host.ask(request(op.securityInfo, []));
    expect([info?.readUInt32LE(8), info?.[12]]).toEqual([1, 1]);
    const [fuse] = await host.ask(request(op.readReg, [0x60008838]));
    expect(((fuse?.readUInt32LE(4) ?? 0) >>> 20) & 1).toBe(1);
  });

  it('allows flash access in secure download mode, but neither register reads nor a stub', async () => {
    const { host } = make({ chip: 'esp32s3', security: { secureDownload: true } });
    expect(await host.ask(syncRequest)).toHaveLength(8);
    expect(await host.status(request(op.spiAttach, [0, 0]))).toBe('0000');
    expect(await host.status(request(op.readReg, [0x60007044]))).toBe('0105');
    expect(await host.status(request(op.memBegin, [4, 1, 4, 0x40378000]))).toBe('0105');
  });

  it('prints that download mode is disabled, and sends no response', async () => {
    const { chip, host } = make({ security: { downloadDisabled: true } });
    chip.reset();
    expect(host.text).toContain('Download mode is disabled');
    expect(await host.ask(syncRequest)).toEqual([]);
  });
});

it('a simulated chip rejects an invalid MAC address', () => {
  expect(() => new SimulatedChip({ chip: 'esp32', mac: '24:0a' })).toThrow('not a MAC address');
});
