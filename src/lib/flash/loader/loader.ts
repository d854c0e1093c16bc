import { createHash } from 'node:crypto';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import type { Clock } from '../../core/time.js';
import { fuseAddresses } from '../../formats/efuse.js';
import type { ChipName } from '../../formats/esp-image/chips.js';
import { flashTimeMs, op, quick, romBaud, sectorBytes, words } from './exchange.js';
import { loadRam, startRam } from './ram.js';
import { flashMd5, matches, readFlash } from './read.js';
import { resetBoard } from './reset.js';
import { readSecurity } from './security-info.js';
import { changeBaud, doing, report, requireInFlash, type Session } from './session.js';
import type {
  AfterMode,
  ChipInfo,
  Loader,
  Region,
  RegionResult,
  RegisterAccess,
  SecurityInfo,
  WriteOptions,
} from './types.js';
import { beginWords, writeRegions } from './write.js';

/** A session with one chip, as used by the rest of the program. */
export class ChipLoader implements Loader {
  readonly chip: ChipInfo;
  readonly stub: boolean;
  private ended: Promise<void> | null = null;

  constructor(private readonly session: Session) {
    this.chip = session.chip;
    this.stub = session.stub;
  }

  get baud(): number {
    return this.session.wire.line.baud;
  }

  get canReset(): boolean {
    return this.session.canReset;
  }

  get securityInfo(): SecurityInfo | null {
    return this.session.securityInfo;
  }

  get registers(): RegisterAccess | null {
    const { session, chip } = this;
    if (chip.security.secureDownload) return null;
    const { exchange } = session;
    return {
      read: (address) =>
        doing(session, `reading the register ${hex(address)}`, async () => {
          const { value } = await exchange.ask({ op: op.readReg, data: words(address), ...quick });
          return value >>> 0;
        }),
      write: (address, value) =>
        doing(session, `writing the register ${hex(address)}`, async () => {
          const data = words(address, value, 0xffff_ffff, 0);
          await exchange.ask({ op: op.writeReg, data, ...quick });
        }),
      security: () => doing(session, "reading the chip's security", () => readSecurity(exchange)),
    };
  }

  async fuseWords(): Promise<number[] | null> {
    const { session, chip } = this;
    if (chip.security.secureDownload) return null;
    return doing(session, 'reading the fuses', async () => {
      const words: number[] = [];
      for (const address of fuseAddresses(chip.chip)) words.push(await session.esptool.readReg(address));
      return words;
    });
  }

  raiseSpeed(): Promise<void> {
    return doing(this.session, 'raising the speed', () => this.session.raiseSpeed());
  }

  async md5(offset: number, length: number): Promise<string> {
    const { session } = this;
    requireInFlash(session, offset, length);
    const wholeWords = offset % 4 === 0 && length % 4 === 0 && length > 0;
    return doing(session, `reading ${length} bytes at ${hex(offset)}`, async () =>
      wholeWords
        ? flashMd5(session, offset, length)
        : createHash('md5')
            .update(await readFlash(session, offset, length))
            .digest('hex'),
    );
  }

  async matches(region: Region): Promise<boolean> {
    const { session } = this;
    const { offset, data, name } = region;
    requireInFlash(session, offset, data.length);
    report(session, { stage: 'verify', region: name, done: 0, total: data.length });
    return doing(session, `reading back ${name} at ${hex(offset)}`, () => matches(session, offset, data));
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    requireInFlash(this.session, offset, length);
    return doing(this.session, `reading ${length} bytes at ${hex(offset)}`, () =>
      readFlash(this.session, offset, length),
    );
  }

  write(regions: readonly Region[], options?: WriteOptions): Promise<RegionResult[]> {
    return writeRegions(this.session, regions, options);
  }

  async eraseRegion(offset: number, length: number): Promise<void> {
    const { session } = this;
    requireInFlash(session, offset, length);
    if (offset % sectorBytes !== 0 || length % sectorBytes !== 0) {
      throw new AiotError(
        'AIOT_USAGE',
        `only whole sectors of ${hex(sectorBytes)} bytes can be erased; got ${hex(length)} at ${hex(offset)}`,
      );
    }
    if (length === 0) return;
    report(session, { stage: 'erase', region: null, done: 0, total: length });
    const beat = (seconds: number) =>
      report(session, { stage: 'erase', region: null, done: 0, total: length, note: `${seconds} s` });
    await doing(session, `erasing ${hex(length)} bytes at ${hex(offset)}`, () =>
      withBeats(session.wire.clock, beat, () => eraseRegion(session, offset, length)),
    );
    report(session, { stage: 'erase', region: null, done: length, total: length });
  }

  async eraseAll(): Promise<void> {
    const { session } = this;
    const total = this.chip.flash.bytes ?? 0;
    if (!session.stub && total === 0) {
      throw new AiotError(
        'AIOT_FLASH_WRITE',
        `the flash at ${session.wire.line.address} does not report its size`,
        {
          next: 'Omit --no-stub: the stub can erase the whole flash without knowing its size.',
        },
      );
    }
    let at = 0;
    const erased = (done: number, note?: string) => {
      at = done;
      report(session, { stage: 'erase', region: null, done, total, ...(note && { note }) });
    };
    erased(0);
    const beat = (seconds: number) => erased(at, `${seconds} s`);
    await doing(session, 'erasing the whole flash', () =>
      withBeats(session.wire.clock, beat, () => eraseAll(session, (done) => erased(done))),
    );
    erased(total);
  }

  async runInRam(segments: readonly { address: number; data: Uint8Array }[], entry: number): Promise<void> {
    const { session } = this;
    const { exchange } = session;
    const total = segments.reduce((sum, { data }) => sum + data.length, 0);
    let before = 0;
    await doing(session, 'loading a program into RAM', async () => {
      for (const { address, data } of segments) {
        await loadRam(exchange, data, address, (done) =>
          report(session, { stage: 'write', region: hex(address), done: before + done, total }),
        );
        before += data.length;
      }
      await startRam(exchange, entry);
    });
    session.programRuns = true;
  }

  end(): Promise<void> {
    this.ended ??= this.finish();
    return this.ended;
  }

  /** Ends the session, even after a failure, because an unresponsive chip must not keep the port open. */
  private async finish(): Promise<void> {
    const { wire } = this.session;
    report(this.session, { stage: 'reset', region: null, done: 0, total: 0 });
    try {
      wire.throwIfEnded();
      await leave(this.session);
    } catch {
      // Errors are ignored, because the work is done or has already failed. If the chip cannot be reset here, the user must reset it.
    } finally {
      wire.release();
      await wire.line.close();
    }
  }
}

const eraseSecondsPerMB = 40;
const wholeChipMs = 120_000;

/** Erases whole sectors. A ROM erases only at the start of a write, so a write is started and no data is sent. */
async function eraseRegion(session: Session, offset: number, length: number): Promise<void> {
  const { exchange, stub } = session;
  const timeoutMs = flashTimeMs(length, eraseSecondsPerMB);
  if (stub) {
    await exchange.ask({ op: op.eraseRegion, data: words(offset, length), timeoutMs, tries: 3 });
    return;
  }
  const data = beginWords(session, {
    size: length,
    blocks: Math.ceil(length / 0x400),
    blockBytes: 0x400,
    offset,
  });
  await exchange.ask({ op: op.flashBegin, data, timeoutMs, tries: 3 });
}

/** Erases the whole flash. A stub uses the flash's own command; a ROM erases it region by region. */
async function eraseAll(session: Session, progress: (done: number) => void): Promise<void> {
  const { exchange, stub, chip } = session;
  if (stub) {
    await exchange.ask({ op: op.eraseFlash, timeoutMs: wholeChipMs, tries: 2 });
    return;
  }
  const total = chip.flash.bytes ?? 0;
  const step = 16 * 0x10 * sectorBytes;
  for (let done = 0; done < total; done += step) {
    await eraseRegion(session, done, Math.min(step, total - done));
    progress(Math.min(total, done + step));
  }
}

/** Interval between reports of elapsed time, ms. Short enough to show progress, and long enough not to flood a log. */
const everyMs = 3000;

/** Runs `work`, and reports the elapsed seconds every few seconds. */
export async function withBeats<T>(
  clock: Clock,
  beat: (seconds: number) => void,
  work: () => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const beats = async () => {
    for (let seconds = everyMs / 1000; ; seconds += everyMs / 1000) {
      await clock.sleep(everyMs, done.signal);
      beat(seconds);
    }
  };
  beats().catch(() => {});
  try {
    return await work();
  } finally {
    done.abort();
  }
}

/**
 * Leaves the chip as requested: with its program running, or with the loader waiting at the speed at which the next session starts.
 * A chip that cannot be reset (no DTR and RTS) remains in the loader.
 */
async function leave(session: Session): Promise<void> {
  const { wire, options } = session;
  // A program in RAM does not answer, and a reset would end it.
  if (session.programRuns) return;
  const { line } = wire;
  switch (options.after) {
    case 'hard-reset':
      if (await resetBoard(line, 'hard-reset', wire.clock)) return;
      break;
    case 'watchdog-reset':
      if (await watchdogReset(session)) return;
      break;
    case 'soft-reset':
      await runProgram(session);
      if (!session.stub) return;
      break;
    case 'no-reset':
    case 'no-reset-stub':
      break;
  }
  await backToRomBaud(session);
}

async function backToRomBaud({ wire, exchange, esptool, chip, stub }: Session): Promise<void> {
  if (wire.line.baud === romBaud) return;
  await changeBaud(exchange, esptool, { baud: romBaud, stub, esp32: chip.chip === 'esp32' });
}

/**
 * Ends an empty write with a request to reboot. A ROM reboots. The current stub only answers, because it does not implement the request
 * yet.
 */
async function runProgram(session: Session): Promise<void> {
  const { exchange, stub } = session;
  const begin = { size: 0, blocks: 0, blockBytes: stub ? 0x4000 : 0x400, offset: 0 };
  await exchange.ask({ op: op.flashBegin, data: beginWords(session, begin) });
  await exchange.ask({ op: op.flashEnd, data: words(0) });
}

/** Registers of the low-power watchdog on chips since the C6. */
const lowPowerWatchdog = (base: number) => ({
  protect: base + 0x18,
  config0: base,
  config1: base + 4,
});

/**
 * Registers of the RTC watchdog: write protection, configuration 0 and 1. The C6 is missing, because its USB Serial/JTAG port can disappear
 * permanently after this reset. Source: esptool, "watchdog-reset".
 */
export const watchdogs: Partial<Record<ChipName, { protect: number; config0: number; config1: number }>> = {
  esp32s2: { protect: 0x3f40_80ac, config0: 0x3f40_8094, config1: 0x3f40_8098 },
  esp32s3: { protect: 0x6000_80b0, config0: 0x6000_8098, config1: 0x6000_809c },
  esp32c3: { protect: 0x6000_80a8, config0: 0x6000_8090, config1: 0x6000_8094 },
  esp32c2: { protect: 0x6000_809c, config0: 0x6000_8084, config1: 0x6000_8088 },
  esp32c5: lowPowerWatchdog(0x600b_1c00),
  esp32c61: lowPowerWatchdog(0x600b_1c00),
  esp32p4: lowPowerWatchdog(0x5011_6000),
};

const watchdogKey = 0x50d8_3aa1;

/** Whether the program starts if the session ends in this way. */
export function startsProgram(
  { chip, stub, canReset }: Pick<Loader, 'chip' | 'stub' | 'canReset'>,
  after: AfterMode,
): boolean {
  if (after === 'hard-reset') return canReset;
  if (after === 'soft-reset') return !stub;
  return after === 'watchdog-reset' && chip.chip in watchdogs && !chip.security.secureDownload;
}

/** Resets the chip by its watchdog, which needs no control lines. @returns false if the registers of this chip are not known */
async function watchdogReset({ esptool, chip, wire }: Session): Promise<boolean> {
  const registers = watchdogs[chip.chip];
  if (!registers || chip.security.secureDownload) return false;
  const { protect, config0, config1 } = registers;
  await esptool.writeReg(protect, watchdogKey);
  await esptool.writeReg(config1, 2000);
  // Enables the watchdog. Its stage 0 resets the system, and the lower bits set the lengths of the reset pulses.
  await esptool.writeReg(config0, (1 << 31) | (5 << 28) | (1 << 8) | 2);
  await esptool.writeReg(protect, 0);
  await wire.pause(500);
  return true;
}
