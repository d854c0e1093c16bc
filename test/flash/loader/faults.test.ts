import { describe, expect, it } from 'vitest';
import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import type { LoaderOptions } from '../../../src/lib/flash/loader/types.js';
import type { SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import type { Fault } from '../../../src/lib/flash/rom/faults.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { defaults, noise, type TimedChip, text, timedChip } from './board.js';

const app = { name: 'app.bin', offset: 0x10000, data: Uint8Array.from([...noise(30_000), ...text(30_000)]) };

/** Writes and reads back on a line of its own; the line must be closed whatever happens. */
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
  { name: 'no power', fault: { kind: 'silent' }, code: 'AIOT_CHIP_SILENT', says: /nothing comes/ },
  {
    name: 'a broken wire to the chip',
    fault: { kind: 'deaf' },
    code: 'AIOT_CHIP_DEAF',
    says: /waits for a download \(boot:0x4 .*does not hear/,
  },
  {
    name: 'a divided clock',
    fault: { kind: 'wrong-clock' },
    code: 'AIOT_CHIP_GARBLED',
    says: /at 115200 baud/,
  },
  {
    name: 'a supply that dips when it is greeted',
    fault: { kind: 'brownout', op: 0x08, times: forever },
    code: 'AIOT_CHIP_BROWNOUT',
    says: /brown-out/,
  },
  {
    name: 'a supply that dips when it writes',
    fault: { kind: 'brownout', op: 0x11, after: 1 },
    code: 'AIOT_CHIP_BROWNOUT',
    baud: 115_200,
  },
  {
    name: 'a ROM that crashes when it is greeted',
    fault: { kind: 'panic', op: 0x08, times: forever },
    code: 'AIOT_CHIP_CRASHED',
    says: /Guru Meditation/,
  },
  { name: 'a stub that crashes', fault: { kind: 'panic', op: 0x11, after: 1 }, code: 'AIOT_CHIP_CRASHED' },
  {
    name: 'a reset while it writes',
    fault: { kind: 'reset', op: 0x11, after: 1 },
    code: 'AIOT_CHIP_CRASHED',
    says: /left its loader while writing app.bin at 0x10000: it was reset/,
  },
  {
    name: 'a pulled cable',
    fault: { kind: 'unplugged', op: 0x11, after: 1 },
    code: 'AIOT_SERIAL_LOST',
    says: /cable was pulled/,
  },
  {
    name: 'flash that cannot be written',
    fault: { kind: 'block-error', op: 0x11, error: 0xc4, times: forever },
    code: 'AIOT_FLASH_WRITE',
    says: /failed while writing app.bin at 0x10000 \(error 0xc4\)/,
  },
  {
    name: 'data damaged again and again',
    fault: { kind: 'block-error', op: 0x11, error: 0xc1, times: forever },
    code: 'AIOT_FLASH_CORRUPTED',
  },
  {
    name: 'data damaged again and again, without stub',
    fault: { kind: 'block-error', error: 0x07, times: forever },
    code: 'AIOT_FLASH_CORRUPTED',
    stub: false,
  },
  {
    name: 'flash that a ROM finds unwritten',
    fault: { kind: 'block-error', error: 0x08, times: forever },
    code: 'AIOT_FLASH_WRITE',
    stub: false,
  },
  {
    name: 'worn out flash',
    fault: { kind: 'stuck-flash' },
    code: 'AIOT_FLASH_VERIFY',
    says: /the flash at 0x10000 is still empty/,
  },
  {
    name: 'worn out flash, without stub',
    fault: { kind: 'stuck-flash' },
    code: 'AIOT_FLASH_WRITE',
    stub: false,
  },
  { name: 'a wrong MD5', fault: { kind: 'wrong-md5', times: forever }, code: 'AIOT_FLASH_VERIFY' },
  {
    name: 'a wrong MD5 behind all that is read',
    fault: { kind: 'wrong-md5', op: 0xd2, times: forever },
    code: 'AIOT_FLASH_READ',
    says: /4096 bytes from 0x10000 arrive changed from .*, again and again/,
  },
  {
    name: 'blocks of a reading cut short for ever',
    fault: { kind: 'short-read', times: forever },
    code: 'AIOT_FLASH_CORRUPTED',
    says: /answers .* were lost while reading/,
  },
  {
    name: 'a ROM that hangs',
    fault: { kind: 'hang', op: 0x03, after: 5 },
    code: 'AIOT_CHIP_STOPPED',
    says: /stopped answering while writing app.bin at 0x10000/,
    stub: false,
  },
  {
    name: 'a stub that hangs',
    fault: { kind: 'hang', op: 0xd2 },
    code: 'AIOT_CHIP_STOPPED',
    says: /stopped answering while reading/,
  },
  { name: 'a ROM that greets nobody', fault: { kind: 'stuck-sync' }, code: 'AIOT_CHIP_DEAF' },
];

describe('a fault', () => {
  it.concurrent.each(failures)(
    '$name: $code, the port let go, and a repeat succeeds',
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
    name: `${answers} of 8 answers to a greeting`,
    fault: { kind: 'stuck-sync', answers } as const,
  })),
  ...[0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0xd2].map((op) => ({
    name: `a lost answer to request 0x${op.toString(16)}`,
    fault: { kind: 'lost-answer', op } as const,
  })),
  { name: 'a lost answer to a block, late', fault: { kind: 'lost-answer', op: 0x11, after: 2 } },
  {
    name: 'a lost answer to a block, without stub',
    fault: { kind: 'lost-answer', op: 0x03, after: 50 },
    stub: false,
  },
  { name: 'a damaged block', fault: { kind: 'block-error', error: 0xc1 } },
  {
    name: 'a damaged block, without stub',
    fault: { kind: 'block-error', error: 0x07, after: 20 },
    stub: false,
  },
  { name: 'a stub that does not say that it runs', fault: { kind: 'no-ohai' } },
  { name: 'text in front of an answer', fault: { kind: 'chatter', op: 0x11 } },
  { name: 'text in front of many answers', fault: { kind: 'chatter', times: 8 } },
  { name: 'a block of a reading cut short', fault: { kind: 'short-read' } },
  { name: 'one wrong MD5', fault: { kind: 'wrong-md5' } },
];

describe('a disturbance', () => {
  it.concurrent.each(passing)('$name does no harm', async ({ fault, stub = true }) => {
    await work(timedChip({ chip: 'esp32c3', faults: [fault] }), { stub });
  });

  it.concurrent.each<[string, Fault['kind'], 'in' | 'out', number, boolean]>([
    ['changed bytes to the chip', 'noise', 'in', 3e-5, true],
    ['changed bytes from the chip', 'noise', 'out', 1e-4, true],
    ['lost bytes to the chip', 'lost-bytes', 'in', 3e-5, true],
    ['lost bytes from the chip', 'lost-bytes', 'out', 1e-4, true],
    ['doubled bytes to the chip', 'doubled-bytes', 'in', 3e-5, true],
    ['lost bytes to the chip, without stub', 'lost-bytes', 'in', 3e-5, false],
  ])('%s: what is written is right in the end', async (_, kind, direction, rate, stub) => {
    await work(timedChip({ chip: 'esp32', faults: [{ kind, rate, direction } as Fault] }), { stub });
  });

  it.concurrent.each<[Fault['kind'], 'in' | 'out']>([
    ['noise', 'in'],
    ['lost-bytes', 'in'],
    ['lost-bytes', 'out'],
  ])('too much %s (%s) has its own codes and lets the port go', async (kind, direction) => {
    const board = timedChip({ chip: 'esp32', faults: [{ kind, rate: 0.05, direction } as Fault] });
    const { code } = await fails(board);
    expect(code).toMatch(
      /^AIOT_(CHIP_(GARBLED|DEAF|STOPPED|CRASHED|UNKNOWN|BOOT_MODE)|FLASH_CORRUPTED|FLASH_READ|FLASH_VERIFY)$/,
    );
    board.chip.faults.clear();
    await work(board);
  });
});

describe('a cable pulled at any packet', () => {
  it.concurrent.each([true, false])('is told as that, and a repeat succeeds (stub %s)', async (stub) => {
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
  });
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
  it.concurrent.each(locked)('%s is known as such', async (_, options, security) => {
    const { chip, time } = timedChip({ chip: 'esp32', ...options });
    await time.during(async () => {
      const loader = await openLoader(simulatedLine(chip), { ...defaults, clock: time });
      expect(loader.chip.security).toMatchObject(security);
      if (options.chip === 'esp32c3') expect(loader.stub).toBe(false);
      await loader.end();
    });
  });

  it.concurrent('whose download mode is off says so', async () => {
    const board = timedChip({ chip: 'esp32', security: { downloadDisabled: true } });
    expect(await fails(board)).toMatchObject({ code: 'AIOT_CHIP_LOCKED' });
  });

  it.concurrent.each(['esp32', 'esp32c3', 'esp32s3'] as const)(
    'in secure download mode is written and not read (%s)',
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
