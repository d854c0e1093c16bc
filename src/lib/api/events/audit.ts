import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { canonicalJson, sha256Hex } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { makeFolder, readJson, requireFile, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import { configFolder } from '../../core/folders.js';
import { issueText } from '../../core/issues.js';
import { parsedJson } from '../../core/text.js';
import type { RegistryClient } from '../client.js';
import { queryFlagSchema } from '../page.js';

const hash = z.string().regex(/^[0-9a-f]{64}$/);

/**
 * An entry of the audit log. `hash` is the SHA-256 of the entry without `hash`, written as canonical JSON (RFC 8785). As the entry contains
 * the hash of the entry before it, no entry can be changed, removed or inserted without a new hash for all later ones.
 */
export const sealedEntrySchema = z.object({
  /** 1, 2, 3, … without gaps */
  seq: z.int().min(1),
  /** ms since 1970 */
  at: z.int(),
  type: z.string(),
  /** Subject of the change, such as `har@3` or the name of a device. */
  subject: z.string(),
  /** The actor: `operator` or `user NAME`, each followed by the token's id, `device NAME`, `platform` or `nobody`. */
  who: z.string(),
  data: z.record(z.string(), z.unknown()),
  /** Hash of the previous entry; 64 zeros for the first one. */
  previous: hash,
  hash,
});
export type SealedEntry = z.output<typeof sealedEntrySchema>;

/** Previous hash of the first entry. */
export const noHash = '0'.repeat(64);

export function hashOfEntry(entry: Omit<SealedEntry, 'hash'>): string {
  const { seq, at, type, subject, who, data, previous } = entry;
  return sha256Hex(canonicalJson({ seq, at, type, subject, who, data, previous }));
}

/** The newest entry: its number, and its hash, which covers all entries before it. */
export const auditHeadSchema = z.object({ seq: z.int(), hash });
export type AuditHead = z.output<typeof auditHeadSchema>;

export const auditLogQuerySchema = z.object({
  /** Returns only entries with a number higher than this one. */
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  /** Whether to return the newest entries instead of the oldest ones; the order is the same. */
  newest: queryFlagSchema.default(false),
  /** Type such as `user.add`, or a prefix such as `user.*`. */
  type: z.string().max(100).optional(),
  subject: z.string().max(200).optional(),
  who: z.string().max(200).optional(),
});

export const auditLogSchema = z.object({
  entries: z.array(sealedEntrySchema),
  /** Number to pass as `after` to get the next page; null = this is the last page. */
  next: z.string().nullable(),
  head: auditHeadSchema,
});

/** Heads by URL, and by the log's first entry, which does not change if the platform moves to another URL. */
const headsSchema = z.record(z.string(), auditHeadSchema.extend({ at: z.int() }));
const headsFile = () => join(configFolder(), 'audit.json');

export const auditVerifiedSchema = z.object({
  /** The platform's URL, or the file. */
  source: z.string(),
  /** Number of entries, and the number of the first one; 0 = there are none. */
  entries: z.int(),
  first: z.int(),
  /** Time of the first and the last entry, ms since 1970; null = there are none. */
  from: z.int().nullable(),
  to: z.int().nullable(),
  head: auditHeadSchema,
  /** The head that the last verification from this account found, and its time; null = this is the first verification. */
  since: auditHeadSchema.extend({ at: z.int() }).nullable(),
});
export type AuditVerified = z.output<typeof auditVerifiedSchema>;

/** Follows the chain of hashes, entry by entry. */
class Chain {
  count = 0;
  first = 0;
  from: number | null = null;
  to: number | null = null;
  head: AuditHead = { seq: 0, hash: noHash };

  /** @param expected heads that the log must contain */
  constructor(private readonly expected: AuditHead[]) {}

  /** Adds a head that the rest of the log must contain. */
  expect(head: AuditHead): void {
    this.expected.push(head);
  }

  /** @throws AIOT_AUDIT_BROKEN */
  add(entry: SealedEntry): void {
    const { seq, at, previous } = entry;
    if (this.count === 0) {
      this.first = seq;
      this.from = at;
      if (seq === 1 && previous !== noHash) throw broken('the first entry refers to an entry before it');
    } else if (seq !== this.head.seq + 1)
      throw broken(
        seq > this.head.seq
          ? `entry ${this.head.seq + 1} is missing`
          : `entry ${seq} follows entry ${this.head.seq}`,
      );
    else if (previous !== this.head.hash)
      throw broken(`entry ${seq} does not match entry ${seq - 1} before it`);
    if (hashOfEntry(entry) !== entry.hash)
      throw broken(`entry ${seq} was changed: its hash does not match its content`);
    for (const known of this.expected)
      if (known.seq === seq && known.hash !== entry.hash)
        throw broken(`entry ${seq} was replaced: its earlier hash was ${known.hash}`);
    this.count++;
    this.to = at;
    this.head = { seq, hash: entry.hash };
  }

  /** @throws AIOT_AUDIT_BROKEN if the log ends before a known head */
  end(): void {
    for (const { seq } of this.expected)
      if (seq > this.head.seq)
        throw broken(`the log ends with entry ${this.head.seq}, but entry ${seq} existed earlier`);
      else if (this.count > 0 && seq < this.first && seq > 0)
        throw broken(`the log begins with entry ${this.first}, after the known entry ${seq}`);
  }
}

function broken(message: string): AiotError {
  return new AiotError('AIOT_AUDIT_BROKEN', message);
}

interface VerifyOptions {
  /** A head noted elsewhere, which the log must contain. */
  head?: AuditHead | undefined;
}

/**
 * Reads a platform's whole audit log and checks it on this computer: the platform only delivers the entries. The head is remembered in the
 * user's configuration, so that the next verification also detects a log that was cut off, or rewritten with correct hashes. It is
 * looked up by URL, because an attacker could replace the whole log, or, if the URL is unknown, by the log's first entry.
 * @param forget do not compare with the remembered head
 * @throws AIOT_AUDIT_BROKEN, and errors of the client
 */
export async function verifyAudit(
  client: Pick<RegistryClient, 'audit' | 'url'>,
  { head, forget = false, now = Date.now() }: VerifyOptions & { forget?: boolean; now?: number } = {},
): Promise<AuditVerified> {
  const heads = await rememberedHeads();
  let since = forget ? null : (heads[client.url] ?? null);
  const chain = new Chain([since, head ?? null].filter((known) => known !== null));
  let log: string | null = null;
  for await (const entry of auditEntries(client)) {
    if (entry.seq === 1) {
      log = `log:${entry.hash}`;
      const elsewhere = forget || since !== null ? undefined : heads[log];
      if (elsewhere) chain.expect(elsewhere);
      since ??= elsewhere ?? null;
    }
    chain.add(entry);
  }
  // The chain up to a head cannot be verified if entries are missing at its beginning.
  if (chain.first > 1) throw broken(`the log begins with entry ${chain.first} instead of entry 1`);
  try {
    chain.end();
  } catch (error) {
    if (!(error instanceof AiotError) || since === null) throw error;
    const next = `If the platform was restored from a backup or set up anew, run \`aiot audit verify --forget\` once. Otherwise somebody removed entries after ${new Date(since.at).toISOString()}: keep the data folder, and compare it with a backup.`;
    throw error.reworded(error.message, { next });
  }
  await makeFolder(configFolder(), 0o700);
  const verified = { ...chain.head, at: now };
  const kept = { ...heads, [client.url]: verified, ...(log === null ? {} : { [log]: verified }) };
  await writeJsonAtomic(headsFile(), kept, 0o600);
  return { source: client.url, ...resultOf(chain), since };
}

async function rememberedHeads(): Promise<z.output<typeof headsSchema>> {
  const value = (await unless('AIOT_FILE_NOT_FOUND', readJson(headsFile()))) ?? {};
  const parsed = headsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${headsFile()}: ${issueText(parsed.error, 'the file')}`, {
    next: `Delete ${headsFile()}. After that, the next verification cannot detect entries that were removed before it.`,
  });
}

function resultOf({ count, first, from, to, head }: Chain): Omit<AuditVerified, 'source' | 'since'> {
  return { entries: count, first, from, to, head };
}

/**
 * Checks a file that `aiot audit export` wrote. It may begin with any entry.
 * @throws AIOT_AUDIT_BROKEN, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function verifyAuditFile(file: string, { head }: VerifyOptions = {}): Promise<AuditVerified> {
  await requireFile(file);
  const chain = new Chain(head ? [head] : []);
  let number = 0;
  for await (const line of createInterface({
    input: createReadStream(file),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    number++;
    const parsed = sealedEntrySchema.safeParse(parsedJson(line));
    if (!parsed.success)
      throw new AiotError(
        'AIOT_FILE_MALFORMED',
        `${file}: line ${number}: ${issueText(parsed.error, 'the line')}`,
        { next: 'Export the log again with `aiot audit export --out FILE`.' },
      );
    chain.add(parsed.data);
  }
  if (number === 0)
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: expected entries, got an empty file`);
  chain.end();
  return { source: file, ...resultOf(chain), since: null };
}

export const auditExportedSchema = z.object({ file: z.string(), entries: z.int(), head: auditHeadSchema });
export type AuditExported = z.output<typeof auditExportedSchema>;

/**
 * Writes the audit log to a file, one entry per line, completely or not at all. Each entry is verified before it is written.
 * @throws AIOT_AUDIT_BROKEN, AIOT_FILE_NOT_WRITABLE, and errors of the client
 */
export async function exportAudit(
  client: Pick<RegistryClient, 'audit'>,
  out: string,
  after = 0,
): Promise<AuditExported> {
  const chain = new Chain([]);
  async function* lines() {
    for await (const entry of auditEntries(client, after)) {
      chain.add(entry);
      yield `${JSON.stringify(entry)}\n`;
    }
  }
  await writeFileAtomic(out, lines());
  return { file: out, entries: chain.count, head: chain.head };
}

async function* auditEntries(client: Pick<RegistryClient, 'audit'>, after = 0): AsyncGenerator<SealedEntry> {
  for (let position: number | null = after; position !== null; ) {
    const { entries, next } = await client.audit.log({ after: position, limit: 1000, newest: false });
    yield* entries;
    position = next === null ? null : Number(next);
  }
}
