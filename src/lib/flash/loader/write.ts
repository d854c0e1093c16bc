import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, createInflate, deflate } from 'node:zlib';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { block, checksum, flashTimeMs, op, Refusal, sectorBytes, words } from './exchange.js';
import { flashMd5, matches, readFlash } from './read.js';
import { doing, isTrouble, prepareFor, report, requireInFlash, resync, type Session } from './session.js';
import type { Region, RegionResult, WriteOptions } from './types.js';

const triesWithoutProgress = 4;

/** Error numbers of the ROM and the stub for a flash that does not work. Later errors result from these. */
const flashFailed = new Set([0x08, 0xc4, 0xc5]);

/** Writes regions in order. Each is verified before the next one is written. @throws AIOT_FLASH_*, AIOT_CHIP_*, AIOT_SERIAL_LOST */
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
  // With a ROM, compression is off by default, because a ROM writes the inflated data before it answers.
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

/**
 * Whether the data is already in flash. The first sector is compared first, because hashing much flash is slow and the first sector
 * usually already differs.
 */
async function isThere(session: Session, offset: number, data: Uint8Array): Promise<boolean> {
  const head = data.subarray(0, sectorBytes);
  if (head.length < data.length && !(await matches(session, offset, head))) return false;
  return matches(session, offset, data);
}

/**
 * The region, extended to the start of its first sector and to whole words. The bytes of that sector before the region are preserved. The
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

/** Sends everything. After errors on the line, sends the parts that are not in flash yet. */
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
      // If the chip accepted all bytes but the flash does not contain them, the serial line is not the cause.
      throw telling ?? (taken === bytes.length ? await notAsWritten(session, region) : error);
    }
  }
}

/**
 * Number of leading bytes that are verified in flash. It is rounded down to whole sectors unless the chip accepted everything; `from` if
 * the hash does not match.
 */
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
  const what = empty ? 'is still empty' : 'does not match the written data';
  return new AiotError('AIOT_FLASH_VERIFY', `the flash at ${hex(offset)} ${what} (${name}, ${address})`, {
    endpoint: address,
    retryable: true,
  });
}

const romBlock = 0x400;
const stubBlock = 0x4000;

/** Maximum time for erasing and writing a megabyte, s. */
const writeSecondsPerMB = 40;

const triesOfBlock = 4;

/** Blocks to send as one sequence of begin, data and end requests. */
interface Transfer {
  begin: number;
  data: number;
  end: number;
  /** Number of bytes announced to the chip. */
  size: number;
  blocks: Uint8Array[];
  blockBytes: number;
  /** Number of data bytes that are written once each block has been processed. */
  after: number[];
}

/**
 * Sends data to flash, starting at a sector boundary, compressed if requested and shorter. Throws at the first unrecoverable packet,
 * after `written` has reported the amount that the chip accepted.
 */
async function send(
  session: Session,
  offset: number,
  data: Uint8Array,
  options: { compress: boolean; written: (bytes: number) => void },
): Promise<void> {
  const { exchange, stub } = session;
  const transfer = (options.compress ? await compressed(data, stub) : null) ?? raw(data, stub);
  const { blocks, after, blockBytes, size } = transfer;
  // A ROM erases everything before it answers. A stub erases sector by sector while it writes.
  await exchange.ask({
    op: transfer.begin,
    data: beginWords(session, { size, blocks: blocks.length, blockBytes, offset }),
    timeoutMs: flashTimeMs(stub ? 0 : data.length, writeSecondsPerMB),
    tries: 3,
  });
  let before = 0;
  for (const [i, bytes] of blocks.entries()) {
    const now = after[i] ?? data.length;
    // A stub answers before it writes, so the next request may have to wait.
    const timeoutMs = flashTimeMs(now - before + stubBlock, writeSecondsPerMB);
    await sendBlock(session, { op: transfer.data, bytes, sequence: i, timeoutMs });
    options.written(Math.min(now, data.length));
    before = i === 0 ? 0 : (after[i - 1] ?? 0);
  }
  // A ROM would leave the loader at this request. A stub uses it to report an error in the last block.
  if (stub) {
    const timeoutMs = flashTimeMs(data.length - before, writeSecondsPerMB);
    await exchange.ask({ op: transfer.end, data: words(1), timeoutMs });
  }
}

/**
 * Sends one block. A stub that reports a damaged block accepts the block again. A ROM has already counted the block, so
 * everything must be resent.
 */
async function sendBlock(
  { exchange, stub }: Session,
  block_: { op: number; bytes: Uint8Array; sequence: number; timeoutMs: number },
): Promise<void> {
  const { bytes, sequence, timeoutMs } = block_;
  for (let left = stub ? triesOfBlock : 1; ; left--) {
    try {
      await exchange.ask({
        op: block_.op,
        data: block(bytes, sequence),
        checksum: checksum(bytes),
        timeoutMs,
      });
      return;
    } catch (error) {
      const damaged = error instanceof Refusal && (error.status === 0xc0 || error.status === 0xc1);
      if (!damaged || left <= 1) throw error;
      await exchange.wire.drain(20, 100);
    }
  }
}

async function compressed(data: Uint8Array, stub: boolean): Promise<Transfer | null> {
  const packed = await deflated(data);
  if (packed.length >= data.length) return null;
  const blockBytes = stub ? stubBlock : romBlock;
  const blocks = pieces(packed, blockBytes);
  const size = stub ? data.length : Math.ceil(data.length / romBlock) * romBlock;
  const after = await inflatedAfter(blocks);
  return { begin: op.deflBegin, data: op.deflData, end: op.deflEnd, size, blocks, blockBytes, after };
}

/** Blocks of uncompressed data. The last block is padded, because the chip writes only the announced number of bytes. */
function raw(data: Uint8Array, stub: boolean): Transfer {
  const blockBytes = stub ? stubBlock : romBlock;
  const blocks = pieces(data, blockBytes).map((piece) => {
    if (piece.length === blockBytes) return piece;
    const full = new Uint8Array(blockBytes).fill(0xff);
    full.set(piece);
    return full;
  });
  const after = blocks.map((_, i) => Math.min(data.length, (i + 1) * blockBytes));
  return {
    begin: op.flashBegin,
    data: op.flashData,
    end: op.flashEnd,
    size: data.length,
    blocks,
    blockBytes,
    after,
  };
}

function pieces(data: Uint8Array, bytes: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(data.length / bytes) }, (_, i) =>
    data.subarray(i * bytes, (i + 1) * bytes),
  );
}

const cache = new WeakMap<Uint8Array, Promise<Uint8Array>>();

/**
 * zlib stream at the highest level. It is cached for data that is written to several boards, so `data` must not be changed afterward.
 */
function deflated(data: Uint8Array): Promise<Uint8Array> {
  const known = cache.get(data);
  if (known !== undefined) return known;
  const made = promisify(deflate)(data, { level: constants.Z_BEST_COMPRESSION });
  cache.set(data, made);
  return made;
}

/** Number of inflated bytes after each block. The chip writes that many bytes, which determines the timeout. */
async function inflatedAfter(blocks: readonly Uint8Array[]): Promise<number[]> {
  const inflate = createInflate();
  let total = 0;
  inflate.on('data', (bytes: Uint8Array) => {
    total += bytes.length;
  });
  const after: number[] = [];
  for (const block of blocks) {
    await new Promise<void>((resolve, reject) => {
      inflate.once('error', reject);
      inflate.write(block, (error) => (error ? reject(error) : resolve()));
    });
    inflate.removeAllListeners('error');
    after.push(total);
  }
  inflate.destroy();
  return after;
}

/**
 * The words of FLASH_BEGIN and FLASH_DEFL_BEGIN. The fifth word requests encryption. An ESP32's ROM does not support it, all later ROMs
 * require it, and stubs accept both forms.
 */
export function beginWords(
  { chip, stub }: Pick<Session, 'chip' | 'stub'>,
  { size, blocks, blockBytes, offset }: { size: number; blocks: number; blockBytes: number; offset: number },
): Uint8Array {
  const four = [size, blocks, blockBytes, offset];
  return chip.chip === 'esp32' && !stub ? words(...four) : words(...four, 0);
}
