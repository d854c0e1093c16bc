import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
  scrypt,
  timingSafeEqual,
} from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';
import { largestBlob } from '../../api/contract/blobs.js';
import { shortestPassphrase } from '../../api/contract/platform.js';
import { AiotError, errorMaker, systemCode } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';

export const malformed = errorMaker('AIOT_BACKUP_MALFORMED');

/**
 * A backup is one tar file. It begins with `backup.json`, followed by tables, pki, journal and blobs. Then comes `manifest.json`, which
 * lists every preceding entry with its digest. The last entry is `manifest.mac`, the HMAC-SHA256 of the manifest. A truncated file is not a
 * valid backup.
 */
export const format = 'aiot-backup/1';

/** Memory that scrypt needs with these parameters, bytes (RFC 7914, section 5: V, B and its working space). */
function memoryOf({ N, r, p }: { N: number; r: number; p: number }): number {
  return 128 * r * (N + p + 2);
}

/** Limit on scrypt memory, bytes, so that another person's backup file cannot exhaust the machine's memory. */
const mostMemory = 2 ** 30;

export const headSchema = z.object({
  format: z.literal(format),
  /** Version of aiot that made the backup. */
  aiot: z.string(),
  /** Number of migrations applied to the tables. */
  schema: z.int().min(1),
  /** ms since 1970 */
  created: z.int(),
  /** Parameters for deriving the two keys from the passphrase (RFC 7914). */
  scrypt: z
    .object({
      salt: z.string(),
      N: z
        .int()
        .min(2)
        .max(2 ** 20),
      r: z.int().min(1).max(32),
      p: z.int().min(1).max(16),
    })
    .refine(({ N }) => Number.isInteger(Math.log2(N)), { message: 'expected a power of two as N' })
    .refine(({ N, r, p }) => memoryOf({ N, r, p }) <= mostMemory, {
      message: 'expected scrypt parameters that need at most 1 GiB',
    }),
});

export type BackupHead = z.output<typeof headSchema>;

const manifestSchema = z.object({
  format: z.literal(format),
  entries: z.array(z.object({ name: z.string(), bytes: z.int(), digest: z.string() })),
  /** Number of rows in each table. */
  rows: z.record(z.string(), z.int()),
  /** Digests of referenced blobs that did not exist when the backup was made. */
  missing: z.array(z.string()).default([]),
  /** Damage found when the backup was made: digests of blobs, which are not included, and journal files with a description of the damage. */
  damaged: z.array(z.string()).default([]),
});

export type BackupManifest = z.output<typeof manifestSchema>;

export const names = { head: 'backup.json', manifest: 'manifest.json', mac: 'manifest.mac' } as const;

/** File name suffix of entries that are encrypted with the passphrase. */
export const sealedEnd = '.sealed';

const known = [
  /^tables\/[A-Za-z]{1,40}\.ndjson(\.sealed)?$/,
  /^pki\/[A-Za-z][A-Za-z0-9.]{0,30}\.sealed$/,
  /^journal\/\d{8}(\.\d{1,9})?\.(log|ndjson)$/,
  /^blobs\/sha256\/[0-9a-f]{64}$/,
];

/** Whether the name is one of a backup's entries; nothing else is ever written. */
export function isKnown(name: string): boolean {
  return Object.values<string>(names).includes(name) || known.some((pattern) => pattern.test(name));
}

const nonceBytes = 12;
const tagBytes = 16;

/** The two keys derived from a passphrase. */
export interface Keys {
  /** AES-256-GCM */
  seal: Buffer;
  /** HMAC-SHA256 */
  mac: Buffer;
}

/** @throws AIOT_USAGE (too short) */
export function checkPassphrase(passphrase: string): void {
  if (passphrase.length >= shortestPassphrase) return;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a passphrase of at least ${shortestPassphrase} characters, got ${passphrase.length}`,
  );
}

/** Key derivation parameters for a new backup: 128 MiB and about half a second per guess. */
export function newScrypt(): BackupHead['scrypt'] {
  return { salt: randomBytes(16).toString('base64'), N: 2 ** 17, r: 8, p: 1 };
}

export async function keysOf(passphrase: string, { salt, N, r, p }: BackupHead['scrypt']): Promise<Keys> {
  const key = await new Promise<Buffer>((resolve, reject) => {
    const options = { N, r, p, maxmem: 2 * memoryOf({ N, r, p }) };
    scrypt(passphrase.normalize('NFC'), Buffer.from(salt, 'base64'), 64, options, (error, made) =>
      error ? reject(error) : resolve(made),
    );
  });
  return { seal: key.subarray(0, 32), mac: key.subarray(32) };
}

/**
 * Writes nonce, ciphertext and tag (AES-GCM, NIST SP 800-38D). The tag also covers the entry's name, so sealed files
 * cannot be swapped.
 */
export async function sealFile(from: string, to: string, name: string, { seal }: Keys): Promise<void> {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', seal, nonce).setAAD(Buffer.from(name));
  const out = createWriteStream(to, { mode: 0o600 });
  out.write(nonce);
  await pipeline(createReadStream(from), cipher, out, { end: false });
  await new Promise<void>((resolve, reject) =>
    out.end(cipher.getAuthTag(), () => resolve()).once('error', reject),
  );
}

/** @throws AIOT_BACKUP_PASSPHRASE (also if the file was changed), AIOT_BACKUP_MALFORMED */
export async function unsealFile(from: string, to: string, name: string, { seal }: Keys): Promise<void> {
  const { size } = await stat(from);
  if (size < nonceBytes + tagBytes) throw malformed(`${name} is too short`);
  const file = await open(from);
  const ends = Buffer.alloc(nonceBytes + tagBytes);
  try {
    await file.read(ends, 0, nonceBytes, 0);
    await file.read(ends, nonceBytes, tagBytes, size - tagBytes);
  } finally {
    await file.close();
  }
  const decipher = createDecipheriv('aes-256-gcm', seal, ends.subarray(0, nonceBytes));
  decipher.setAAD(Buffer.from(name)).setAuthTag(ends.subarray(nonceBytes));
  const body = createReadStream(from, { start: nonceBytes, end: Math.max(nonceBytes, size - tagBytes - 1) });
  try {
    if (size === nonceBytes + tagBytes) {
      decipher.final();
      await (await open(to, 'w', 0o600)).close();
    } else await pipeline(body, decipher, createWriteStream(to, { mode: 0o600 }));
  } catch (error) {
    throw malformed(`${name} cannot be decrypted: it was modified`, { cause: error });
  }
}

export function macOf(text: string, { mac }: Keys): string {
  return createHmac('sha256', mac).update(text).digest('hex');
}

/** @throws AIOT_BACKUP_PASSPHRASE */
function checkMac(text: string, mac: string, keys: Keys): void {
  const [own, told] = [Buffer.from(macOf(text, keys)), Buffer.from(mac)];
  if (own.length === told.length && timingSafeEqual(own, told)) return;
  throw new AiotError(
    'AIOT_BACKUP_PASSPHRASE',
    'the passphrase differs from the one used for the backup, or the backup was modified',
  );
}

export interface ReadBackup {
  head: BackupHead;
  manifest: BackupManifest;
  keys: Keys;
}

/** Maximum size of text entries that are read into memory, bytes. */
const largestText = 256 * 1024 ** 2;

/**
 * Reads a backup to its end and checks every byte: each entry against the manifest, the manifest against the
 * passphrase.
 * @param folder folder to extract the entries to; null = only check the entries
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
        throw malformed(`${file} contains ${printed(name)}, which does not belong in a backup`);
      if (texts.has(names.manifest) && name !== names.mac)
        throw malformed(`${file} contains data after its end`);
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
    throw malformed(`${file} has no ${name}: it is not a backup, or it is incomplete`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed(`${file}: ${name} is not valid JSON`, { cause: error });
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
    if (entry.bytes !== bytes || entry.digest !== digest) throw malformed(`${file}: ${name} was modified`);
    const hex = /^blobs\/sha256\/(.*)$/.exec(name)?.[1];
    if (hex !== undefined && digest !== `sha256:${hex}`)
      throw malformed(`${file}: ${name} is a different blob`);
    found.delete(name);
  }
  const [more] = found.keys();
  if (more !== undefined) throw malformed(`${file}: ${more} is not covered by the backup's checksums`);
}

/** Yields the lines of a table that was extracted into the folder. */
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
    return new AiotError('AIOT_FILE_NOT_FOUND', `${file} does not exist`, { cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new AiotError('AIOT_DISK_FULL', 'the disk is full', { cause: error });
  if (code === 'EISDIR' || code === 'EACCES')
    return new AiotError('AIOT_FILE_NOT_READABLE', `${file} is not readable (${code})`, { cause: error });
  return malformed(`${file} is not a tar file, or it is truncated`, { cause: error });
}

function printed(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
