import { createHash } from 'node:crypto';
import { AiotError } from '../../core/index.js';
import { hex, sectorBytes } from './commands.js';
import { Refusal } from './exchange.js';
import { matches } from './matches.js';
import { flashMd5 } from './md5.js';
import { readFlash } from './read.js';
import { send } from './send.js';
import { doing, isTrouble, prepareFor, report, requireInFlash, resync, type Session } from './session.js';
import type { Region, RegionResult, WriteOptions } from './types.js';

const triesWithoutProgress = 4;
/** Numbers of ROM and stub for a flash that does not do what it is told: what goes wrong afterwards follows from it. */
const flashFailed = new Set([0x08, 0xc4, 0xc5]);

/** Writes regions one after the other, each verified before the next. @throws AIOT_FLASH_*, AIOT_CHIP_*, AIOT_SERIAL_LOST */
export async function writeRegions(
  session: Session,
  regions: readonly Region[],
  options: WriteOptions = {},
): Promise<RegionResult[]> {
  for (const { offset, data } of regions) requireInFlash(session, offset, data.length);
  const results: RegionResult[] = [];
  for (const region of regions) {
    const what = `writing ${region.name} at ${hex(region.offset)}`;
    results.push(await doing(session, what, () => writeRegion(session, region, options)));
  }
  return results;
}

async function writeRegion(session: Session, region: Region, options: WriteOptions): Promise<RegionResult> {
  const { offset, data, name } = region;
  const done = { offset, bytes: data.length, md5: createHash('md5').update(data).digest('hex') };
  const progress = { region: name, total: data.length };
  if (data.length === 0) return { ...done, skipped: true };
  if (options.skipEqual !== false && !session.chip.security.secureDownload) {
    report(session, { stage: 'check', done: 0, ...progress });
    if (await isThere(session, offset, data)) return { ...done, skipped: true };
  }
  await prepareFor(session, data.length);
  const { start, bytes } = await wholeWords(session, region);
  // A ROM is not asked to inflate unless someone wants it: it writes what it inflates before it answers.
  const compress = options.compress ?? session.stub;
  for (let round = 0; ; round++) {
    await sendAll(session, start, bytes, {
      region,
      compress,
      written: (count) => {
        const of = Math.max(0, Math.min(data.length, count - (offset - start)));
        report(session, { stage: 'write', done: of, ...progress });
      },
    });
    if (session.chip.security.secureDownload) return { ...done, skipped: false };
    report(session, { stage: 'verify', done: data.length, ...progress });
    if (await matches(session, offset, data)) return { ...done, skipped: false };
    if (round > 0) throw await notAsWritten(session, region);
  }
}

/** A chip takes its time over the MD5 of much flash; mostly the first sector tells already that other bytes are there. */
async function isThere(session: Session, offset: number, data: Uint8Array): Promise<boolean> {
  const head = data.subarray(0, sectorBytes);
  if (head.length < data.length && !(await matches(session, offset, head))) return false;
  return matches(session, offset, data);
}

/**
 * The region from the sector that it begins in, in whole words. Bytes of that sector before the region stay as they are;
 * bytes after the region, in its last sector, are erased, as with every flashing tool.
 */
async function wholeWords(
  session: Session,
  { offset, data }: Region,
): Promise<{ start: number; bytes: Uint8Array }> {
  const start = offset - (offset % sectorBytes);
  if (start === offset && data.length % 4 === 0) return { start, bytes: data };
  const head = start === offset ? new Uint8Array(0) : await readFlash(session, start, offset - start);
  const bytes = new Uint8Array(Math.ceil((head.length + data.length) / 4) * 4).fill(0xff);
  bytes.set(head);
  bytes.set(data, head.length);
  return { start, bytes };
}

/** Sends everything, and after trouble on the line what is not yet in flash. */
async function sendAll(
  session: Session,
  start: number,
  bytes: Uint8Array,
  options: { region: Region; compress: boolean; written: (bytes: number) => void },
): Promise<void> {
  const { region } = options;
  let safe = 0;
  let telling: Refusal | null = null;
  for (let left = triesWithoutProgress; ; ) {
    const from = safe;
    let taken = from;
    const written = (count: number) => {
      taken = from + count;
      options.written(taken);
    };
    try {
      const rest = from === 0 ? bytes : bytes.subarray(from);
      if (rest.length > 0) await send(session, start + from, rest, { ...options, written });
      return;
    } catch (error) {
      if (error instanceof Refusal && flashFailed.has(error.status)) telling ??= error;
      if (!isTrouble(error) || !(await resync(session))) throw error;
      safe = await safelyWritten(session, start, bytes, { from, taken });
      left = safe > from ? triesWithoutProgress : left - 1;
      if (left > 0) continue;
      // All was taken, and still it is not there: not the line's fault.
      throw telling ?? (taken === bytes.length ? await notAsWritten(session, region) : error);
    }
  }
}

/** Whole sectors that are in flash as they should be, of those that the chip has taken. */
async function safelyWritten(
  session: Session,
  start: number,
  bytes: Uint8Array,
  { from, taken }: { from: number; taken: number },
): Promise<number> {
  const end = taken === bytes.length ? taken : taken - (taken % sectorBytes);
  if (end <= from) return from;
  const there = await flashMd5(session, start + from, end - from);
  return there === createHash('md5').update(bytes.subarray(from, end)).digest('hex') ? end : from;
}

async function notAsWritten(session: Session, { offset, data, name }: Region): Promise<AiotError> {
  const { address } = session.wire.line;
  const empty = await matches(session, offset, new Uint8Array(data.length).fill(0xff));
  const what = empty ? 'is still empty' : 'is not what was written';
  return new AiotError('AIOT_FLASH_VERIFY', `the flash at ${hex(offset)} ${what} (${name}, ${address})`, {
    endpoint: address,
    retryable: true,
  });
}
