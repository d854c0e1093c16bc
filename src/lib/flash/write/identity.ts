import { X509Certificate } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, readJson, readText, writeJsonAtomic } from '../../core/files.js';
import { type ChipName, chipNames } from '../../formats/esp-image/chips.js';
import { type Partition, partitionTableOffset, readPartitionTable } from '../../formats/partitions.js';
import { identitySchema } from '../../provision/identity-folder.js';
import type { ChipInfo } from '../loader/types.js';
import type { Piece } from '../plan/types.js';
import { dataPartition } from './board-nvs.js';
import type { RecordRow } from './production.js';

/** An identity as `aiot device provision` writes it, ready for a board. */
export interface DeviceIdentity {
  name: string;
  folder: string;
  /** SHA-256 of the certificate's DER, 64 hex digits; empty where the folder has none. */
  certificate: string;
  /** The chip that it was made for; null when its type is no chip's name. */
  chip: ChipName | null;
  /** The board that it was made for; null = any. */
  mac: string | null;
  /** The board that it was written to; null = none that is known here. */
  given: string | null;
  /** NVS, partition table and, of an encrypted one, its keys. */
  pieces: Piece[];
}

const files = { table: 'partitions.bin', nvs: 'nvs.bin', keys: 'nvs_keys.bin' };

/**
 * Reads the folder of a device on a chip.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_PARTITIONS_MALFORMED
 */
export async function readIdentity(folder: string): Promise<DeviceIdentity> {
  const described = join(folder, 'device.json');
  const parsed = identitySchema.safeParse(await readOwn(described, folder));
  if (!parsed.success) throw new AiotError('AIOT_FILE_MALFORMED', `${described} is no device's description`);
  const { name, type, mac = null } = parsed.data;
  const chip = parsed.data.chip ?? chipNames.find((known) => known === type) ?? null;
  const tableFile = join(folder, files.table);
  if (await isComputer(folder)) throw computers([folder]);
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
  const [certificate, given] = [await fingerprintIn(folder), await boardGiven(folder)];
  return { name, folder, certificate, chip, mac, given, pieces };
}

function placeOf(partition: Partition | undefined, kind: string, tableFile: string): number {
  if (partition) return partition.offset;
  throw new AiotError(
    'AIOT_PARTITIONS_MALFORMED',
    `${tableFile} has no ${kind} partition to put the identity in`,
  );
}

async function readOwn(described: string, folder: string): Promise<unknown> {
  if (await isFile(described)) return await readJson(described);
  throw new AiotError(
    'AIOT_FILE_NOT_FOUND',
    `${folder} is no folder of a device's identity: there is no ${described}`,
    {
      next: `aiot device provision NAME --type esp32 --out ${folder}`,
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
    throw new AiotError('AIOT_FILE_MALFORMED', `${path} is no certificate`, { cause });
  }
}

/** A Pi, a gateway: its key is a file, and there is no image for any chip. */
async function isComputer(folder: string): Promise<boolean> {
  return (await isFile(join(folder, 'device.key'))) && !(await isFile(join(folder, files.table)));
}

function computers(folders: readonly string[]): AiotError {
  const told = `${folders.join(', ')}: the identity of a computer, and no image for a chip`;
  return new AiotError('AIOT_FILE_NOT_FOUND', told, {
    next: 'aiot device provision NAME --type esp32 --out DIR makes one for a chip.',
  });
}

interface FoundIdentities {
  identities: DeviceIdentity[];
  /** Folders of computers, which no chip gets. */
  skipped: string[];
}

/**
 * The identities in a folder: itself, or one in each folder below, by name.
 * @throws as `readIdentity`; AIOT_FILE_NOT_FOUND where there are none
 */
export async function readIdentities(folder: string): Promise<FoundIdentities> {
  if (await isFile(join(folder, 'device.json'))) return one(await readIdentity(folder));
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

/**
 * Gives each board an identity of its own: the one that it got before, as the record or the identity's own folder says, or
 * that was made for it, else the first that no board has. No identity is given twice, also over several runs.
 * @param single the one identity that was asked for by name: another board may get it, and the plan says what speaks against
 */
export function assignIdentities(
  identities: readonly DeviceIdentity[],
  record: readonly RecordRow[],
  single = false,
): (chip: Pick<ChipInfo, 'mac' | 'chip'>) => DeviceIdentity {
  const byMac = new Map<string, DeviceIdentity>();
  const taken = new Set<string>();
  if (!single) {
    for (const identity of identities) {
      const mac = identity.mac ?? identity.given;
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
    if (!free) {
      const all = `${fitting.length} ${fitting.length === 1 ? 'identity' : 'identities'} for ${chip} boards, and none is left`;
      throw new AiotError('AIOT_USAGE', fitting.length === 0 ? `there is no identity for an ${chip}` : all, {
        next: 'aiot device provision --csv fleet.csv --out DIR makes more.',
      });
    }
    taken.add(free.name);
    byMac.set(mac, free);
    return free;
  };
}

/** Beside an identity: the board that has it. */
const boardFile = (folder: string) => join(folder, 'board.json');

const givenSchema = z.object({ mac: z.string() });

/** MAC of the board that an identity was written to; null = none, as far as its folder tells. */
async function boardGiven(folder: string): Promise<string | null> {
  const parsed = givenSchema.safeParse(await readJson(boardFile(folder)).catch(ignoreUnreadable));
  return parsed.success ? parsed.data.mac : null;
}

/**
 * Keeps which board gets an identity: told before it is written, for a board that fails in the middle may hold its key.
 * @returns a warning where the folder cannot be written; null = it is kept
 */
export async function keepGiven(folder: string, mac: string): Promise<string | null> {
  try {
    await writeJsonAtomic(boardFile(folder), { mac });
    return null;
  } catch (error) {
    ignoreUnreadable(error);
    return `${folder} cannot be written: it does not tell that this board has the identity now`;
  }
}

function ignoreUnreadable(error: unknown): void {
  if (!(error instanceof AiotError)) throw error;
}
