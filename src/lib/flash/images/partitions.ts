import * as z from 'zod';
import { readBytes, readText, refuseInputs, writeFileAtomic } from '../../core/files.js';
import {
  firstOtadata,
  nextOtadata,
  type OtaState,
  otaStateNames,
  readOtadata,
} from '../../formats/otadata.js';
import {
  type PartitionTable,
  parsePartitionsCsv,
  partitionProblems,
  partitionSubtypeName,
  partitionTableBytes,
  partitionTableOffset,
  partitionTypeName,
  readPartitionTable,
  writePartitionsCsv,
  writePartitionTable,
} from '../../formats/partitions.js';

/** A partition table as shown by `firmware partitions create` and `read`. */
export const partitionsSchema = z.object({
  file: z.string(),
  /** Offset of the table itself in flash. */
  offset: z.int(),
  /** Whether the table ends with a row that contains the MD5 of the other rows. */
  md5: z.boolean(),
  partitions: z.array(
    z.object({
      name: z.string(),
      type: z.string(),
      subtype: z.string(),
      offset: z.int(),
      size: z.int(),
      encrypted: z.boolean(),
      readonly: z.boolean(),
    }),
  ),
  /** End of the last partition, which is the minimum flash size, bytes. */
  end: z.int(),
  /** Problems of a table that was read: rows that overlap, are misaligned or do not fit. */
  problems: z.array(z.string()),
  out: z.string().nullable(),
});

export type Partitions = z.output<typeof partitionsSchema>;

export interface CreatePartitionsOptions {
  csv: string;
  out: string;
  /** Flash offset of the table itself (default 0x8000). */
  tableOffset?: number;
  flashBytes?: number;
  md5: boolean;
}

/** Builds a partition table from a CSV file. @throws AIOT_FILE_MALFORMED with file and line, AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT */
export async function createPartitions(options: CreatePartitionsOptions): Promise<Partitions> {
  const { csv, out, tableOffset = partitionTableOffset, flashBytes, md5 } = options;
  const parsed = parsePartitionsCsv(await readText(csv), {
    tableOffset,
    file: csv,
    ...(flashBytes === undefined ? {} : { flashBytes }),
  });
  await refuseInputs([out], [csv]);
  const table = { ...parsed, md5 };
  await writeFileAtomic(out, writePartitionTable(table, tableOffset));
  return described(out, table, tableOffset, { problems: [], out: null });
}

export interface ReadPartitionsOptions {
  file: string;
  /** Offset of the table in flash (default 0x8000). A file that is longer than a table is treated as an image of a whole flash. */
  tableOffset?: number;
  flashBytes?: number;
  /** Output CSV file. */
  out?: string;
}

/**
 * Reads a partition table from a file. @throws AIOT_FILE_MALFORMED with the offset and the reason, AIOT_FILE_NOT_FOUND,
 * AIOT_FILE_NOT_WRITABLE
 */
export async function readPartitions(options: ReadPartitionsOptions): Promise<Partitions> {
  const { file, tableOffset = partitionTableOffset, flashBytes = null, out } = options;
  const bytes = await readBytes(file);
  const at = bytes.length >= tableOffset + partitionTableBytes ? tableOffset : 0;
  await refuseInputs([out], [file]);
  const table = readPartitionTable(bytes.subarray(at));
  if (out !== undefined) await writeFileAtomic(out, writePartitionsCsv(table));
  const problems = partitionProblems(table, flashBytes, tableOffset);
  return described(file, table, tableOffset, { problems, out: out ?? null });
}

/** Parses a table from bytes. @throws AIOT_FILE_MALFORMED with the offset and the reason */
export function tableOf(bytes: Uint8Array, file: string): Partitions {
  const table = readPartitionTable(bytes);
  const problems = partitionProblems(table, null, partitionTableOffset);
  return described(file, table, partitionTableOffset, { problems, out: null });
}

function described(
  file: string,
  { partitions, md5 }: PartitionTable,
  offset: number,
  rest: Pick<Partitions, 'problems' | 'out'>,
): Partitions {
  return {
    file,
    offset,
    md5,
    partitions: partitions.map(({ label, type, subtype, ...row }) => ({
      name: label,
      type: partitionTypeName(type),
      subtype: partitionSubtypeName(type, subtype),
      ...row,
    })),
    end: Math.max(...partitions.map(({ offset, size }) => offset + size)),
    ...rest,
  };
}

/** The app slot that a board starts. */
export const otadataSchema = z.object({
  file: z.string(),
  /** Number of app slots assumed for decoding. */
  slots: z.int(),
  /** Number of the active slot, from 0. Null = otadata selects none, so the factory app is started, or slot 0 if there is none. */
  active: z.int().nullable(),
  /** One entry per sector of otadata; null = the sector is blank. */
  entries: z.array(
    z
      .object({ sequence: z.int(), slot: z.int(), state: z.enum(otaStateNames), usable: z.boolean() })
      .nullable(),
  ),
});

export type OtadataShown = z.output<typeof otadataSchema>;

export interface CreateOtadataOptions {
  out: string;
  /** Number of the app slot, from 0. */
  slot: number;
  slots: number;
  state: OtaState;
  /** File with the board's current otadata, one sector of which is preserved. */
  from?: string;
}

/**
 * Creates otadata that selects a slot. @throws AIOT_USAGE (no such slot), AIOT_FILE_MALFORMED, AIOT_FILE_NOT_FOUND,
 * AIOT_FILE_NOT_WRITABLE
 */
export async function createOtadata(options: CreateOtadataOptions): Promise<OtadataShown> {
  const { out, slot, slots, state, from } = options;
  // The output may replace the input file; the slot is then switched in place.
  const bytes =
    from === undefined
      ? firstOtadata(slot, slots, state)
      : nextOtadata(await readBytes(from), slot, slots, state);
  await writeFileAtomic(out, bytes);
  return describedOtadata(out, bytes, slots);
}

/** Reads otadata from a file. @throws AIOT_FILE_MALFORMED with the offset and the reason, AIOT_FILE_NOT_FOUND */
export async function readOtadataFile(file: string, slots: number): Promise<OtadataShown> {
  return describedOtadata(file, await readBytes(file), slots);
}

function describedOtadata(file: string, bytes: Uint8Array, slots: number): OtadataShown {
  const { entries, active } = readOtadata(bytes);
  return {
    file,
    slots,
    active: active(slots),
    entries: entries.map((entry) => entry && { ...entry, slot: (entry.sequence - 1) % slots }),
  };
}
