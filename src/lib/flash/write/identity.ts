import { X509Certificate } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, readJson, readText, writeJsonAtomic } from '../../core/files.js';
import { type ChipName, chipNames } from '../../formats/esp-image/chips.js';
import { type Partition, partitionTableOffset, readPartitionTable } from '../../formats/partitions.js';
import { batchImageFile, batchImageSchema } from '../../provision/batch-image.js';
import { identitySchema } from '../../provision/identity-folder.js';
import type { ChipInfo } from '../loader/types.js';
import type { Piece } from '../plan/types.js';
import { dataPartition } from './board-nvs.js';
import type { RecordRow } from './production.js';

/** An identity written by `aiot device provision`, ready for a board. */
export interface DeviceIdentity {
  name: string;
  folder: string;
  /** SHA-256 of the certificate's DER, 64 hex digits; empty if the folder has none. */
  certificate: string;
  /** The chip for which the identity was made; null if its type is not a chip's name. */
  chip: ChipName | null;
  /** MAC of the board for which the identity was made; null = any. */
  mac: string | null;
  /** MAC of the board to which the identity was written; null = none is known on this machine. */
  writtenTo: string | null;
  /** Name of the batch whose boards create their identities themselves; null = it is the identity of one device. */
  batch: string | null;
  /** NVS, partition table and, if encrypted, the keys. */
  pieces: Piece[];
}

const files = { table: 'partitions.bin', nvs: 'nvs.bin', keys: 'nvs_keys.bin' };

/**
 * Reads the identity folder of a device that runs on a chip.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function readIdentity(folder: string): Promise<DeviceIdentity> {
  const described = join(folder, 'device.json');
  const parsed = identitySchema.safeParse(await readOwn(described, folder));
  if (!parsed.success) throw new AiotError('AIOT_FILE_MALFORMED', `${described} is not a device description`);
  const { name, type, mac = null } = parsed.data;
  const chip = parsed.data.chip ?? chipNames.find((known) => known === type) ?? null;
  if (await isComputer(folder)) throw computers([folder]);
  const [certificate, writtenTo] = [await fingerprintIn(folder), await recordedBoard(folder)];
  return { name, folder, certificate, chip, mac, writtenTo, batch: null, pieces: await piecesIn(folder) };
}

/**
 * Reads the folder of `aiot device batch provision`, whose images are for any number of boards.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
async function readBatchImages(folder: string): Promise<DeviceIdentity> {
  const file = join(folder, batchImageFile);
  const parsed = batchImageSchema.safeParse(await readJson(file));
  if (!parsed.success)
    throw new AiotError('AIOT_FILE_MALFORMED', `${file} does not describe the images of a batch`, {
      next: 'Create them with `aiot device batch provision FILE --out DIR`.',
    });
  const { batch, chip } = parsed.data;
  const none = { certificate: '', mac: null, writtenTo: null };
  return { name: batch, folder, batch, chip, ...none, pieces: await piecesIn(folder) };
}

async function piecesIn(folder: string): Promise<Piece[]> {
  const tableFile = join(folder, files.table);
  const tableBytes = await readBytes(tableFile);
  const table = readPartitionTable(tableBytes);
  const pieces: Piece[] = [{ name: tableFile, data: tableBytes, place: partitionTableOffset }];
  for (const [file, kind] of [
    [files.nvs, 'nvs'],
    [files.keys, 'nvs_keys'],
  ] as const) {
    const path = join(folder, file);
    if (kind === 'nvs_keys' && !(await isFile(path))) continue;
    const place = placeOf(dataPartition(table, kind), kind, tableFile);
    pieces.push({ name: path, data: await readBytes(path), place });
  }
  return pieces;
}

function placeOf(partition: Partition | undefined, kind: string, tableFile: string): number {
  if (partition) return partition.offset;
  throw new AiotError('AIOT_FILE_MALFORMED', `${tableFile} has no ${kind} partition for the identity`, {
    subject: 'partitions',
    next: `Add a row to the table: ${kind},data,${kind},,${kind === 'nvs' ? '0x5000' : '0x1000'}`,
  });
}

async function readOwn(described: string, folder: string): Promise<unknown> {
  if (await isFile(described)) return await readJson(described);
  throw new AiotError(
    'AIOT_FILE_NOT_FOUND',
    `${folder} is not a device identity folder: ${described} is missing`,
    {
      next: `Create an identity with \`aiot device provision NAME --type esp32 --out ${folder}\`.`,
    },
  );
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false;
}

async function fingerprintIn(folder: string): Promise<string> {
  const path = join(folder, 'device.crt');
  if (!(await isFile(path))) return '';
  try {
    return new X509Certificate(await readText(path)).fingerprint256.replaceAll(':', '').toLowerCase();
  } catch (cause) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${path} is not a certificate`, { cause });
  }
}

/** Whether the folder belongs to a computer, such as a Pi or a gateway. Its key is then a file, and there is no image for a chip. */
async function isComputer(folder: string): Promise<boolean> {
  return (await isFile(join(folder, 'device.key'))) && !(await isFile(join(folder, files.table)));
}

function computers(folders: readonly string[]): AiotError {
  const told = `${folders.join(', ')}: an identity for a computer, which has no image for a chip`;
  return new AiotError('AIOT_FILE_NOT_FOUND', told, {
    next: 'Create one for a chip with `aiot device provision NAME --type esp32 --out DIR`.',
  });
}

interface FoundIdentities {
  identities: DeviceIdentity[];
  /** Folders of computers, which cannot be flashed. */
  skipped: string[];
}

/**
 * Reads the identities in a folder: that of the folder itself, or those of its subfolders, by name.
 * @throws the errors of `readIdentity`; AIOT_FILE_NOT_FOUND if there are none
 */
export async function readIdentities(folder: string): Promise<FoundIdentities> {
  if (await isFile(join(folder, 'device.json'))) return one(await readIdentity(folder));
  if (await isFile(join(folder, batchImageFile))) return one(await readBatchImages(folder));
  const names = await readdir(folder).catch(() => []);
  const identities: DeviceIdentity[] = [];
  const skipped: string[] = [];
  for (const name of names.sort()) {
    const own = join(folder, name);
    if (!(await isFile(join(own, 'device.json')))) continue;
    if (await isComputer(own)) skipped.push(own);
    else identities.push(await readIdentity(own));
  }
  if (identities.length > 0) return { identities, skipped };
  if (skipped.length > 0) throw computers(skipped);
  return one(await readIdentity(folder));
}

const one = (identity: DeviceIdentity): FoundIdentities => ({ identities: [identity], skipped: [] });

function ofOtherChips(identities: readonly DeviceIdentity[], chip: string): AiotError {
  const [first] = identities;
  const others =
    identities.length > 1 ? `none of the ${identities.length} identities is for this chip; ` : '';
  return new AiotError(
    'AIOT_USAGE',
    `this board has an ${chip}, but ${others}${first?.name} was provisioned for an ${first?.chip}`,
    {
      next: `Connect a board with that chip, or provision a device for this one: \`aiot device provision NAME --type ${chip} --out DIR\`.`,
    },
  );
}

/**
 * Assigns each board its own identity: its previous one, according to the record or the identity's folder; otherwise the identity
 * made for the board; otherwise the first unused one. No identity is assigned twice, even over several runs.
 * @param single whether one identity was requested by name; it may then be assigned to another board, and the plan lists the objections
 */
export function assignIdentities(
  identities: readonly DeviceIdentity[],
  record: readonly RecordRow[],
  single = false,
): (chip: Pick<ChipInfo, 'mac' | 'chip'>) => DeviceIdentity {
  const [first] = identities;
  if (first && first.batch !== null) return (board) => ofBatch(first, board);
  const byMac = new Map<string, DeviceIdentity>();
  const taken = new Set<string>();
  if (!single) {
    for (const identity of identities) {
      const mac = identity.mac ?? identity.writtenTo;
      if (mac === null) continue;
      taken.add(identity.name);
      byMac.set(mac, identity);
    }
  }
  for (const { mac, device, result } of record) {
    const identity = identities.find(({ name }) => name === device);
    if (result !== 'ok' || !identity) continue;
    taken.add(device);
    byMac.set(mac, identity);
  }
  return ({ mac, chip }) => {
    const known = byMac.get(mac);
    if (known) return known;
    const fitting = identities.filter((identity) => identity.chip === null || identity.chip === chip);
    const free = fitting.find(({ name }) => !taken.has(name));
    if (fitting.length === 0) throw ofOtherChips(identities, chip);
    if (!free)
      throw new AiotError(
        'AIOT_USAGE',
        `no identity is left for ${chip} boards: all ${fitting.length} are assigned`,
        { next: 'Create more with `aiot device provision --csv fleet.csv --out DIR`.' },
      );
    taken.add(free.name);
    byMac.set(mac, free);
    return free;
  };
}

/** The images of a batch for one board, with the name that it gets: its serial number is its MAC. */
function ofBatch(images: DeviceIdentity, { mac, chip }: Pick<ChipInfo, 'mac' | 'chip'>): DeviceIdentity {
  if (images.chip !== null && images.chip !== chip) throw ofOtherChips([images], chip);
  return { ...images, name: `${images.batch}-${mac.replaceAll(':', '')}` };
}

/** File next to an identity, with the MAC of the board to which the identity was written. */
const boardFile = (folder: string) => join(folder, 'board.json');

const boardFileSchema = z.object({ mac: z.string() });

/** MAC of the board to which an identity was written; null = none according to its folder. */
async function recordedBoard(folder: string): Promise<string | null> {
  const parsed = boardFileSchema.safeParse(await readJson(boardFile(folder)).catch(ignoreUnreadable));
  return parsed.success ? parsed.data.mac : null;
}

/**
 * Records the board of an identity before the identity is written, because a board that fails halfway may already contain the key.
 * @returns a warning if the folder is not writable; null = recorded
 */
export async function recordBoard(folder: string, mac: string): Promise<string | null> {
  try {
    await writeJsonAtomic(boardFile(folder), { mac });
    return null;
  } catch (error) {
    ignoreUnreadable(error);
    return `${folder} is not writable, so it does not record that this board now has the identity`;
  }
}

function ignoreUnreadable(error: unknown): void {
  if (!(error instanceof AiotError)) throw error;
}
