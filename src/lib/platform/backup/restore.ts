import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { access, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { syncFolder } from '../../core/files.js';
import { openBlobs } from '../blobs/folder.js';
import type { BlobStore } from '../blobs/store.js';
import { storageError } from '../errors.js';
import { lastInPostgres, movePositions } from '../journal/positions.js';
import { replaySegments } from '../journal/segments.js';
import { openTelemetry } from '../journal/sqlite.js';
import type { TableTelemetry } from '../journal/tables.js';
import type { Engines } from '../options.js';
import { openStore, type Store } from '../store/database.js';
import {
  type BackupManifest,
  checkPassphrase,
  type ReadBackup,
  readBackup,
  sealedEnd,
  unsealFile,
} from './format.js';
import { fillPostgres, fillSqlite } from './tables.js';

export interface SaveOptions {
  client: Pick<RegistryClient, 'backups'>;
  /** Path of the new file; an existing file is never overwritten. */
  file: string;
  passphrase: string;
  /** Whether to keep a backup from which damaged content is missing. */
  allowDamaged?: boolean;
  signal?: AbortSignal;
}

/**
 * Saves a backup of a running platform to a file, and reads the file back completely before renaming it to its final
 * name.
 * @throws AIOT_FILE_NOT_WRITABLE (also when the file exists), AIOT_USAGE (passphrase), AIOT_DISK_FULL,
 * AIOT_BACKUP_MALFORMED, AIOT_BACKUP_DAMAGED, and any error of a platform request
 */
export async function saveBackup({
  client,
  file,
  passphrase,
  allowDamaged = false,
  signal,
}: SaveOptions): Promise<Restored> {
  checkPassphrase(passphrase);
  const path = resolve(file);
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (there) {
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `${file} already exists`, {
      next: 'Choose another name.',
    });
  }
  const part = `${path}.part`;
  try {
    const body = await client.backups.create(passphrase, signal);
    await pipeline(body, createWriteStream(part, { mode: 0o600, flush: true }));
    const saved = await restoreBackup({ file: part, passphrase, data: null });
    requireWhole(saved, allowDamaged);
    await rename(part, path);
    await syncFolder(dirname(path));
    return { ...saved, file };
  } catch (error) {
    await rm(part, { force: true });
    signal?.throwIfAborted();
    throw writeError(error, file);
  }
}

/** @throws AIOT_BACKUP_DAMAGED */
function requireWhole({ damaged }: Restored, allowDamaged: boolean): void {
  if (damaged.length === 0 || allowDamaged) return;
  const few = `${damaged.slice(0, 3).join(', ')}${damaged.length > 3 ? ', …' : ''}`;
  throw new AiotError(
    'AIOT_BACKUP_DAMAGED',
    `the platform has damage in ${plural(damaged.length, 'place')}: ${few}`,
  );
}

function writeError(error: unknown, file: string): unknown {
  const told = storageError(error);
  const code = systemCode(told);
  if (told instanceof AiotError || !['EACCES', 'ENOENT', 'EROFS', 'ENOTDIR'].includes(code ?? ''))
    return told;
  return new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${file} (${code})`, { cause: error });
}

export const restoredSchema = z.object({
  file: z.string(),
  /** The data folder; null = the backup was only checked. */
  data: z.string().nullable(),
  /** Version of aiot that made the backup, and the time of the backup (ms since 1970). */
  aiot: z.string(),
  created: z.int(),
  devices: z.int(),
  models: z.int(),
  /** `missing`: digests of referenced blobs that were already gone when the backup was made. */
  blobs: z.object({ count: z.int(), bytes: z.int(), missing: z.array(z.string()) }),
  /** Damage found when the backup was made: digests of blobs, which are not included, and journal files. */
  damaged: z.array(z.string()),
  journal: z.object({ segments: z.int(), bytes: z.int() }),
});

export type Restored = z.output<typeof restoredSchema>;

export interface RestoreOptions {
  file: string;
  passphrase: string;
  /** A folder that is empty or does not exist; null = every byte is checked, but nothing is restored. */
  data: string | null;
  engines?: Pick<Engines, 'database' | 'blobs'>;
}

/**
 * Restores a platform from a backup into an empty folder and, if named, into an empty database and bucket: all or nothing. Every byte is
 * checked before anything takes effect.
 * @throws AIOT_FOLDER_NOT_EMPTY, AIOT_BACKUP_MALFORMED, AIOT_BACKUP_PASSPHRASE, AIOT_FILE_NOT_FOUND, AIOT_DISK_FULL
 */
export async function restoreBackup({
  file,
  passphrase,
  data,
  engines = {},
}: RestoreOptions): Promise<Restored> {
  if (data === null) return told(file, null, await readBackup(file, passphrase, null));
  const target = resolve(data);
  await requireEmptyFolder(target);
  const staging = join(dirname(target), `.aiot-restore-${randomBytes(6).toString('hex')}`);
  try {
    await mkdir(staging, { recursive: true, mode: 0o700 });
    const raw = join(staging, 'raw');
    const backup = await readBackup(file, passphrase, raw);
    const made = join(staging, 'data');
    await mkdir(join(raw, 'journal'), { recursive: true });
    await build(made, raw, backup);
    if (engines.database === undefined) {
      const end = await importTelemetry(join(raw, 'journal'), made);
      const store = await openStore(join(made, 'state.db'));
      await movePositions(store, end, false).finally(() => store.destroy());
    }
    await syncTree(made);
    await place(made, target, engines, join(raw, 'journal'));
    return told(file, target, backup);
  } catch (error) {
    throw storageError(error);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Builds the new data folder. */
async function build(made: string, raw: string, { head, manifest, keys }: ReadBackup): Promise<void> {
  for (const folder of ['pki', 'blobs/sha256'])
    await mkdir(join(made, folder), { recursive: true, mode: 0o700 });
  for (const { name } of manifest.entries) {
    const [part, ...rest] = name.split('/') as [string, ...string[]];
    const last = rest.at(-1) ?? '';
    if (part === 'pki') {
      const plain = join(made, 'pki', last.slice(0, -sealedEnd.length));
      await unsealFile(join(raw, name), plain, name, keys);
    } else if (part === 'blobs') {
      const folder = join(made, 'blobs', 'sha256', last.slice(0, 2));
      await mkdir(folder, { recursive: true });
      await rename(join(raw, name), join(folder, last));
    }
  }
  await fillSqlite(join(made, 'state.db'), raw, head.schema, keys);
}

async function place(
  made: string,
  target: string,
  { database, blobs: url }: Pick<Engines, 'database' | 'blobs'>,
  journal: string,
): Promise<void> {
  const taken: string[] = [];
  const spool = join(dirname(made), 'spool');
  const bucket = url === undefined ? null : await openBlobs(spool, undefined, url);
  try {
    if (bucket) await move(made, bucket, taken);
    const put = () => putFolder(made, target);
    if (database === undefined) await put();
    else {
      const state = join(dirname(made), 'state.db');
      for (const end of ['', '-wal', '-shm'])
        await rename(join(made, `state.db${end}`), state + end).catch(unlessAbsent);
      const all = async (transaction: Store) => {
        await importTelemetry(journal, made, database);
        await movePositions(transaction, await lastInPostgres(transaction), true);
        await put();
      };
      await fillPostgres(database, state, all).catch(async (error: unknown) => {
        await rm(target, { recursive: true, force: true });
        throw error;
      });
    }
  } catch (error) {
    for (const digest of taken) await bucket?.remove(digest).catch(() => {});
    throw error;
  } finally {
    await bucket?.close();
  }
}

/** Moves blobs into the bucket and records those that were stored. @throws AIOT_FOLDER_NOT_EMPTY */
async function move(made: string, bucket: BlobStore, taken: string[]): Promise<void> {
  for await (const { digest } of bucket.list()) {
    throw new AiotError('AIOT_FOLDER_NOT_EMPTY', `the bucket already contains blobs, such as ${digest}`, {
      next: 'Use an empty bucket, or a separate prefix: s3://BUCKET/PREFIX',
    });
  }
  const folder = join(made, 'blobs', 'sha256');
  for (const two of await readdir(folder)) {
    for (const hex of await readdir(join(folder, two))) {
      await bucket.put(`sha256:${hex}`, createReadStream(join(folder, two, hex)));
      taken.push(`sha256:${hex}`);
    }
  }
  await rm(folder, { recursive: true });
}

async function putFolder(made: string, target: string): Promise<void> {
  await rmdir(target).catch(unlessAbsent);
  await rename(made, target);
  await syncFolder(dirname(target));
}

/** @throws AIOT_FOLDER_NOT_EMPTY */
async function requireEmptyFolder(folder: string): Promise<void> {
  const found = await readdir(folder).catch(unlessAbsent);
  if (!found || found.length === 0) return;
  throw new AiotError(
    'AIOT_FOLDER_NOT_EMPTY',
    `${folder} contains ${found[0]}: expected an empty or new folder`,
    {
      next: 'Choose another folder: --data DIR',
    },
  );
}

/**
 * Imports the segments of a backup into a new data folder, or into an empty database.
 * @returns the position of its end
 * @throws AIOT_FOLDER_NOT_EMPTY, AIOT_DATABASE_UNREACHABLE, AIOT_DISK_FULL
 */
async function importTelemetry(journal: string, folder: string, database?: string): Promise<string> {
  const telemetry = await openTelemetry({ folder, now: Date.now }, database);
  try {
    if ((await telemetry.streams({ limit: 1 })).length > 0) {
      throw new AiotError('AIOT_FOLDER_NOT_EMPTY', 'the database already contains telemetry', {
        next: 'Use an empty database.',
      });
    }
    await replaySegments(journal, telemetry as TableTelemetry);
    return await telemetry.reader.end();
  } finally {
    await telemetry.close();
  }
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await syncTree(join(folder, entry.name));
  }
  await syncFolder(folder);
}

function told(file: string, data: string | null, { head, manifest }: ReadBackup): Restored {
  const of = (part: string) => manifest.entries.filter(({ name }) => name.startsWith(`${part}/`));
  const bytes = (entries: BackupManifest['entries']) => entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const [blobs, journal] = [of('blobs'), of('journal')];
  return {
    ...{ file, data, aiot: head.aiot, created: head.created },
    ...{ devices: manifest.rows.devices ?? 0, models: manifest.rows.models ?? 0 },
    blobs: { count: blobs.length, bytes: bytes(blobs), missing: manifest.missing },
    damaged: manifest.damaged,
    journal: { segments: journal.length, bytes: bytes(journal) },
  };
}

function unlessAbsent(error: unknown): null {
  if (systemCode(error) === 'ENOENT') return null;
  throw error;
}
