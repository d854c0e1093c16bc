import { createHash } from 'node:crypto';
import { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';
import { csvRecords } from './csv/records.js';

/** One row in a partition table. Offsets and sizes are in bytes. */
export interface Partition {
  /** At most 16 bytes of UTF-8. */
  label: string;
  type: number;
  subtype: number;
  offset: number;
  size: number;
  encrypted: boolean;
  readonly: boolean;
}

export interface PartitionTable {
  partitions: Partition[];
  /** Whether the table ends with a row that contains the MD5 of the other rows. */
  md5: boolean;
}

/** The table's default offset in flash, its reserved space, and its length, bytes. */
export const partitionTableOffset = 0x8000;

export const partitionTableSector = 0x1000;
export const partitionTableBytes = 0xc00;

/** Maximum number of partitions. There is space for 96 rows, but the last one is for the MD5. */
export const maxPartitions = 95;

/** Flash is erased in sectors of this size; apps are mapped in cache pages. */
export const sectorBytes = 0x1000;

export const appAlignment = 0x10000;

/** Names of types and subtypes. Source: ESP-IDF, "Partition Tables", and esp_partition.h. */
export const partitionTypes = { app: 0, data: 1, bootloader: 2, partition_table: 3 } as const;

const otaSubtypes = Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`ota_${n}`, 0x10 + n]));

export const partitionSubtypes: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  0: { factory: 0x00, ...otaSubtypes, test: 0x20 },
  1: {
    ota: 0x00,
    phy: 0x01,
    nvs: 0x02,
    coredump: 0x03,
    nvs_keys: 0x04,
    efuse: 0x05,
    undefined: 0x06,
    esphttpd: 0x80,
    fat: 0x81,
    spiffs: 0x82,
    littlefs: 0x83,
  },
  2: { primary: 0x00, ota: 0x01, recovery: 0x02 },
  3: { primary: 0x00, ota: 0x01 },
};

/** Name of a type: 1 → `data`. A type without a name is returned as a hexadecimal number. */
export function partitionTypeName(type: number): string {
  return nameOf(partitionTypes, type);
}

/** Name of a subtype: 1, 2 → `nvs`. */
export function partitionSubtypeName(type: number, subtype: number): string {
  return nameOf(partitionSubtypes[type] ?? {}, subtype);
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const found = Object.entries(names).find(([, code]) => code === value);
  return found ? found[0] : hex(value, 2);
}

/** The update slots in order: ota_0, ota_1, … up to the first gap. */
export function otaSlots(table: PartitionTable): Partition[] {
  const slots: Partition[] = [];
  for (let n = 0; ; n++) {
    const slot = table.partitions.find(({ type, subtype }) => type === 0 && subtype === 0x10 + n);
    if (!slot) return slots;
    slots.push(slot);
  }
}

export interface PartitionsCsvOptions {
  /** Offset of the table itself. Rows without an offset start after it. */
  tableOffset?: number;
  /** Size of the flash in bytes; absent = not checked. */
  flashBytes?: number;
  /** Name of the file, for messages. */
  file?: string;
}

/**
 * Parses a partition table from text: `name, type, subtype, offset, size, flags`. If the offset is empty, the partition starts at the next
 * aligned offset after the previous partition. K and M mean KiB and MiB. A negative size specifies the offset at which the partition ends.
 * Flags are `encrypted` and `readonly`, separated by a colon. Source: ESP-IDF, "Partition Tables", Creating Custom Tables.
 * @throws AIOT_FILE_MALFORMED with the file and, if a single row is wrong, the line
 */
export function parsePartitionsCsv(text: string, options: PartitionsCsvOptions = {}): PartitionTable {
  const { tableOffset = partitionTableOffset, flashBytes = null, file = 'partitions' } = options;
  const partitions: Partition[] = [];
  let end = tableOffset + partitionTableSector;
  for (const { line, cells } of csvRecords(text, file)) {
    const row = cells.map((cell) => cell.trim());
    if (row[0]?.startsWith('#')) continue;
    const place = `${file}:${line}`;
    const partition = parseRow(row, end, place);
    const problem = rowProblems(partition, flashBytes, tableOffset)[0];
    if (problem !== undefined) throw malformedRow(place, problem);
    partitions.push(partition);
    end = partition.offset + partition.size;
  }
  const table = { partitions, md5: true };
  try {
    checkPartitions(table, flashBytes, tableOffset);
  } catch (error) {
    throw error instanceof AiotError ? malformedRow(file, error.message) : error;
  }
  return table;
}

/** Writes the table as text, with explicit offsets. */
export function writePartitionsCsv(table: PartitionTable): string {
  const rows = table.partitions.map((row) => {
    const flags = [row.encrypted && 'encrypted', row.readonly && 'readonly'].filter(Boolean).join(':');
    const type = partitionTypeName(row.type);
    const subtype = partitionSubtypeName(row.type, row.subtype);
    const label = /[",\n]/.test(row.label) ? `"${row.label.replaceAll('"', '""')}"` : row.label;
    return [label, type, subtype, hex(row.offset), hex(row.size), flags].join(',');
  });
  return `${['# name,type,subtype,offset,size,flags', ...rows].join('\n')}\n`;
}

function parseRow(cells: string[], end: number, place: string): Partition {
  const [label = '', typeCell = '', subtypeCell = '', offsetCell = '', sizeCell = '', flags = ''] = cells;
  if (cells.length < 5 || cells.slice(6).some((cell) => cell !== '')) {
    throw malformedRow(
      place,
      `expected name, type, subtype, offset, size and flags, got ${cells.length} cells`,
    );
  }
  const type = number(typeCell, partitionTypes, 'type', place);
  const ownType = type >= 0x40 && type <= 0xfe;
  if (!(type in partitionSubtypes) && !ownType) {
    throw malformedRow(
      place,
      `expected a type of ${names(partitionTypes)} or 0x40 to 0xfe, got ${JSON.stringify(typeCell)}`,
    );
  }
  const subtype = subtypeOf(type, subtypeCell, place);
  const alignment = type === 0 ? appAlignment : sectorBytes;
  const behind = Math.ceil(end / alignment) * alignment;
  const offset = offsetCell === '' ? behind : number(offsetCell, {}, 'offset', place);
  if (offset < 0)
    throw malformedRow(place, `expected an offset such as 0x9000, got ${JSON.stringify(offsetCell)}`);
  const given = number(sizeCell, {}, 'size', place);
  const size = given < 0 ? -given - offset : given;
  if (size < 0)
    throw malformedRow(place, `expected the end ${sizeCell} to be after the offset ${hex(offset)}`);
  return { label, type, subtype, offset, size, ...parseFlags(flags, place) };
}

function subtypeOf(type: number, cell: string, place: string): number {
  if (cell === '' && type === partitionTypes.data) return partitionSubtypes[1]!.undefined!;
  if (cell === '' && type >= 0x40) return 0;
  const subtype = number(cell, partitionSubtypes[type] ?? {}, 'subtype', place);
  if (subtype >= 0 && subtype <= 0xfe) return subtype;
  throw malformedRow(place, `expected a subtype of 0 to 0xfe, got ${JSON.stringify(cell)}`);
}

function parseFlags(cell: string, place: string): { encrypted: boolean; readonly: boolean } {
  const flags = cell === '' ? [] : cell.split(':').map((flag) => flag.trim());
  const unknown = flags.find((flag) => flag !== 'encrypted' && flag !== 'readonly');
  if (unknown !== undefined) {
    throw malformedRow(
      place,
      `expected only the flags encrypted and readonly, got ${JSON.stringify(unknown)}`,
    );
  }
  return { encrypted: flags.includes('encrypted'), readonly: flags.includes('readonly') };
}

/** Parses a cell: a known name such as `nvs`, or a number such as `24K`, `0x9000` or `4096`. */
function number(cell: string, known: Readonly<Record<string, number>>, what: string, place: string): number {
  const named = Object.hasOwn(known, cell.toLowerCase()) ? known[cell.toLowerCase()] : undefined;
  if (named !== undefined) return named;
  const [, sign = '', digits, unit = ''] = /^(-?)(0x[0-9a-f]+|\d+)([km]?)$/i.exec(cell) ?? [];
  const factor = { '': 1, k: 1024, m: 1024 * 1024 }[unit.toLowerCase()] ?? 1;
  const value = Number(digits) * factor * (sign === '-' ? -1 : 1);
  if (digits !== undefined && Math.abs(value) <= 0xffff_ffff) return value;
  const of = Object.keys(known).length > 0 ? ` (${names(known)}, or a number)` : ' (such as 0x9000 or 24K)';
  throw malformedRow(
    place,
    `expected ${what === 'offset' ? 'an' : 'a'} ${what}${of}, got ${JSON.stringify(cell)}`,
  );
}

function names(known: Readonly<Record<string, number>>): string {
  const all = Object.keys(known).filter((name) => !/^ota_([2-9]|1\d)$/.test(name));
  return all.join(', ');
}

function malformedRow(place: string, what: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `${place}: ${what}`, { subject: 'partitions' });
}

const rowBytes = 32;
const encryptedFlag = 1;
const readonlyFlag = 2;

/**
 * Writes the table's 0xC00 bytes: rows of 32, a row with the MD5 of the rows before it, then 0xFF. Source: ESP-IDF,
 * esp_flash_partitions.h (esp_partition_info_t) and "Partition Tables", Binary Partition Table.
 * @throws AIOT_FILE_MALFORMED
 */
export function writePartitionTable(table: PartitionTable, tableOffset = partitionTableOffset): Uint8Array {
  checkPartitions(table, null, tableOffset);
  const bytes = Buffer.alloc(partitionTableBytes, 0xff);
  for (const [i, row] of table.partitions.entries()) {
    writeRow(bytes.subarray(i * rowBytes, (i + 1) * rowBytes), row);
  }
  if (table.md5) {
    const end = table.partitions.length * rowBytes;
    bytes.fill(0xeb, end, end + 2);
    createHash('md5')
      .update(bytes.subarray(0, end))
      .digest()
      .copy(bytes, end + 16);
  }
  return bytes;
}

function writeRow(row: Buffer, partition: Partition): void {
  row.fill(0);
  row.writeUInt16LE(0x50aa, 0);
  row[2] = partition.type;
  row[3] = partition.subtype;
  row.writeUInt32LE(partition.offset, 4);
  row.writeUInt32LE(partition.size, 8);
  row.write(partition.label, 12, 16, 'utf8');
  const flags = (partition.encrypted ? encryptedFlag : 0) | (partition.readonly ? readonlyFlag : 0);
  row.writeUInt32LE(flags, 28);
}

/**
 * Reads a table at the start of a file or of part of a flash dump. Bytes after the table's 0xC00 bytes are ignored.
 * @throws AIOT_FILE_MALFORMED with the offset and the reason; only `checkPartitions` rejects overlapping rows
 */
export function readPartitionTable(bytes: Uint8Array): PartitionTable {
  const table = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (table.length < partitionTableBytes) {
    throw malformedTable(table.length, `expected ${hex(partitionTableBytes)} bytes, but the file ends here`);
  }
  const partitions: Partition[] = [];
  let md5 = false;
  let at = 0;
  for (; at < partitionTableBytes; at += rowBytes) {
    const row = table.subarray(at, at + rowBytes);
    const magic = row.readUInt16LE(0);
    if (magic === 0xffff) break;
    if (magic === 0xebeb && !md5) {
      checkMd5(table, at);
      md5 = true;
      continue;
    }
    if (magic !== 0x50aa)
      throw malformedTable(
        at,
        `expected a row (aa 50), its MD5 (eb eb) or the end (ff ff), got ${hexBytes(row, 2)}`,
      );
    if (md5) throw malformedTable(at, 'unexpected row after the MD5');
    partitions.push(readRow(row, at));
  }
  requireBlank(table, at);
  if (partitions.length === 0) throw malformedTable(0, 'expected a partition table, got an empty sector');
  return { partitions, md5 };
}

function readRow(row: Buffer, at: number): Partition {
  const name = row.subarray(12, 28);
  const zero = name.indexOf(0);
  const label = name.subarray(0, zero < 0 ? 16 : zero);
  const text = label.toString('utf8');
  if (!Buffer.from(text).equals(label)) throw malformedTable(at + 12, 'expected a name in UTF-8');
  if (zero >= 0 && name.subarray(zero).some((byte) => byte !== 0)) {
    throw malformedTable(at + 12 + zero, 'expected zeros after the name');
  }
  const flags = row.readUInt32LE(28);
  if (flags > 3)
    throw malformedTable(
      at + 28,
      `expected only the flags 1 (encrypted) and 2 (readonly), got ${hex(flags)}`,
    );
  return {
    label: text,
    type: row[2]!,
    subtype: row[3]!,
    offset: row.readUInt32LE(4),
    size: row.readUInt32LE(8),
    encrypted: (flags & encryptedFlag) !== 0,
    readonly: (flags & readonlyFlag) !== 0,
  };
}

function checkMd5(table: Buffer, at: number): void {
  if (table.subarray(at + 2, at + 16).some((byte) => byte !== 0xff)) {
    throw malformedTable(at + 2, 'expected 0xff between the mark and the MD5');
  }
  const found = table.subarray(at + 16, at + 32).toString('hex');
  const made = createHash('md5').update(table.subarray(0, at)).digest('hex');
  if (found !== made) {
    throw malformedTable(
      at + 16,
      `the MD5 of the ${at / rowBytes} rows is ${made}, but the table states ${found}`,
    );
  }
}

function requireBlank(table: Buffer, from: number): void {
  for (let at = from; at < partitionTableBytes; at++) {
    if (table[at] !== 0xff)
      throw malformedTable(at, `expected 0xff after the last row, got ${hexBytes(table.subarray(at), 1)}`);
  }
}

function hexBytes(bytes: Uint8Array, count: number): string {
  return Array.from(bytes.subarray(0, count), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

function malformedTable(at: number, what: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `partition table, offset ${hex(at)}: ${what}`, {
    subject: 'partitions',
    next: 'Read the table again, or create it again with `aiot firmware partitions create IN.csv OUT.bin`.',
  });
}

/**
 * Rejects a table that bootloaders or drivers could not use: rows that overlap, are misaligned, cover the table or exceed the flash. Also
 * rejects duplicate names, and otadata or nvs partitions with an unsuitable size.
 * @param flashBytes size of the flash; null = unknown, so the size is not checked
 * @throws AIOT_FILE_MALFORMED with the row
 */
export function checkPartitions(
  table: PartitionTable,
  flashBytes: number | null = null,
  tableOffset = partitionTableOffset,
): void {
  const problem = partitionProblems(table, flashBytes, tableOffset)[0];
  if (problem !== undefined) throw new AiotError('AIOT_FILE_MALFORMED', problem, { subject: 'partitions' });
}

/** All problems that make `checkPartitions` reject a table, as sentences. */
export function partitionProblems(
  table: PartitionTable,
  flashBytes: number | null = null,
  tableOffset = partitionTableOffset,
): string[] {
  const { partitions } = table;
  const many = partitions.length > maxPartitions;
  return [
    ...(partitions.length === 0 ? ['expected at least one partition, got none'] : []),
    ...(many ? [`expected at most ${maxPartitions} partitions, got ${partitions.length}`] : []),
    ...partitions.flatMap((row) => rowProblems(row, flashBytes, tableOffset)),
    ...namesTwice(partitions),
    ...overlaps(partitions),
    ...otadataTwice(partitions),
  ];
}

/** Problems within a single row. */
function rowProblems(row: Partition, flashBytes: number | null, tableOffset: number): string[] {
  const problems: string[] = [];
  const say = (what: string) => problems.push(`partition ${JSON.stringify(row.label)}: ${what}`);
  const { type, subtype, offset, size } = row;
  const app = type === 0;
  const end = offset + size;
  const alignment = app ? appAlignment : sectorBytes;
  const labelBytes = Buffer.byteLength(row.label);
  if (labelBytes === 0 || labelBytes > 16) say(`expected a name of 1 to 16 bytes, got ${labelBytes}`);
  if (offset % alignment !== 0)
    say(`expected its offset to be a multiple of ${hex(alignment)}, got ${hex(offset)}`);
  if (size <= 0) say('expected a size above 0, got 0');
  if (app && size % sectorBytes !== 0)
    say(`expected its size to be a multiple of ${hex(sectorBytes)}, got ${hex(size)}`);
  const partOfTheStart = type === 2 || type === 3;
  const first = tableOffset + partitionTableSector;
  if (!partOfTheStart && offset < first) {
    say(
      `expected an offset of at least ${hex(first)} (after the table at ${hex(tableOffset)}), got ${hex(offset)}`,
    );
  }
  if (end > 0x1_0000_0000) say(`expected its end below 4 GiB, got ${hex(end)}`);
  if (flashBytes !== null && end > flashBytes) {
    say(`ends at ${hex(end)}, but the flash ends at ${hex(flashBytes)}`);
  }
  if (type === 1 && subtype === 0 && size !== 0x2000)
    say(`expected 0x2000 bytes for otadata, got ${hex(size)}`);
  if (type === 1 && subtype === 2 && size < 0x3000 && !row.readonly) {
    say(`expected at least 0x3000 bytes for a writable nvs, got ${hex(size)} (or flag it readonly)`);
  }
  const written = type === 0 || (type === 1 && (subtype === 0 || subtype === 3));
  if (row.readonly && written) say('cannot be readonly, because it is written to');
  return problems;
}

function namesTwice(partitions: Partition[]): string[] {
  const seen = new Set<string>();
  const twice = partitions.filter(({ label }) => seen.has(label) || !seen.add(label));
  return twice.map(({ label }) => `two partitions have the name ${JSON.stringify(label)}`);
}

function otadataTwice(partitions: Partition[]): string[] {
  const found = partitions.filter(({ type, subtype }) => type === 1 && subtype === 0);
  return found.length > 1 ? [`expected one otadata partition, got ${found.length}`] : [];
}

function overlaps(partitions: Partition[]): string[] {
  const sorted = [...partitions].sort((a, b) => a.offset - b.offset);
  return sorted.flatMap((row, i) => {
    const before = sorted[i - 1];
    if (!before || before.offset + before.size <= row.offset) return [];
    const ends = hex(before.offset + before.size);
    return [
      `partition ${JSON.stringify(row.label)} begins at ${hex(row.offset)}, and ${JSON.stringify(before.label)} before it ends at ${ends}`,
    ];
  });
}
