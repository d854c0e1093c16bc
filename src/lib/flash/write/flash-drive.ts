import { type FileHandle, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { readBytes } from '../../core/files.js';
import { shellWord } from '../../core/text.js';
import { type Clock, systemClock } from '../../core/time.js';
import { isUf2, parseUf2, type Uf2Program, uf2Family } from '../../formats/uf2.js';
import { parsePlaced } from '../plan/pieces.js';
import {
  type BoardDrive,
  type DriveSystem,
  deviceOf,
  isGone,
  listDrives,
  openDrive,
} from '../port/drives.js';

/** Result of writing a UF2 file to the drive of a board. */
export const driveFlashedSchema = z.object({
  drive: z.string(),
  boardId: z.string(),
  model: z.string(),
  file: z.string(),
  /** Families of the blocks that the board will write. */
  families: z.array(z.string()),
  blocks: z.int(),
  bytes: z.int(),
  /** Whether the drive disappeared afterward, which shows that the board accepted the file; null for a dry run. */
  accepted: z.boolean().nullable(),
  seconds: z.number(),
  /** Objections overridden by --force. */
  overridden: z.array(z.string()),
});

export type DriveFlashed = z.output<typeof driveFlashedSchema>;

export interface FlashDriveRequest {
  images: readonly string[];
  /** Folder at which the drive is mounted; null = the only drive of a board that accepts the file. */
  drive: string | null;
  force: boolean;
  dryRun: boolean;
  signal?: AbortSignal | undefined;
  /** How long the board may take to restart after the last block, ms. */
  restartMs?: number;
  system?: DriveSystem;
  clock?: Clock;
}

/** Bootloaders write each block before they accept the next one, so a second is typical. */
const usualRestartMs = 20_000;

/** Number of bytes that are written to the drive before each sync. Every sync also rewrites the drive's folder. */
const chunkBytes = 64 * 1024;

const pollMs = 100;

/** Whether the request is for an unspecified drive, because it has one UF2 file for a chip that is not Espressif's. */
export async function wantsDrive(images: readonly string[]): Promise<boolean> {
  const [only, ...more] = images;
  if (only === undefined || more.length > 0 || !only.endsWith('.uf2')) return false;
  const bytes = await readBytes(only).catch(() => new Uint8Array(0));
  if (!isUf2(bytes)) return false;
  const { programs } = parseUf2(bytes, only);
  return programs.some(({ family }) => family !== null && !(uf2Family(family)?.name ?? '').startsWith('esp'));
}

/**
 * Writes a UF2 file to the drive of a board's UF2 bootloader. The board restarts after the last block, and the drive disappears. Only the
 * disappearance counts as success.
 * @throws AIOT_USAGE, AIOT_IMAGE_MALFORMED, AIOT_DRIVE_NOT_FOUND, AIOT_SERIAL_AMBIGUOUS, AIOT_FLASH_REFUSED (another board),
 * AIOT_DRIVE_LOST (it disappeared too early), AIOT_DRIVE_REJECTED (it remains), AIOT_FILE_…
 */
export async function flashDrive(request: FlashDriveRequest): Promise<DriveFlashed> {
  const { images, force, dryRun, signal, clock = systemClock } = request;
  const file = onlyFile(images);
  const bytes = await readBytes(file);
  if (!isUf2(bytes)) throw notUf2(file);
  const { programs } = parseUf2(bytes, file);
  const drive =
    request.drive === null
      ? await chooseDrive(programs, file, request.system)
      : await openDrive(request.drive);
  const objections = objectionsOf(programs, drive, file);
  if (objections.length > 0 && !force)
    throw new AiotError('AIOT_FLASH_REFUSED', objections.join('; '), { endpoint: drive.path });
  const result = {
    drive: drive.path,
    boardId: drive.boardId,
    model: drive.model,
    file,
    families: programs.map(({ family }) => nameOf(family)),
    blocks: bytes.length / 512,
    bytes: bytes.length,
    overridden: objections,
  };
  if (dryRun) return { ...result, accepted: null, seconds: 0 };
  const started = clock.now();
  const device = await deviceOf(drive.path, request.system);
  const gone = () => isGone(drive.path, device);
  await copy(bytes, join(drive.path, basename(file)), { gone, drive: drive.path, signal });
  await untilGone(gone, drive, request, clock);
  return { ...result, accepted: true, seconds: (clock.now() - started) / 1000 };
}

function onlyFile(images: readonly string[]): string {
  const [only, ...more] = images;
  if (only === undefined || more.length > 0)
    throw new AiotError('AIOT_USAGE', `a drive accepts one UF2 file, got ${images.length} files`, {
      next: 'Merge several images first: `aiot firmware merge app.bin@0x10000000 --family rp2040 --out app.uf2`.',
    });
  const { file, place } = parsePlaced(only);
  if (place === null) return file;
  throw new AiotError(
    'AIOT_USAGE',
    `${only}: a drive accepts only a UF2 file, which contains its addresses`,
    {
      next: `Create one: \`aiot firmware merge ${shellWord(only)} --family rp2040 --out app.uf2\`.`,
    },
  );
}

function notUf2(file: string): AiotError {
  return new AiotError(
    'AIOT_USAGE',
    `${file} is not a UF2 file, the only format that a UF2 bootloader writes`,
    {
      next: `Create one: \`aiot firmware merge ${shellWord(`${file}@0x10000000`)} --family rp2040 --out app.uf2\`.`,
    },
  );
}

const nameOf = (family: number | null) =>
  family === null ? 'any' : (uf2Family(family)?.name ?? hex(family, 8));

const accepts = ({ families }: BoardDrive, { family }: Uf2Program) =>
  family !== null && families.includes(nameOf(family));

/** The only connected drive whose board accepts the file. */
async function chooseDrive(
  programs: readonly Uf2Program[],
  file: string,
  system: DriveSystem | undefined,
): Promise<BoardDrive> {
  const drives = await listDrives(system);
  const fitting = drives.filter((drive) => programs.some((program) => accepts(drive, program)));
  const [only, ...more] = fitting;
  if (only !== undefined && more.length === 0) return only;
  if (only !== undefined) {
    const names = fitting.map(({ path, boardId }) => `${path} (${boardId})`).join(', ');
    throw new AiotError('AIOT_SERIAL_AMBIGUOUS', `several boards accept ${file}: ${names}`, {
      next: `Choose one: --port ${shellWord(only.path)}`,
    });
  }
  const others = drives.map(({ path, boardId }) => `${path} (${boardId})`).join(', ');
  const besides = others === '' ? '' : `; connected: ${others}`;
  throw new AiotError(
    'AIOT_DRIVE_NOT_FOUND',
    `${file}: no drive of a board for ${programs.map(({ family }) => nameOf(family)).join(', ')} is mounted${besides}`,
  );
}

/** Reasons why the board would not start with the file. A file for several families is accepted if one of them matches. */
function objectionsOf(programs: readonly Uf2Program[], drive: BoardDrive, file: string): string[] {
  if (programs.some((program) => accepts(drive, program))) return [];
  const families = programs.map(({ family }) => nameOf(family)).join(', ');
  const at = `${drive.boardId} at ${drive.path}`;
  if (drive.families.length === 0)
    return [`${at} is an unknown board, so it may not accept ${file}, which is for ${families}`];
  const wanted = drive.families.join(', ');
  if (programs.every(({ family }) => family === null))
    return [`${file} names no family, but ${at} expects ${wanted}`];
  return [`${file} is for ${families}, but ${at} expects ${wanted}`];
}

interface Copying {
  gone: () => Promise<boolean>;
  drive: string;
  signal: AbortSignal | undefined;
}

/**
 * Writes the file in parts, and makes the system send each of them. The board may restart while the last part is being synced, because it
 * has received all blocks by then. The resulting error is ignored if the drive then disappears.
 */
async function copy(bytes: Uint8Array, target: string, { gone, drive, signal }: Copying): Promise<void> {
  let sent = 0;
  let file: FileHandle | null = null;
  try {
    file = await open(target, 'w');
    while (sent < bytes.length) {
      signal?.throwIfAborted();
      const part = bytes.subarray(sent, sent + chunkBytes);
      const { bytesWritten } = await file.write(part, 0, part.length, sent);
      sent += bytesWritten;
      await file.sync();
    }
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    const lost = await gone();
    if (lost && sent === bytes.length) return;
    throw failed(error, { target, drive, sent, total: bytes.length, lost });
  } finally {
    await file?.close().catch(() => {});
  }
}

function failed(
  cause: unknown,
  {
    target,
    drive,
    sent,
    total,
    lost,
  }: { target: string; drive: string; sent: number; total: number; lost: boolean },
): AiotError {
  const reason = (cause as Error).message;
  if (lost)
    return new AiotError(
      'AIOT_DRIVE_LOST',
      `${drive} disappeared after ${sent} of ${total} bytes, so the board has only part of the program`,
      { endpoint: drive, cause, retryable: true },
    );
  return new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${target}: ${reason}`, {
    endpoint: drive,
    cause,
  });
}

async function untilGone(
  gone: () => Promise<boolean>,
  drive: BoardDrive,
  { restartMs = usualRestartMs, signal }: FlashDriveRequest,
  clock: Clock,
): Promise<void> {
  const until = clock.now() + restartMs;
  while (!(await gone())) {
    if (clock.now() >= until)
      throw new AiotError(
        'AIOT_DRIVE_REJECTED',
        `${drive.boardId} at ${drive.path} received the whole file, but did not restart within ${restartMs / 1000} s`,
        { endpoint: drive.path },
      );
    await clock.sleep(pollMs, signal);
  }
}
