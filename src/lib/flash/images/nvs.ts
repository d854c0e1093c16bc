import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import * as z from 'zod';
import { AiotError, hasCode } from '../../core/errors.js';
import { readBytes, readText, refuseInputs, requireWritable, writeFileAtomic } from '../../core/files.js';
import { decryptNvs, encryptNvs, nvsKeyBytes, readNvsKeys, writeNvsKeys } from '../../formats/nvs/crypt.js';
import { parseNvsCsv, writeNvsCsv } from '../../formats/nvs/csv.js';
import { nvsKeysOfHmac } from '../../formats/nvs/hmac.js';
import { readNvs } from '../../formats/nvs/read.js';
import { type NvsEntry, type NvsVersion, nvsNumbers, nvsVersions } from '../../formats/nvs/types.js';
import { writeNvs } from '../../formats/nvs/write.js';

const version = z.literal(nvsVersions);

/** Result of `firmware nvs create`. */
export const nvsMadeSchema = z.object({
  file: z.string(),
  bytes: z.int(),
  version,
  namespaces: z.int(),
  entries: z.int(),
  /** Number of used pages and of all pages (4096 bytes each). */
  pages: z.object({ used: z.int(), total: z.int() }),
  encrypted: z.boolean(),
  /** File of the nvs_keys partition that was created as well; null = not encrypted. */
  keys: z.string().nullable(),
});

export type NvsMade = z.output<typeof nvsMadeSchema>;

/** Result of `firmware nvs read`. */
export const nvsReadSchema = z.object({
  file: z.string(),
  bytes: z.int(),
  /** Version of the page format; null = nothing has ever been written. */
  version: version.nullable(),
  encrypted: z.boolean(),
  pages: z.array(
    z.object({
      offset: z.int(),
      state: z.enum(['empty', 'active', 'full', 'freeing', 'corrupt']),
      sequence: z.int().nullable(),
      version: version.nullable(),
      written: z.int(),
      erased: z.int(),
      free: z.int(),
    }),
  ),
  namespaces: z.array(z.string()),
  entries: z.array(
    z.object({
      namespace: z.string(),
      key: z.string(),
      type: z.enum(['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'u64', 'i64', 'string', 'blob']),
      /** Value of the entry. A 64-bit number is decimal text, because a JSON number cannot represent it; a blob is base64. */
      value: z.union([z.number(), z.string()]),
      /** Size of the value, bytes; for a string, without its NUL. */
      bytes: z.int(),
    }),
  ),
  /** The damaged parts that were found with --salvage. */
  problems: z.array(z.object({ offset: z.int(), reason: z.string() })),
  /** CSV file that was written; null = no file. */
  out: z.string().nullable(),
});

export type NvsRead = z.output<typeof nvsReadSchema>;

/** File mode of files with NVS values, which are usually secret. */
const secret = 0o600;

export interface CreateNvsOptions {
  csv: string;
  out: string;
  /** Size of the partition, bytes. */
  size: number;
  version: NvsVersion;
  /** File of the nvs_keys partition with the keys for encryption. */
  keys?: string;
  /** File of the HMAC key from which the chip derives its keys. */
  hmacKey?: string;
  /** Output file for new keys. */
  newKeys?: string;
}

/**
 * Builds an NVS partition from a CSV file. Files named in its rows are searched for next to the CSV, then in the working folder.
 * @throws AIOT_FILE_MALFORMED (the CSV or the keys), AIOT_NVS_UNFIT, AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE,
 *   AIOT_USAGE (the key file already exists)
 */
export async function createNvs(options: CreateNvsOptions): Promise<NvsMade> {
  const { csv, out, size, version, newKeys } = options;
  const read = [csv, options.keys, options.hmacKey];
  const fileOf = async (path: string) => {
    const beside = join(dirname(csv), path);
    const found = isAbsolute(path) || !existsSync(beside) ? path : beside;
    read.push(found);
    return await readBytes(found);
  };
  const items = await parseNvsCsv(await readText(csv), fileOf, { file: csv, version });
  await refuseInputs([out, newKeys], read);
  const plain = writeNvs(items, { size, version });
  const keys = await keysFor(options);
  if (newKeys !== undefined && keys) {
    await requireWritable(out);
    await writeFileAtomic(newKeys, writeNvsKeys(keys), secret);
  }
  await writeFileAtomic(out, keys ? encryptNvs(plain, keys) : plain, secret);
  const { namespaces, entries, pages } = readNvs(plain);
  return {
    file: out,
    bytes: size,
    version,
    namespaces: namespaces.length,
    entries: entries.length,
    pages: { used: pages.filter(({ state }) => state !== 'empty').length, total: pages.length },
    encrypted: keys !== null,
    keys: newKeys ?? null,
  };
}

/** The keys in a file, or those that a chip derives; null = neither is given. */
async function givenKeys({ keys, hmacKey }: Pick<CreateNvsOptions, 'keys' | 'hmacKey'>) {
  if (keys !== undefined) return readNvsKeys(await readBytes(keys));
  return hmacKey === undefined ? null : nvsKeysOfHmac(await readBytes(hmacKey));
}

async function keysFor({ newKeys, out, ...given }: CreateNvsOptions): Promise<Uint8Array | null> {
  const keys = await givenKeys(given);
  if (keys !== null) return keys;
  if (newKeys === undefined) return null;
  if (newKeys === out) throw new AiotError('AIOT_USAGE', `the keys and ${out} must be different files`);
  if (existsSync(newKeys)) {
    throw new AiotError(
      'AIOT_USAGE',
      `${newKeys} already exists and is needed for the data encrypted with it`,
      {
        next: `Use it with --keys ${newKeys}, or choose another file.`,
      },
    );
  }
  return randomBytes(nvsKeyBytes);
}

export interface ReadNvsOptions {
  file: string;
  /** File of the nvs_keys partition, for an encrypted NVS. */
  keys?: string;
  /** File of the HMAC key, if the chip derives its keys from one. */
  hmacKey?: string;
  /** Whether to read as much as possible of a damaged partition. */
  salvage: boolean;
  /** Output CSV file for the values. */
  out?: string;
}

/**
 * Reads the values of an NVS partition in a file. @throws AIOT_FILE_MALFORMED with the offset and the reason, AIOT_FILE_NOT_FOUND,
 * AIOT_FILE_NOT_WRITABLE
 */
export async function readNvsFile({ file, keys, hmacKey, salvage, out }: ReadNvsOptions): Promise<NvsRead> {
  const stored = await readBytes(file);
  refuseCsv(file, stored);
  const used = await givenKeys({ keys, hmacKey });
  const bytes = used === null ? stored : decryptNvs(stored, used);
  await refuseInputs([out], [file, keys, hmacKey]);
  const contents = withKeys(keys ?? hmacKey, () => readNvs(bytes, { salvage }));
  if (out !== undefined) await writeFileAtomic(out, writeNvsCsv(contents), secret);
  const { version, pages, namespaces, problems } = contents;
  return {
    file,
    bytes: bytes.length,
    version,
    encrypted: used !== null,
    pages,
    namespaces,
    entries: contents.entries.map(shown),
    problems,
    out: out ?? null,
  };
}

/** Rejects a CSV file, which is easily confused with the partition built from it. @throws AIOT_FILE_MALFORMED */
function refuseCsv(file: string, bytes: Uint8Array): void {
  const [first = ''] = Buffer.from(bytes.subarray(0, 4096)).toString('latin1').split('\n');
  if (!/^(\xef\xbb\xbf)?\s*key\s*,\s*type\s*,\s*encoding\s*,\s*value\s*$/i.test(first)) return;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file} is a CSV file of values, not an NVS partition`, {
    subject: 'nvs',
    next: `Create the partition first with \`aiot firmware nvs create ${file} nvs.bin --size 0x6000\`.`,
  });
}

/** Adds advice about the keys to errors of `read`, because damage found after decryption usually means wrong keys. */
function withKeys<T>(keys: string | undefined, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (keys === undefined || !hasCode(error, 'AIOT_FILE_MALFORMED', 'nvs')) throw error;
    const next = `Check whether it is encrypted with the keys in ${keys}.`;
    throw error.reworded(error.message, { next, cause: error });
  }
}

function shown(entry: NvsEntry): NvsRead['entries'][number] {
  const { namespace, key, type } = entry;
  if (type === 'blob') {
    const value = Buffer.from(entry.value).toString('base64');
    return { namespace, key, type, value, bytes: entry.value.length };
  }
  if (type === 'string') {
    return {
      namespace,
      key,
      type,
      value: entry.value,
      bytes: entry.raw?.length ?? Buffer.byteLength(entry.value),
    };
  }
  const value = typeof entry.value === 'bigint' ? String(entry.value) : entry.value;
  return { namespace, key, type, value, bytes: nvsNumbers[type].bytes };
}
