import { describe, expect, it } from 'vitest';
import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import type { LoaderOptions } from '../../../src/lib/flash/loader/types.js';
import type { SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import type { Fault } from '../../../src/lib/flash/rom/faults.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { defaults, noise, type TimedChip, text, timedChip } from './board.js';

const app = { name: 'app.bin', offset: 0x10000, data: Uint8Array.from([...noise(30_000), ...text(30_000)]) };

/** Writes and reads back on a separate line, which must be closed in any case. */
async function work({ chip, time }: TimedChip, options: Partial<LoaderOptions> = {}): Promise<void> {
  const line = simulatedLine(chip);
  await time.during(async () => {
    try {
      const loader = await openLoader(line, { ...defaults, ...options, clock: time });
      try {
        await loader.write([app], { skipEqual: false });
        expect(Buffer.compare(await loader.read(app.offset, app.data.length), app.data)).toBe(0);
      } finally {
        await loader.end();
      }
    } finally {
      await expect(line.write(Uint8Array.of(0))).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    }
  });
  expect(Buffer.compare(chip.flash.bytes.subarray(app.offset, app.offset + app.data.length), app.data)).toBe(
    0,
  );
}

async function fails(
  board: TimedChip,
  options: Partial<LoaderOptions> = {},
): Promise<Error & { code: string }> {
  return await work(board, options).then(
    () => {
      throw new Error('it should have failed');
    },
    (error) => error,
  );
}

const forever = 1e9;

interface Failure {
  name: string;
  fault: Fault;
  code: string;
  says?: RegExp;
  stub?: boolean;
  baud?: number;
}
const failures: Failure[] = [
  { name: 'no power', fault: { kind: 'silent' }, code: 'AIOT_CHIP_SILENT', says: /no data arrives/ },
  {
    name: 'a broken wire to the chip',
    fault: { kind: 'deaf' },
    code: 'AIOT_CHIP_DEAF',
    says: /is waiting for a download \(boot:0x4 .*does not receive/,
  },
  {
    name: 'a wrong clock',
    fault: { kind: 'wrong-clock' },
    code: 'AIOT_CHIP_GARBLED',
    says: /at 115200 baud/,
  },
  {
    name: 'a brown-out during sync',
    fault: { kind: 'brownout', op: 0x08, times: forever },
    code: 'AIOT_CHIP_BROWNOUT',
    says: /brown-out/,
  },
  {
    name: 'a brown-out during a write',
    fault: { kind: 'brownout', op: 0x11, after: 1 },
    code: 'AIOT_CHIP_BROWNOUT',
    baud: 115_200,
  },
  {
    name: 'a ROM that crashes during sync',
    fault: { kind: 'panic', op: 0x08, times: forever },
    code: 'AIOT_CHIP_CRASHED',
    says: /Guru Meditation/,
  },
  { name: 'a stub that crashes', fault: { kind: 'panic', op: 0x11, after: 1 }, code: 'AIOT_CHIP_CRASHED' },
  {
    name: 'a reset during a write',
    fault: { kind: 'reset', op: 0x11, after: 1 },
    code: 'AIOT_CHIP_CRASHED',
    says: /left its bootloader while writing app.bin at 0x10000: it was reset/,
  },
  {
    name: 'an unplugged cable',
    fault: { kind: 'unplugged', op: 0x11, after: 1 },
    code: 'AIOT_SERIAL_LOST',
    says: /cable was unplugged/,
  },
  {
    name: 'flash that is not writable',
    fault: { kind: 'block-error', op: 0x11, error: 0xc4, times: forever },
    code: 'AIOT_FLASH_WRITE',
    says: /failed while writing app.bin at 0x10000 \(error 0xc4\)/,
  },
  {
    name: 'repeatedly damaged data',
    fault: { kind: 'block-error', op: 0x11, error: 0xc1, times: forever },
    code: 'AIOT_FLASH_CORRUPTED',
  },
  {
    name: 'repeatedly damaged data, without the stub',
    fault: { kind: 'block-error', error: 0x07, times: forever },
    code: 'AIOT_FLASH_CORRUPTED',
    stub: false,
  },
  {
    name: 'flash that a ROM reports as unwritten',
    fault: { kind: 'block-error', error: 0x08, times: forever },
    code: 'AIOT_FLASH_WRITE',
    stub: false,
  },
  {
    name: 'worn-out flash',
    fault: { kind: 'stuck-flash' },
    code: 'AIOT_FLASH_VERIFY',
    says: /the flash at 0x10000 is still empty/,
  },
  {
    name: 'worn-out flash, without the stub',
    fault: { kind: 'stuck-flash' },
    code: 'AIOT_FLASH_WRITE',
    stub: false,
  },
  { name: 'a wrong MD5', fault: { kind: 'wrong-md5', times: forever }, code: 'AIOT_FLASH_VERIFY' },
  {
    name: 'a wrong MD5 after every read',
    fault: { kind: 'wrong-md5', op: 0xd2, times: forever },
    code: 'AIOT_FLASH_READ',
    says: /4096 bytes from 0x10000 from .* were repeatedly corrupted/,
  },
  {
    name: 'read blocks that are always truncated',
    fault: { kind: 'short-read', times: forever },
    code: 'AIOT_FLASH_CORRUPTED',
    says: /responses .* were lost while reading/,
  },
  {
    name: 'a ROM that hangs',
    fault: { kind: 'hang', op: 0x03, after: 5 },
    code: 'AIOT_CHIP_STOPPED',
    says: /stopped responding while writing app.bin at 0x10000/,
    stub: false,
  },
  {
    name: 'a stub that hangs',
    fault: { kind: 'hang', op: 0xd2 },
    code: 'AIOT_CHIP_STOPPED',
    says: /stopped responding while reading/,
  },
  { name: 'a ROM that never answers sync', fault: { kind: 'stuck-sync' }, code: 'AIOT_CHIP_DEAF' },
];

describe('a fault', () => {
  it.concurrent.each(failures)(
    '$name: fails with $code, closes the port, and a retry succeeds',
    async ({ fault, code, says, stub = true, baud = 921_600 }) => {
      const board = timedChip({ chip: 'esp32c3', faults: [fault] });
      const error = await fails(board, { stub, baud });
      expect(error).toMatchObject({ code, message: expect.stringMatching(says ?? /./) });
      board.chip.faults.clear();
      await work(board, { stub });
    },
  );
});

const passing: { name: string; fault: Fault; stub?: boolean }[] = [
  ...[1, 3, 7].map((answers) => ({
    name: `${answers} of 8 answers to sync`,
    fault: { kind: 'stuck-sync', answers } as const,
  })),
  ...[0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0xd2].map((op) => ({
    name: `a lost answer to request 0x${op.toString(16)}`,
    fault: { kind: 'lost-answer', op } as const,
  })),
  { name: 'a lost answer to a later block', fault: { kind: 'lost-answer', op: 0x11, after: 2 } },
  {
    name: 'a lost answer to a block, without the stub',
    fault: { kind: 'lost-answer', op: 0x03, after: 50 },
    stub: false,
  },
  { name: 'a damaged block', fault: { kind: 'block-error', error: 0xc1 } },
  {
    name: 'a damaged block, without the stub',
    fault: { kind: 'block-error', error: 0x07, after: 20 },
    stub: false,
  },
  { name: 'a stub that does not announce itself', fault: { kind: 'no-ohai' } },
  { name: 'text before an answer', fault: { kind: 'chatter', op: 0x11 } },
  { name: 'text before many answers', fault: { kind: 'chatter', times: 8 } },
  { name: 'a truncated read block', fault: { kind: 'short-read' } },
  { name: 'one wrong MD5', fault: { kind: 'wrong-md5' } },
];

describe('a transient fault', () => {
  it.concurrent.each(passing)('is tolerated: $name', async ({ fault, stub = true }) => {
    await work(timedChip({ chip: 'esp32c3', faults: [fault] }), { stub });
  });

  it.concurrent.each<[string, Fault['kind'], 'in' | 'out', number, boolean]>([
    ['changed bytes to the chip', 'noise', 'in', 3e-5, true],
    ['changed bytes from the chip', 'noise', 'out', 1e-4, true],
    ['lost bytes to the chip', 'lost-bytes', 'in', 3e-5, true],
    ['lost bytes from the chip', 'lost-bytes', 'out', 1e-4, true],
    ['doubled bytes to the chip', 'doubled-bytes', 'in', 3e-5, true],
    ['lost bytes to the chip, without the stub', 'lost-bytes', 'in', 3e-5, false],
  ])('still results in correct flash contents: %s', async (_, kind, direction, rate, stub) => {
    await work(timedChip({ chip: 'esp32', faults: [{ kind, rate, direction } as Fault] }), { stub });
  });

  it.concurrent.each<[Fault['kind'], 'in' | 'out']>([
    ['noise', 'in'],
    ['lost-bytes', 'in'],
    ['lost-bytes', 'out'],
  ])(
    'fails with a specific code and closes the port if there is too much %s (%s)',
    async (kind, direction) => {
      const board = timedChip({ chip: 'esp32', faults: [{ kind, rate: 0.05, direction } as Fault] });
      const { code } = await fails(board);
      expect(code).toMatch(
        /^AIOT_(CHIP_(GARBLED|DEAF|STOPPED|CRASHED|UNKNOWN|BOOT_MODE)|FLASH_CORRUPTED|FLASH_READ|FLASH_VERIFY)$/,
      );
      board.chip.faults.clear();
      await work(board);
    },
  );
});

describe('a cable unplugged at any packet', () => {
  it.concurrent.each([true, false])(
    'is reported as a lost line, and a retry succeeds (stub %s)',
    async (stub) => {
      const small = { ...app, data: app.data.subarray(30_000, 46_000) };
      let pulled = 0;
      for (let after = 0; ; after += stub ? 3 : 2) {
        const { chip, time } = timedChip({ chip: 'esp32c3', faults: [{ kind: 'unplugged', after }] });
        const run = async () => {
          const loader = await openLoader(simulatedLine(chip), {
            ...defaults,
            stub,
            before: 'no-reset',
            after: 'no-reset',
            clock: time,
          });
          await loader.write([small], { skipEqual: false }).finally(() => loader.end());
        };
        const error = await time.during(run).then(
          () => null,
          (reason) => reason,
        );
        if (error === null) break;
        expect(error).toMatchObject({ code: 'AIOT_SERIAL_LOST' });
        pulled++;
        chip.faults.clear();
        chip.reset();
        await time.during(run);
      }
      expect(pulled).toBeGreaterThan(8);
    },
  );
});

const locked: [string, Partial<SimulatedChipOptions>, object][] = [
  ['an ESP32 with secure boot', { chip: 'esp32', security: { secureBoot: true } }, { secureBoot: true }],
  ['a C3 with secure boot', { chip: 'esp32c3', security: { secureBoot: true } }, { secureBoot: true }],
  [
    'an S3 with encryption',
    { chip: 'esp32s3', security: { flashEncryption: true } },
    { flashEncryption: true },
  ],
];

describe('a locked chip', () => {
  it.concurrent.each(locked)('is recognized: %s', async (_, options, security) => {
    const { chip, time } = timedChip({ chip: 'esp32', ...options });
    await time.during(async () => {
      const loader = await openLoader(simulatedLine(chip), { ...defaults, clock: time });
      expect(loader.chip.security).toMatchObject(security);
      if (options.chip === 'esp32c3') expect(loader.stub).toBe(false);
      await loader.end();
    });
  });

  it.concurrent('is reported as locked if its download mode is disabled', async () => {
    const board = timedChip({ chip: 'esp32', security: { downloadDisabled: true } });
    expect(await fails(board)).toMatchObject({ code: 'AIOT_CHIP_LOCKED' });
  });

  it.concurrent.each(['esp32', 'esp32c3', 'esp32s3'] as const)(
    'can be written but not read in secure download mode (%s)',
    async (name) => {
      const { chip, time } = timedChip({ chip: name, security: { secureDownload: true } });
      await time.during(async () => {
        const loader = await openLoader(simulatedLine(chip), { ...defaults, clock: time });
        expect(loader.chip).toMatchObject({ chip: name, security: { secureDownload: true }, mac: '' });
        await loader.write([app]);
        await expect(loader.read(0, 64)).rejects.toMatchObject({ code: 'AIOT_CHIP_LOCKED' });
        await loader.end();
      });
      expect(
        Buffer.compare(chip.flash.bytes.subarray(app.offset, app.offset + app.data.length), app.data),
      ).toBe(0);
    },
  );
});
