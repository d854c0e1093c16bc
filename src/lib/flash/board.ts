import { open, rename, stat } from 'node:fs/promises';
import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';
import { readBytes, requireWritable, writeFileAtomic } from '../core/files.js';
import { espChips } from '../formats/esp-image/chips.js';
import { readEspImage } from '../formats/esp-image/read.js';
import { partitionTableOffset } from '../formats/partitions.js';
import { startsProgram } from './loader/loader.js';
import type { Loader, LoaderOptions } from './loader/types.js';
import { md5Of, offsetOf, piecesOf, resolvePlace } from './plan/pieces.js';
import { readBoardTable } from './plan/plan.js';
import { choosePort } from './port/list.js';

/** Opens a board; replaced in tests. */
export type OpenBoard = (port: string, options: LoaderOptions) => Promise<Loader>;

export interface BoardAt {
  port: string;
  loader: LoaderOptions;
  open?: OpenBoard;
}

/**
 * Runs `work` with a board and always ends the session: after success, the board is reset as requested; the port is closed in every case.
 * @throws the errors of opening and of `work`
 */
export async function withBoard<T>(at: BoardAt, work: (loader: Loader) => Promise<T>): Promise<T> {
  const open = at.open ?? openBoard;
  const loader = await open(at.port, at.loader);
  let done: T;
  try {
    done = await work(loader);
  } catch (error) {
    // An error of `end` is ignored, because the original error must be reported.
    await loader.end().catch(() => {});
    throw error;
  }
  await loader.end();
  return done;
}

/** Initial speed of the ROM loaders. */
const firstBaud = 115_200;

/** Opens the port and brings its chip into the loader. @throws AIOT_SERIAL_…, AIOT_CHIP_… after closing the port */
async function openBoard(port: string, options: LoaderOptions): Promise<Loader> {
  const [{ openLoader }, { openLine }, { returnMs }] = await Promise.all([
    import('./loader/open-loader.js'),
    import('./port/open-line.js'),
    import('./port/returning-line.js'),
  ]);
  const { signal } = options;
  const line = await openLine(port, { baud: firstBaud, returnMs, ...(signal && { signal }) });
  const { trace } = options;
  if (!trace) return await openLoader(line, options);
  const { tracedLine } = await import('./port/traced-line.js');
  return await openLoader(tracedLine(line, trace), options);
}

/** A board and how to connect to it. Without a port, the only connected board is used. */
export type BoardRequest = Omit<BoardAt, 'port'> & { port?: string | undefined };

export const boardReadSchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string(),
  offset: z.number().int(),
  bytes: z.number().int(),
  md5: z.string().describe('MD5 of the data read; the chip computed the same.'),
  out: z.string().describe('Path of the output file.'),
  seconds: z.number(),
});

export type BoardRead = z.infer<typeof boardReadSchema>;

/** Reads part of a board's flash into a file. @throws AIOT_USAGE, AIOT_FLASH_READ, AIOT_CHIP_*, AIOT_SERIAL_* */
export async function readBoard(request: BoardRequest & PlaceWords & { out: string }): Promise<BoardRead> {
  const { out } = request;
  checkPlace(request);
  await requireWritable(out);
  const port = await choosePort(request.port);
  const started = performance.now();
  return await withBoard({ ...request, port }, async (loader) => {
    const { offset, length } = await findPlace(loader, request);
    const data = await loader.read(offset, length);
    // The data may include the board's private key.
    await writeFileAtomic(out, data, 0o600);
    const { chip, mac } = loader.chip;
    const md5 = md5Of(data);
    const seconds = Math.round(performance.now() - started) / 1000;
    return { port, chip, mac, offset, bytes: data.length, md5, out, seconds };
  });
}

/** Unit in which a dump is written to its file, bytes. A dump resumes at a multiple of this unit. */
const dumpBytes = 0x4_0000;

export const boardDumpedSchema = boardReadSchema.extend({
  resumed: z.number().int().describe('Bytes that an interrupted dump had already read.'),
});

export type BoardDumped = z.infer<typeof boardDumpedSchema>;

/**
 * Reads a board's whole flash into a file. An interrupted dump leaves `OUT.part`. The next dump continues after the bytes of that file that
 * the chip's MD5 confirms.
 * @throws AIOT_FLASH_READ, AIOT_CHIP_*, AIOT_SERIAL_*, AIOT_FILE_…
 */
export async function dumpBoard(request: BoardRequest & { out: string }): Promise<BoardDumped> {
  const { out, loader: options } = request;
  const part = `${out}.part`;
  await requireWritable(out);
  const port = await choosePort(request.port);
  const started = performance.now();
  const at = { done: 0, total: 0 };
  const progress: LoaderOptions['progress'] = (state) =>
    options.progress?.(
      state.stage === 'read' ? { ...state, done: at.done + state.done, total: at.total } : state,
    );
  return await withBoard({ ...request, loader: { ...options, progress }, port }, async (loader) => {
    at.total = upToEnd(loader, 0);
    const resumed = await equalStart(loader, part, at.total);
    at.done = resumed;
    // The data may include the board's private key.
    const file = await open(part, resumed === 0 ? 'w' : 'r+', 0o600);
    try {
      await file.truncate(resumed);
      for (; at.done < at.total; at.done += Math.min(dumpBytes, at.total - at.done)) {
        const data = await loader.read(at.done, Math.min(dumpBytes, at.total - at.done));
        await file.write(data, 0, data.length, at.done);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    const { chip, mac } = loader.chip;
    const md5 = md5Of(await readBytes(part));
    await rename(part, out);
    const seconds = Math.round(performance.now() - started) / 1000;
    return { port, chip, mac, offset: 0, bytes: at.total, md5, out, seconds, resumed };
  });
}

/** Number of leading bytes of a partial dump, in whole units, that match the flash. */
async function equalStart(loader: Loader, part: string, total: number): Promise<number> {
  const size = await stat(part).then(
    (about) => about.size,
    () => 0,
  );
  if (size < dumpBytes) return 0;
  const held = await readBytes(part);
  let equal = 0;
  while (equal + dumpBytes <= Math.min(held.length, total)) {
    const unit = held.subarray(equal, equal + dumpBytes);
    if ((await loader.md5(equal, dumpBytes)) !== md5Of(unit)) break;
    equal += dumpBytes;
  }
  return equal;
}

export const boardRunSchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string(),
  started: z.boolean().describe('Whether the program was started; if not, press RESET.'),
});

export type BoardRun = z.infer<typeof boardRunSchema>;

/** Leaves the loader and starts the program in a board's flash. @throws AIOT_CHIP_*, AIOT_SERIAL_* */
export async function runBoard(request: BoardRequest): Promise<BoardRun> {
  const port = await choosePort(request.port);
  return await withBoard({ ...request, port }, async (loader) => {
    const { chip, mac } = loader.chip;
    return { port, chip, mac, started: startsProgram(loader, request.loader.after) };
  });
}

export const boardLoadedSchema = boardRunSchema.omit({ started: true }).extend({
  file: z.string(),
  bytes: z.number().int().describe('Number of bytes in all segments.'),
  segments: z.array(z.object({ address: z.number().int(), bytes: z.number().int() })),
  entry: z.number().int().describe('Address at which the program was started.'),
});

export type BoardLoaded = z.infer<typeof boardLoadedSchema>;

/**
 * Loads the segments of an image into a chip's RAM by its ROM loader, and starts the program there. The flash is not changed, and the
 * program runs until the next reset.
 * @throws AIOT_IMAGE_MALFORMED, AIOT_USAGE (the image needs flash), AIOT_CHIP_*, AIOT_SERIAL_*
 */
export async function loadBoardRam(request: BoardRequest & { file: string }): Promise<BoardLoaded> {
  const { file } = request;
  const bytes = await readBytes(file);
  const image = readEspImage(bytes, file);
  if (image.kind !== 'bootloader') {
    throw new AiotError('AIOT_USAGE', `${file} has segments in flash, so it cannot run from RAM alone`, {
      next: `Write it to flash with \`aiot flash ${file}@0x10000\`, or build it with only RAM segments.`,
    });
  }
  const segments = image.segments
    .filter(({ address }) => address !== 0)
    .map(({ address, offset, length }) => ({ address, data: bytes.subarray(offset, offset + length) }));
  const port = await choosePort(request.port);
  const options = { ...request.loader, chip: image.chip, stub: false, after: 'no-reset' } as const;
  return await withBoard({ ...request, port, loader: options }, async (loader) => {
    await loader.runInRam(segments, image.entry);
    const { chip, mac } = loader.chip;
    return {
      ...{ port, chip, mac, file, entry: image.entry },
      bytes: segments.reduce((sum, { data }) => sum + data.length, 0),
      segments: segments.map(({ address, data }) => ({ address, bytes: data.length })),
    };
  });
}

export const boardVerifiedSchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string(),
  equal: z.boolean().describe('Whether all regions match.'),
  regions: z.array(
    z.object({
      name: z.string(),
      offset: z.number().int(),
      bytes: z.number().int(),
      equal: z.boolean(),
      md5: z.string().describe('MD5 of the file.'),
    }),
  ),
  seconds: z.number(),
});

export type BoardVerified = z.infer<typeof boardVerifiedSchema>;

/** Compares files with a board's flash, by the chip's own MD5. Nothing is written. @throws AIOT_USAGE, AIOT_CHIP_*, AIOT_SERIAL_* */
export async function verifyBoard(
  request: BoardRequest & { images: readonly string[] },
): Promise<BoardVerified> {
  const pieces = await piecesOf(request.images);
  if (pieces.length === 0) {
    throw new AiotError('AIOT_USAGE', 'expected at least one file to compare', {
      next: 'Specify the files and their offsets, such as `aiot flash verify app.bin@0x10000`.',
    });
  }
  const port = await choosePort(request.port);
  const started = performance.now();
  return await withBoard({ ...request, port }, async (loader) => {
    const { chip, mac } = loader.chip;
    const labelled = pieces.some(({ place }) => typeof place === 'string');
    const table = labelled ? await readBoardTable(loader) : null;
    const regions: BoardVerified['regions'] = [];
    for (const { name, place, data } of pieces) {
      const offset = resolvePlace(place, chip, table && { table, from: 'board' });
      const equal = await loader.matches({ name, offset, data });
      regions.push({ name, offset, bytes: data.length, equal, md5: md5Of(data) });
    }
    const seconds = Math.round(performance.now() - started) / 1000;
    return { port, chip, mac, equal: regions.every(({ equal }) => equal), regions, seconds };
  });
}

export const boardErasedSchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string(),
  offset: z.number().int(),
  bytes: z.number().int().nullable().describe('Null = the whole flash, of unknown size.'),
  overridden: z.array(z.string()).describe('Checks that were overridden by --force.'),
  seconds: z.number(),
});

export type BoardErased = z.infer<typeof boardErasedSchema>;

/**
 * Erases a board's flash, or whole sectors of it. On a chip with secure boot, flash encryption or secure download mode, the
 * bootloader cannot be rewritten over the cable, so erasing the bootloader requires `force`.
 * @throws AIOT_FLASH_REFUSED, AIOT_USAGE, AIOT_FLASH_WRITE, AIOT_CHIP_*, AIOT_SERIAL_*
 */
export async function eraseBoard(
  request: BoardRequest &
    Partial<PlaceWords> & {
      force: boolean;
      /** Called before the board is accessed; may throw to cancel. */
      agree?: (port: string) => Promise<void>;
    },
): Promise<BoardErased> {
  const { place, length, force } = request;
  if (place !== undefined) checkPlace({ place, length });
  if (place !== undefined && offsetOf(place) !== null && length === undefined) {
    throw new AiotError('AIOT_USAGE', `expected the number of bytes to erase at ${place}`, {
      next: `Give a length, as in \`aiot board erase ${place} 0x1000\`, or omit ${place} to erase the whole flash.`,
    });
  }
  const port = await choosePort(request.port);
  await request.agree?.(port);
  const started = performance.now();
  return await withBoard({ ...request, port }, async (loader) => {
    const part = place === undefined ? null : await findPlace(loader, { place, length });
    const offset = part?.offset ?? 0;
    const objection = bricks(loader, offset, part?.length ?? Number.POSITIVE_INFINITY);
    if (objection && !force) throw new AiotError('AIOT_FLASH_REFUSED', objection);
    if (part) await loader.eraseRegion(part.offset, part.length);
    else await loader.eraseAll();
    const { chip, mac, flash } = loader.chip;
    const seconds = Math.round(performance.now() - started) / 1000;
    const bytes = part ? part.length : flash.bytes;
    return { port, chip, mac, offset, bytes, overridden: objection ? [objection] : [], seconds };
  });
}

function bricks({ chip }: Loader, offset: number, length: number): string | null {
  const { secureBoot, flashEncryption, secureDownload } = chip.security;
  const why = secureBoot ? 'secure boot' : flashEncryption ? 'flash encryption' : null;
  const lock = why ?? (secureDownload ? 'secure download mode' : null);
  const { bootloaderOffset } = espChips[chip.chip];
  const touches = offset < partitionTableOffset && offset + length > bootloaderOffset;
  if (lock === null || !touches) return null;
  return `the chip has ${lock}: its bootloader at ${hex(bootloaderOffset)}, once erased, cannot be written again by cable`;
}

/** A flash range as entered by a user: an offset and a length, or a partition's label. */
interface PlaceWords {
  place: string;
  /** Number of bytes; absent = the whole partition, or up to the end of the flash. */
  length?: string | undefined;
}

/** Checks the offset and the length before a port is opened. @throws AIOT_USAGE */
function checkPlace({ place, length }: PlaceWords): void {
  if (offsetOf(place) === null && !/^[A-Za-z_][\w.-]{0,15}$/.test(place)) {
    throw new AiotError(
      'AIOT_USAGE',
      `expected an offset such as 0x10000 or a partition's label, got "${place}"`,
    );
  }
  if (length === undefined) return;
  const bytes = offsetOf(length);
  if (bytes === null || bytes === 0) {
    throw new AiotError('AIOT_USAGE', `expected a number of bytes such as 0x1000 or 64K, got "${length}"`);
  }
}

/**
 * Finds the range on this board. @throws AIOT_USAGE for a label that is not in the board's table, AIOT_FLASH_READ if the flash size is
 * unknown
 */
async function findPlace(
  loader: Loader,
  { place, length }: PlaceWords,
): Promise<{ offset: number; length: number }> {
  const given = length === undefined ? null : offsetOf(length);
  const number = offsetOf(place);
  if (number !== null) return { offset: number, length: given ?? upToEnd(loader, number) };
  if (place === 'bootloader') {
    const { chip } = loader.chip;
    const offset = resolvePlace(place, chip, null);
    return { offset, length: given ?? partitionTableOffset - offset };
  }
  if (place === 'partition-table') return { offset: partitionTableOffset, length: given ?? 0x1000 };
  const table = await readBoardTable(loader);
  const offset = resolvePlace(place, loader.chip.chip, table && { table, from: 'board' });
  const size = table?.partitions.find(({ label }) => label === place)?.size ?? 0;
  if (given !== null && given > size) {
    throw new AiotError(
      'AIOT_USAGE',
      `partition ${place} has only ${hex(size)} bytes; ${hex(given)} were requested`,
    );
  }
  return { offset, length: given ?? size };
}

function upToEnd({ chip }: Loader, offset: number): number {
  const { bytes } = chip.flash;
  if (bytes === null) {
    throw new AiotError('AIOT_FLASH_READ', 'the flash size is unknown: the flash chip does not report it', {
      next: `Specify a length too, as in \`aiot board read ${hex(offset)} 4M --out backup.bin\`.`,
    });
  }
  if (offset < bytes) return bytes - offset;
  throw new AiotError('AIOT_USAGE', `${hex(offset)} is past the end of the flash at ${hex(bytes)}`);
}
