import { beginWords } from './begin.js';
import { flashTimeMs, op, sectorBytes, words } from './commands.js';
import type { Session } from './session.js';

const eraseSecondsPerMB = 40;
const wholeChipMs = 120_000;

/** Whole sectors. A ROM erases only when writing begins: so it is told to begin, and nothing is written. */
export async function eraseRegion(session: Session, offset: number, length: number): Promise<void> {
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

/** The whole flash: a stub by the flash's own command, a ROM region by region. */
export async function eraseAll(session: Session, progress: (done: number) => void): Promise<void> {
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
