import { access, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { uf2FamiliesOfBoard } from '../../formats/uf2.js';

/** The drive that a board shows while its UF2 bootloader runs. */
export const driveSchema = z.object({
  path: z.string().describe('Folder at which the drive is mounted, as a value for --port of aiot flash.'),
  kind: z.literal('drive'),
  boardId: z.string().describe('Board-ID in INFO_UF2.TXT.'),
  model: z.string(),
  bootloader: z.string().describe('First line of INFO_UF2.TXT.'),
  families: z.array(z.string()).describe('UF2 families that the board accepts; empty = unknown board.'),
});

export type BoardDrive = z.output<typeof driveSchema>;

/** The file by which UF2 bootloaders describe their board. Source: microsoft/uf2, README. */
const infoFile = 'INFO_UF2.TXT';

/** Maximum size of that file, bytes. Real ones are smaller than 500 bytes. */
const mostInfoBytes = 4096;

/** System queries. Tests replace them. */
export interface DriveSystem {
  /** Folders at which removable drives may be mounted, with their device, if the system reports it. */
  mounts(): Promise<{ folder: string; device: string | null }[]>;
}

/** Lists the drives of boards whose UF2 bootloader runs. */
export async function listDrives(system: DriveSystem = thisSystem): Promise<BoardDrive[]> {
  const found = await Promise.all((await system.mounts()).map(({ folder }) => readDrive(folder)));
  return found.filter((drive) => drive !== null).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The drive at a folder. @throws AIOT_DRIVE_NOT_FOUND if the folder is not the drive of a UF2 bootloader */
export async function openDrive(folder: string): Promise<BoardDrive> {
  const drive = await readDrive(folder);
  if (drive !== null) return drive;
  const message = `${folder} is not the drive of a UF2 bootloader: it contains no ${infoFile} with a Board-ID`;
  throw new AiotError('AIOT_DRIVE_NOT_FOUND', message, { endpoint: folder });
}

/** The drive at a folder; null if the folder is not one. */
async function readDrive(folder: string): Promise<BoardDrive | null> {
  const text = await readStart(join(folder, infoFile)).catch(() => null);
  if (text === null) return null;
  const lines = text.split(/\r?\n/);
  const field = (name: string) =>
    lines
      .find((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  const board = field('board-id');
  if (board === undefined || board === '') return null;
  return {
    path: folder,
    kind: 'drive',
    boardId: board,
    model: field('model') ?? board,
    bootloader: lines[0]?.trim() ?? '',
    families: uf2FamiliesOfBoard(board),
  };
}

async function readStart(file: string): Promise<string | null> {
  const handle = await open(file, 'r');
  try {
    const buffer = Buffer.alloc(mostInfoBytes + 1);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    return bytesRead > mostInfoBytes ? null : buffer.toString('latin1', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Whether the drive disappeared, which is the case if its file or the mounted device no longer exists. */
export async function isGone(folder: string, device: string | null): Promise<boolean> {
  if (device !== null && !(await exists(device))) return true;
  return !(await exists(join(folder, infoFile)));
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

/**
 * The device that is mounted at a folder; null if the system does not report it. In that case, a cached file may hide the loss of a drive.
 */
export async function deviceOf(folder: string, system: DriveSystem = thisSystem): Promise<string | null> {
  const mounts = await system.mounts().catch(() => []);
  return mounts.find((mount) => mount.folder === folder)?.device ?? null;
}

/** Whether a path is that of a folder, and therefore of a drive rather than a port. */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() === true;
}

const thisSystem: DriveSystem = {
  mounts: async () => {
    if (process.platform === 'linux') return linuxMounts(await readFile('/proc/self/mounts', 'utf8'));
    if (process.platform === 'darwin') {
      const names = await readdir('/Volumes').catch(() => []);
      return names.map((name) => ({ folder: `/Volumes/${name}`, device: null }));
    }
    const letters = 'DEFGHIJKLMNOPQRSTUVWXYZ'.split('');
    return letters.map((letter) => ({ folder: `${letter}:\\`, device: null }));
  },
};

/** Mounts with a FAT file system, the only one that UF2 bootloaders show. Source: proc(5), /proc/PID/mounts; fstab(5) for escapes. */
export function linuxMounts(text: string): { folder: string; device: string }[] {
  return text.split('\n').flatMap((line) => {
    const [device = '', folder = '', kind = ''] = line.split(' ');
    if (!/^(vfat|msdos)$/.test(kind)) return [];
    const plain = (word: string) =>
      word.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
    return [{ device: plain(device), folder: plain(folder) }];
  });
}
