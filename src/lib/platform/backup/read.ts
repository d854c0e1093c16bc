import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { z } from 'zod';
import { AiotError, issueText, systemCode } from '../../core/index.js';
import { largestBlob } from '../blobs/store.js';
import {
  type BackupHead,
  type BackupManifest,
  headSchema,
  isKnown,
  malformed,
  manifestSchema,
  names,
} from './format.js';
import { checkMac, type Keys, keysOf } from './seal.js';

export interface ReadBackup {
  head: BackupHead;
  manifest: BackupManifest;
  keys: Keys;
}

/** Of texts that are read whole. */
const largestText = 256 * 1024 ** 2;

/**
 * Reads a backup to its end and checks every byte of it: each entry against the manifest, the manifest against the passphrase.
 * @param folder where its entries are put as they come; null = nowhere, they are looked at only
 * @throws AIOT_FILE_NOT_FOUND, AIOT_BACKUP_MALFORMED, AIOT_BACKUP_PASSPHRASE, AIOT_DISK_FULL
 */
export async function readBackup(
  file: string,
  passphrase: string,
  folder: string | null,
): Promise<ReadBackup> {
  const { extract: newExtract } = await import('tar-stream');
  const extract = newExtract();
  const entries: BackupManifest['entries'] = [];
  const texts = new Map<string, string>();
  const reading = pipeline(createReadStream(file, { highWaterMark: 2 ** 20 }), extract);
  reading.catch(() => {});
  try {
    for await (const entry of extract) {
      const { name, size = 0, type } = entry.header;
      const twice = texts.has(name) || entries.some((other) => other.name === name);
      if (type !== 'file' || !isKnown(name) || twice)
        throw malformed(`${file} holds ${printed(name)}, which no backup does`);
      if (texts.has(names.manifest) && name !== names.mac) throw malformed(`${file} goes on behind its end`);
      const isText = Object.values<string>(names).includes(name);
      if (size > (isText ? largestText : 64 * largestBlob)) throw malformed(`${name} is too large`);
      const { digest, text } = await take(
        entry as unknown as AsyncIterable<Buffer>,
        folder === null ? null : join(folder, name),
        isText,
      );
      if (isText) texts.set(name, text);
      if (name !== names.manifest && name !== names.mac) entries.push({ name, bytes: size, digest });
    }
    await reading;
  } catch (error) {
    if (error instanceof AiotError) throw error;
    throw readError(error, file);
  }
  const head = parse(headSchema, texts.get(names.head), names.head, file);
  const [told = '', mac = ''] = [texts.get(names.manifest), texts.get(names.mac)];
  const manifest = parse(manifestSchema, told, names.manifest, file);
  const keys = await keysOf(passphrase, head.scrypt);
  checkMac(told, mac.trim(), keys);
  requireSame(manifest.entries, entries, file);
  return { head, manifest, keys };
}

async function take(
  entry: AsyncIterable<Buffer>,
  path: string | null,
  isText: boolean,
): Promise<{ digest: string; text: string }> {
  const hash = createHash('sha256');
  const kept: Buffer[] = [];
  const counted = async function* () {
    for await (const chunk of entry) {
      hash.update(chunk);
      if (isText) kept.push(chunk);
      yield chunk;
    }
  };
  if (path !== null && !isText) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await pipeline(counted, createWriteStream(path, { mode: 0o600, flags: 'wx', flush: true }));
  } else await pipeline(counted, new Writable({ write: (_chunk, _encoding, done) => done() }));
  return { digest: `sha256:${hash.digest('hex')}`, text: Buffer.concat(kept).toString('utf8') };
}

function parse<T>(schema: z.ZodType<T>, text: string | undefined, name: string, file: string): T {
  if (text === undefined || text === '')
    throw malformed(`${file} has no ${name}: it is no backup, or not all of one`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed(`${file}: ${name} is not JSON`, error);
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw malformed(`${file}: ${name}: ${issueText(read.error, 'the file', value)}`);
}

function requireSame(told: BackupManifest['entries'], got: BackupManifest['entries'], file: string): void {
  const found = new Map(got.map((entry) => [entry.name, entry]));
  for (const { name, bytes, digest } of told) {
    const entry = found.get(name);
    if (!entry) throw malformed(`${file} lacks ${name}`);
    if (entry.bytes !== bytes || entry.digest !== digest) throw malformed(`${file}: ${name} was changed`);
    const hex = /^blobs\/sha256\/(.*)$/.exec(name)?.[1];
    if (hex !== undefined && digest !== `sha256:${hex}`) throw malformed(`${file}: ${name} is another blob`);
    found.delete(name);
  }
  const [more] = found.keys();
  if (more !== undefined) throw malformed(`${file}: nobody vouches for ${more}`);
}

/** The lines of a table that was put into the folder. */
export async function* linesOf(path: string): AsyncGenerator<Record<string, unknown>> {
  const { createInterface } = await import('node:readline');
  for await (const line of createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    if (line !== '') yield JSON.parse(line) as Record<string, unknown>;
  }
}

function readError(error: unknown, file: string): AiotError {
  const code = systemCode(error);
  if (code === 'ENOENT')
    return new AiotError('AIOT_FILE_NOT_FOUND', `${file} is not there`, { cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new AiotError('AIOT_DISK_FULL', 'there is no space left for it', { cause: error });
  if (code === 'EISDIR' || code === 'EACCES')
    return new AiotError('AIOT_FILE_NOT_READABLE', `${file} cannot be read (${code})`, { cause: error });
  return malformed(`${file} is no tar file, or ends too early`, error);
}

function printed(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
