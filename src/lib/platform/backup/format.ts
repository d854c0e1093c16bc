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
import { AiotError, systemCode } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { largestBlob } from '../blobs/store.js';

/**
 * A backup is one tar file: `backup.json` first, then tables, pki, journal and blobs, then `manifest.json`, which names every
 * entry before it with its digest, and last `manifest.mac`, its HMAC-SHA256. A file without its end is none.
 */
export const format = 'aiot-backup/1';

/** What scrypt takes with these parameters, bytes (RFC 7914, section 5: V, B and what it works in). */
function memoryOf({ N, r, p }: { N: number; r: number; p: number }): number {
  return 128 * r * (N + p + 2);
}

/** Of scrypt, bytes: a backup that somebody else made does not take all that a machine has. */
const mostMemory = 2 ** 30;

export const headSchema = z.object({
  format: z.literal(format),
  /** Version of aiot that made it. */
  aiot: z.string(),
  /** How many migrations its tables have seen. */
  schema: z.int().min(1),
  /** ms since 1970 */
  created: z.int(),
  /** RFC 7914: what makes the two keys of the passphrase. */
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
      message: 'expected parameters of scrypt that take at most 1 GiB',
    }),
});

export type BackupHead = z.output<typeof headSchema>;

const manifestSchema = z.object({
  format: z.literal(format),
  entries: z.array(z.object({ name: z.string(), bytes: z.int(), digest: z.string() })),
  /** Rows of each table. */
  rows: z.record(z.string(), z.int()),
  /** Digests of blobs that versions refer to and that were not there when it was made. */
  missing: z.array(z.string()).default([]),
  /** What was damaged when it was made: digests of blobs, which are not in it, and files of the journal with what is wrong with them. */
  damaged: z.array(z.string()).default([]),
});

export type BackupManifest = z.output<typeof manifestSchema>;

export const names = { head: 'backup.json', manifest: 'manifest.json', mac: 'manifest.mac' } as const;

/** Behind the name of what only the passphrase opens. */
export const sealedEnd = '.sealed';

const known = [
  /^tables\/[A-Za-z]{1,40}\.ndjson(\.sealed)?$/,
  /^pki\/[A-Za-z][A-Za-z0-9.]{0,30}\.sealed$/,
  /^journal\/\d{8}(\.\d{1,9})?\.(log|ndjson)$/,
  /^blobs\/sha256\/[0-9a-f]{64}$/,
];

/** Whether an entry is one that a backup has: nothing else is ever written anywhere. */
export function isKnown(name: string): boolean {
  return Object.values<string>(names).includes(name) || known.some((pattern) => pattern.test(name));
}

export function malformed(what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_BACKUP_MALFORMED', what, { cause });
}

const nonceBytes = 12;
const tagBytes = 16;

/** The two keys of a passphrase. */
export interface Keys {
  /** AES-256-GCM */
  seal: Buffer;
  /** HMAC-SHA256 */
  mac: Buffer;
}

/** Shortest passphrase taken, characters. */
export const shortest = 12;

/** @throws AIOT_USAGE (too short) */
export function checkPassphrase(passphrase: string): void {
  if (passphrase.length >= shortest) return;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a passphrase of at least ${shortest} characters, got ${passphrase.length}`,
  );
}

/** What a new backup makes its keys with: 128 MiB and about half a second for each guess. */
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

/** Nonce, ciphertext, tag (NIST SP 800-38D). The entry's name is bound to it: one sealed file is not taken for another. */
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

/** @throws AIOT_BACKUP_PASSPHRASE (or a file that was changed), AIOT_BACKUP_MALFORMED */
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
    throw malformed(`${name} cannot be opened: it was changed`, error);
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
    'the passphrase is another than the backup was made with, or the backup was changed',
  );
}

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
