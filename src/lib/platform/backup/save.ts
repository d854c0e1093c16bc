import { createWriteStream } from 'node:fs';
import { access, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AiotError, plural, syncFolder, systemCode } from '../../core/index.js';
import type { RegistryClient } from '../../registry/index.js';
import { storageError } from '../errors.js';
import { type Restored, restoreBackup } from './restore.js';
import { checkPassphrase } from './seal.js';

export interface SaveOptions {
  client: Pick<RegistryClient, 'backups'>;
  /** Made by this; never written over. */
  file: string;
  passphrase: string;
  /** Keeps one that lacks what is damaged on the platform. */
  allowDamaged?: boolean;
  signal?: AbortSignal;
}

/**
 * Gets a backup of a running platform into a file, and reads it again to its last byte before it has its name.
 * @throws AIOT_FILE_NOT_WRITABLE (also one that is there already), AIOT_USAGE (passphrase), AIOT_DISK_FULL, AIOT_BACKUP_MALFORMED, AIOT_BACKUP_DAMAGED, and what asking a platform throws
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
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `${file} is there already`, {
      next: 'Give it another name.',
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
    `the platform is damaged in ${plural(damaged.length, 'place')}: ${few}`,
  );
}

function writeError(error: unknown, file: string): unknown {
  const told = storageError(error);
  const code = systemCode(told);
  if (told instanceof AiotError || !['EACCES', 'ENOENT', 'EROFS', 'ENOTDIR'].includes(code ?? ''))
    return told;
  return new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${file} (${code})`, { cause: error });
}
