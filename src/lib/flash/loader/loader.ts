import { createHash } from 'node:crypto';
import { AiotError } from '../../core/index.js';
import { withBeats } from './beats.js';
import { hex, sectorBytes } from './commands.js';
import { eraseAll, eraseRegion } from './erase.js';
import { leave } from './leave.js';
import { matches } from './matches.js';
import { flashMd5 } from './md5.js';
import { readFlash } from './read.js';
import { doing, report, requireInFlash, type Session } from './session.js';
import type { ChipInfo, Loader, Region, RegionResult, WriteOptions } from './types.js';
import { writeRegions } from './write.js';

/** A session with one chip, as the rest of the program sees it. */
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
        `only whole sectors of ${hex(sectorBytes)} bytes can be erased, got ${hex(length)} at ${hex(offset)}`,
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
        `the flash at ${session.wire.line.address} does not tell its size`,
        {
          next: 'Leave --no-stub out: the stub erases the whole flash without knowing its size.',
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

  end(): Promise<void> {
    this.ended ??= this.finish();
    return this.ended;
  }

  /** After a failure too: what the chip no longer does must not keep the port. */
  private async finish(): Promise<void> {
    const { wire } = this.session;
    report(this.session, { stage: 'reset', region: null, done: 0, total: 0 });
    try {
      wire.throwIfEnded();
      await leave(this.session);
    } catch {
      // The work is done or has failed already; a chip that cannot be reset is reset by hand.
    } finally {
      wire.release();
      await wire.line.close();
    }
  }
}
