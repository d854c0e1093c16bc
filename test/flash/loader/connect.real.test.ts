import { chmodSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import type { LoaderOptions } from '../../../src/lib/flash/loader/types.js';
import type { SerialLine } from '../../../src/lib/flash/port/line.js';
import { openLine } from '../../../src/lib/flash/port/open-line.js';
import { SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { type ServedChip, serveChip, simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { describeReal } from '../../support/real.js';
import { defaults, noise } from './board.js';

/** A proxy of the line without DTR and RTS, like a pty. */
function bare(line: SerialLine): SerialLine {
  return new Proxy(line, {
    get(target, key) {
      if (key === 'hasControlLines') return false;
      if (key === 'setControlLines') return async () => {};
      const value = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function connect(chip: SimulatedChip, options: Partial<LoaderOptions> = {}) {
  return openLoader(bare(simulatedLine(chip)), { ...defaults, ...options });
}

async function reason(chip: SimulatedChip, options: Partial<LoaderOptions> = {}): Promise<unknown> {
  return await connect(chip, options).then(
    () => null,
    (error) => error,
  );
}

describe('a chip on a line without DTR and RTS', () => {
  it('is left with its stub running at the ROM’s baud rate, and the next session reuses the stub', async () => {
    const chip = new SimulatedChip({ chip: 'esp32' });
    const first = await connect(chip);
    await first.raiseSpeed();
    expect(first).toMatchObject({ stub: true, baud: 921_600, canReset: false });
    await first.end();
    expect(chip).toMatchObject({ state: 'stub', uart: { baud: 115_200 } });
    const stages: string[] = [];
    const second = await connect(chip, { progress: ({ stage }) => stages.push(stage) });
    expect(second.stub).toBe(true);
    expect(stages).not.toContain('stub');
    await second.end();
  });

  it.each([921_600, 460_800])('is found at %i baud after a killed session', async (baud) => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    await (await connect(chip, { baud })).raiseSpeed();
    expect(chip.uart.baud).toBe(baud);
    const again = await connect(chip);
    expect(again.chip.chip).toBe('esp32c3');
    await again.end();
  });

  it('is rejected while its program runs, and accepted in download mode', async () => {
    const chip = new SimulatedChip({ chip: 'esp32', boot: 'run' });
    expect(await reason(chip)).toMatchObject({
      code: expect.stringMatching(/^AIOT_CHIP_(BOOT_MODE|SILENT)$/),
    });
    chip.setBoot('download');
    chip.reset();
    expect(await reason(chip)).toBeNull();
  });

  it.each<[string, Partial<LoaderOptions>, RegExp]>([
    ['after the reset', {}, /started its program after the reset .*boot:0x13 .* its boot pin was high/],
    ['at its last boot', { before: 'no-reset' }, /started its program at its last boot .*boot:0x13/],
  ])('is reported to have started its program %s if DTR has no effect', async (_, options, says) => {
    const chip = new SimulatedChip({ chip: 'esp32', boot: 'run' });
    const line = simulatedLine(chip);
    const noDtr = new Proxy(line, {
      get(target, key) {
        if (key === 'setControlLines')
          return (lines: { dtr: boolean; rts: boolean }) => target.setControlLines({ ...lines, dtr: false });
        const value = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const starts = setInterval(() => options.before && chip.reset(), 50);
    const opening = openLoader(noDtr, { ...defaults, ...options }).finally(() => clearInterval(starts));
    await expect(opening).rejects.toMatchObject({
      code: 'AIOT_CHIP_BOOT_MODE',
      message: expect.stringMatching(says),
    });
  });

  it('reconnects after a truncated packet', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const loader = await connect(chip, { baud: 115_200 });
    await loader.end();
    chip.receive(Uint8Array.of(0xc0, 0, 0x11, 0x10, 0x40, 1, 2, 3), 115_200);
    expect(await reason(chip)).toBeNull();
  });

  it('is reported as garbled if sent data is echoed back', async () => {
    const chip = new SimulatedChip({ chip: 'esp32', faults: [{ kind: 'silent' }] });
    const line = bare(simulatedLine(chip));
    const echo = new Proxy(line, {
      get: (target, key) => {
        if (key === 'listen') {
          return (listener: Parameters<SerialLine['listen']>[0]) => {
            heard = listener.data.bind(listener);
            return target.listen(listener);
          };
        }
        if (key === 'write') return async (bytes: Uint8Array) => setImmediate(() => heard(bytes));
        return Reflect.get(target, key);
      },
    });
    let heard: (bytes: Uint8Array) => void = () => {};
    await expect(openLoader(echo, defaults)).rejects.toMatchObject({
      code: 'AIOT_CHIP_GARBLED',
      message: expect.stringContaining('is echoed back'),
    });
  });

  it('is abandoned promptly when the user aborts connecting', async () => {
    const stop = new AbortController();
    const chip = new SimulatedChip({ chip: 'esp32', faults: [{ kind: 'silent' }] });
    setTimeout(() => stop.abort(new Error('stopped')), 100);
    const started = performance.now();
    await expect(connect(chip, { signal: stop.signal })).rejects.toThrow('stopped');
    expect(performance.now() - started).toBeLessThan(2000);
  });

  /** The adapter accepts the request for a high baud rate, but sets a different one. */
  const slow = (line: SerialLine): SerialLine =>
    new Proxy(line, {
      get: (target, key) => {
        if (key === 'setBaud') return (baud: number) => target.setBaud(baud === 921_600 ? 300_000 : baud);
        const value = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });

  const region = { name: 'x', offset: 0, data: noise(5000) };

  it('fails with an error if the adapter does not support the baud rate', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const loader = await openLoader(slow(bare(simulatedLine(chip))), defaults);
    try {
      await expect(loader.write([region])).rejects.toMatchObject({ code: 'AIOT_SERIAL_BAUD' });
    } finally {
      await loader.end();
    }
  });

  it('falls back to a supported baud rate if DTR and RTS are available', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const loader = await openLoader(slow(simulatedLine(chip)), defaults);
    await loader.write([region]);
    expect(loader).toMatchObject({ baud: 115_200, stub: true });
    expect(chip.flash.bytes.subarray(0, region.data.length)).toEqual(region.data);
    await loader.end();
  });

  it('raises the baud rate only for large transfers, and only once', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const loader = await openLoader(simulatedLine(chip), defaults);
    chip.flash.bytes.set(region.data, region.offset);
    expect(await loader.write([region])).toMatchObject([{ skipped: true }]);
    await loader.read(0, 512);
    expect(loader.baud).toBe(115_200);
    await loader.read(0, 5000);
    expect(loader.baud).toBe(921_600);
    await loader.write([{ ...region, offset: 0x10000 }]);
    expect(loader.baud).toBe(921_600);
    await loader.end();
  });
});

const mismatches: [Partial<SimulatedChipOptions>, LoaderOptions['chip'], string][] = [
  [{ chip: 'esp32' }, 'esp32c3', 'AIOT_CHIP_MISMATCH'],
  [{ chip: 'esp32s3' }, 'esp32', 'AIOT_CHIP_MISMATCH'],
  [{ chip: 'esp32', words: { 1073745920: 0x1234 } }, 'auto', 'AIOT_CHIP_UNKNOWN'],
];

describe('the chip type', () => {
  it.each(mismatches)('%o is rejected as %s with %s', async (options, chip, code) => {
    expect(await reason(new SimulatedChip({ chip: 'esp32', ...options }), { chip })).toMatchObject({ code });
  });
});

describeReal('socat', 'a chip behind a bare pty', () => {
  const work = async (served: ServedChip, stub: boolean) => {
    const line = await openLine(served.address, { baud: 115_200 });
    const loader = await openLoader(line, { ...defaults, stub });
    const data = noise(70_001, 9);
    await loader.write([{ name: 'x', offset: 0x10000, data }], { skipEqual: false });
    expect(await loader.read(0x10000 + 60_000, 10_001)).toEqual(data.subarray(60_000));
    await loader.end();
    // The port must be available again immediately.
    await (await openLine(served.address, { baud: 115_200 })).close();
  };

  it.each(['esp32', 'esp32s3', 'esp32c3'] as const)(
    '%s is written without the stub, then twice with it',
    async (name) => {
      const served = await serveChip(new SimulatedChip({ chip: name }), { pty: true });
      try {
        await work(served, false);
        await work(served, true);
        await work(served, true);
      } finally {
        await served.close();
      }
    },
  );

  it('is reported as lost when the other end fails', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3', faults: [{ kind: 'unplugged', op: 0x03, after: 1 }] });
    const served = await serveChip(chip, { pty: true });
    await expect(work(served, true)).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    await served.close();
  });

  it('is reported as denied without permission to open the pty', async () => {
    const served = await serveChip(new SimulatedChip({ chip: 'esp32' }), { pty: true });
    chmodSync(served.address, 0o600);
    const root = process.geteuid?.() === 0;
    if (root) process.seteuid?.(65_534);
    else chmodSync(served.address, 0);
    try {
      await expect(openLine(served.address, { baud: 115_200 })).rejects.toMatchObject({
        code: 'AIOT_SERIAL_DENIED',
      });
    } finally {
      if (root) process.seteuid?.(0);
      await served.close();
    }
  });
});
