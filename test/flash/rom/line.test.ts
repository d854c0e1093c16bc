import { afterEach, describe, expect, it } from 'vitest';
import type { SerialLine } from '../../../src/lib/flash/port/line.js';
import { type Bridge, SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { encodeSlip } from '../../../src/lib/flash/rom/protocol.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { op, request, syncRequest } from './talk.js';

const chips: SimulatedChip[] = [];
function make(options: Partial<SimulatedChipOptions> = {}) {
  const chip = new SimulatedChip({ chip: 'esp32', ...options });
  chips.push(chip);
  const line = simulatedLine(chip);
  const heard: number[] = [];
  line.listen({ data: (bytes) => heard.push(...bytes), closed: () => undefined });
  return { chip, line, heard, text: () => Buffer.from(heard).toString('latin1') };
}
afterEach(() => {
  for (const chip of chips.splice(0)) chip.powerOff();
});
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves once the chip has handled what was written, and has sent its answer. */
async function handled(chip: SimulatedChip): Promise<void> {
  // Written data arrives at the end of this event-loop turn; on a busy machine, a timer may fire earlier.
  await new Promise((resolve) => setImmediate(resolve));
  await chip.settled();
}

/**
 * Sets DTR and RTS in steps of `[dtr, rts]`, 10 ms apart. Source: section "Connecting" of esptool's
 * documentation on boot modes.
 */
async function drive(line: SerialLine, steps: [number, number][]): Promise<void> {
  for (const [dtr, rts] of steps) {
    await line.setControlLines({ dtr: dtr === 1, rts: rts === 1 });
    await wait(10);
  }
}

describe('DTR and RTS', () => {
  it.each<[string, Bridge, [number, number][], string]>([
    [
      'tight',
      'uart',
      [
        [0, 0],
        [1, 1],
        [0, 1],
        [1, 0],
        [0, 0],
      ],
      'rom',
    ],
    [
      'classic',
      'uart',
      [
        [0, 1],
        [1, 0],
        [0, 0],
      ],
      'rom',
    ],
    [
      'hard reset',
      'uart',
      [
        [0, 1],
        [0, 0],
      ],
      'program',
    ],
    [
      'opening a port asserts both',
      'uart',
      [
        [1, 0],
        [1, 1],
      ],
      'program',
    ],
    ['held in reset', 'uart', [[0, 1]], 'held'],
    [
      'USB-JTAG',
      'usb-jtag',
      [
        [0, 0],
        [1, 0],
        [1, 1],
        [0, 1],
        [0, 0],
      ],
      'rom',
    ],
    [
      'USB-JTAG hard reset',
      'usb-jtag',
      [
        [0, 0],
        [0, 1],
        [0, 0],
      ],
      'program',
    ],
  ])('%s (%s)', async (_, bridge, steps, state) => {
    const { chip, line } = make({ boot: 'run', bridge });
    await drive(line, steps);
    expect(chip.state).toBe(state);
  });

  it('of the USB-JTAG unit have no effect on the boot right after the reset is released', async () => {
    const { chip, line } = make({ boot: 'run', bridge: 'usb-jtag' });
    await drive(line, [
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 1],
    ]);
    // A host that releases the lines one by one sends the last state twice.
    const released = { dtr: false, rts: false };
    await Promise.all([line.setControlLines(released), line.setControlLines(released)]);
    await expect.poll(() => chip.state).toBe('rom');
  });

  it('release the BOOT button on first use', async () => {
    const { chip, line } = make();
    expect(chip.state).toBe('rom');
    await drive(line, [
      [0, 1],
      [0, 0],
    ]);
    expect(chip.state).toBe('program');
  });

  it('reset the chip into its ROM loader at the default baud rate', async () => {
    const { chip, line, text } = make({ boot: 'run' });
    chip.uart.baud = 460_800;
    await drive(line, [
      [0, 1],
      [1, 0],
      [0, 0],
    ]);
    expect([chip.uart.baud, chip.state]).toEqual([115_200, 'rom']);
    expect(text()).toContain('waiting for download');
  });
});

describe('the baud rate', () => {
  it('is measured by the ROM from the first bytes, and must match afterward', async () => {
    const { chip, line, heard } = make();
    await line.setBaud(230_400);
    await line.write(encodeSlip(syncRequest));
    await handled(chip);
    expect(chip.uart.baud).toBe(230_400);
    expect(heard).toHaveLength(8 * 14);
    heard.length = 0;
    await line.setBaud(115_200);
    await line.write(encodeSlip(syncRequest));
    await handled(chip);
    expect(heard).toEqual([]);
  });

  it('changes after the response, which is sent at the old rate', async () => {
    const { chip, line, heard } = make();
    await line.write(encodeSlip(request(op.changeBaud, [921_600, 0])));
    await handled(chip);
    expect(Buffer.from(heard).toString('hex')).toBe('c0010f04000000000000000000c0');
    heard.length = 0;
    await line.setBaud(921_600);
    await line.write(encodeSlip(request(op.readReg, [0x40001000])));
    await handled(chip);
    expect(heard).toHaveLength(14);
  });

  it('garbles the boot text if the host uses another one', async () => {
    const { chip, line, heard } = make();
    await line.setBaud(74_880);
    chip.reset();
    expect(heard.length).toBeGreaterThan(50);
    expect(heard.every((byte) => [0, 0x80, 0xe0, 0xf8, 0xfc, 0xfe].includes(byte))).toBe(true);
  });
});

describe('simulated timing', () => {
  it.each([115_200, 921_600])('matches a UART at %d bits per second', async (baud) => {
    const { chip, line } = make({ timing: 'uart' });
    await line.setBaud(baud);
    const block = request(op.memData, [0x1800, 0, 0, 0], Buffer.alloc(0x1800));
    const wireMs = ((26 + block.length + 2 + 28) * 10_000) / baud;
    const times: number[] = [];
    for (let run = 0; run < 3; run++) {
      const begun = performance.now();
      await line.write(encodeSlip(request(op.memBegin, [0x1800, 1, 0x1800, 0x400a8000])));
      await line.write(encodeSlip(block));
      await handled(chip);
      times.push(performance.now() - begun);
    }
    // A busy machine can only make runs longer, never shorter.
    expect(Math.min(...times)).toBeGreaterThan(wireMs * 0.98);
    expect(Math.min(...times)).toBeLessThan(wireMs + 150);
  });
});
