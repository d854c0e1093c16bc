import { z } from 'zod';
import { nvsVersions } from '../../formats/index.js';

const version = z.literal(nvsVersions);

/** What `firmware nvs create` wrote. */
export const nvsMadeSchema = z.object({
  file: z.string(),
  bytes: z.int(),
  version,
  namespaces: z.int(),
  entries: z.int(),
  /** Pages of 4096 bytes that hold something, and how many there are. */
  pages: z.object({ used: z.int(), total: z.int() }),
  encrypted: z.boolean(),
  /** The nvs_keys partition that was made with it. */
  keys: z.string().nullable(),
});
export type NvsMade = z.output<typeof nvsMadeSchema>;

/** What `firmware nvs read` found. */
export const nvsReadSchema = z.object({
  file: z.string(),
  bytes: z.int(),
  /** null = nothing was ever written. */
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
      /** Of 64 bits as decimal text, which a JSON number cannot hold; a blob in base64. */
      value: z.union([z.number(), z.string()]),
      /** Of the value, a string's without its NUL. */
      bytes: z.int(),
    }),
  ),
  /** With --salvage: what is damaged. */
  problems: z.array(z.object({ offset: z.int(), reason: z.string() })),
  /** The CSV that was written. */
  out: z.string().nullable(),
});
export type NvsRead = z.output<typeof nvsReadSchema>;
