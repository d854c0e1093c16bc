import { AiotError } from '../../core/index.js';
import { csvRecords } from '../csv/records.js';
import { checkPartitions, rowProblems } from './check.js';
import {
  appAlignment,
  type Partition,
  type PartitionTable,
  partitionSubtypeName,
  partitionSubtypes,
  partitionTableOffset,
  partitionTableSector,
  partitionTypeName,
  partitionTypes,
  sectorBytes,
} from './types.js';

export interface PartitionsCsvOptions {
  /** Where the table itself will be: rows without an offset begin behind it. */
  tableOffset?: number;
  /** Size of the flash in bytes; absent = not looked at. */
  flashBytes?: number;
  /** Name for messages. */
  file?: string;
}

/**
 * A partition table as text: `name, type, subtype, offset, size, flags`. An empty offset = behind the row before, aligned;
 * K and M stand for KiB and MiB; a negative size reaches up to that offset; flags are `encrypted` and `readonly`, with a
 * colon between. Source: ESP-IDF, "Partition Tables", Creating Custom Tables.
 * @throws AIOT_PARTITIONS_MALFORMED (file:line), AIOT_CSV_MALFORMED
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
    if (problem !== undefined) throw malformed(place, problem);
    partitions.push(partition);
    end = partition.offset + partition.size;
  }
  const table = { partitions, md5: true };
  try {
    checkPartitions(table, flashBytes, tableOffset);
  } catch (error) {
    throw error instanceof AiotError ? malformed(file, error.message) : error;
  }
  return table;
}

/** The same table as text, every offset written out. */
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
    throw malformed(place, `expected name, type, subtype, offset, size and flags, got ${cells.length} cells`);
  }
  const type = number(typeCell, partitionTypes, 'type', place);
  const ownType = type >= 0x40 && type <= 0xfe;
  if (!(type in partitionSubtypes) && !ownType) {
    throw malformed(
      place,
      `expected a type of ${names(partitionTypes)} or 0x40 to 0xfe, got ${JSON.stringify(typeCell)}`,
    );
  }
  const subtype = subtypeOf(type, subtypeCell, place);
  const alignment = type === 0 ? appAlignment : sectorBytes;
  const behind = Math.ceil(end / alignment) * alignment;
  const offset = offsetCell === '' ? behind : number(offsetCell, {}, 'offset', place);
  if (offset < 0)
    throw malformed(place, `expected an offset such as 0x9000, got ${JSON.stringify(offsetCell)}`);
  const given = number(sizeCell, {}, 'size', place);
  const size = given < 0 ? -given - offset : given;
  if (size < 0) throw malformed(place, `expected ${sizeCell} to be behind the offset ${hex(offset)}`);
  return { label, type, subtype, offset, size, ...parseFlags(flags, place) };
}

function subtypeOf(type: number, cell: string, place: string): number {
  if (cell === '' && type === partitionTypes.data) return partitionSubtypes[1]!.undefined!;
  if (cell === '' && type >= 0x40) return 0;
  const subtype = number(cell, partitionSubtypes[type] ?? {}, 'subtype', place);
  if (subtype >= 0 && subtype <= 0xfe) return subtype;
  throw malformed(place, `expected a subtype of 0 to 0xfe, got ${JSON.stringify(cell)}`);
}

function parseFlags(cell: string, place: string): { encrypted: boolean; readonly: boolean } {
  const flags = cell === '' ? [] : cell.split(':').map((flag) => flag.trim());
  const unknown = flags.find((flag) => flag !== 'encrypted' && flag !== 'readonly');
  if (unknown !== undefined) {
    throw malformed(place, `expected the flags encrypted and readonly, got ${JSON.stringify(unknown)}`);
  }
  return { encrypted: flags.includes('encrypted'), readonly: flags.includes('readonly') };
}

/** `nvs`, `24K`, `0x9000`, `4096` */
function number(cell: string, known: Readonly<Record<string, number>>, what: string, place: string): number {
  const named = Object.hasOwn(known, cell.toLowerCase()) ? known[cell.toLowerCase()] : undefined;
  if (named !== undefined) return named;
  const [, sign = '', digits, unit = ''] = /^(-?)(0x[0-9a-f]+|\d+)([km]?)$/i.exec(cell) ?? [];
  const factor = { '': 1, k: 1024, m: 1024 * 1024 }[unit.toLowerCase()] ?? 1;
  const value = Number(digits) * factor * (sign === '-' ? -1 : 1);
  if (digits !== undefined && Math.abs(value) <= 0xffff_ffff) return value;
  const of = Object.keys(known).length > 0 ? ` (${names(known)}, or a number)` : ' (such as 0x9000 or 24K)';
  throw malformed(
    place,
    `expected ${what === 'offset' ? 'an' : 'a'} ${what}${of}, got ${JSON.stringify(cell)}`,
  );
}

function names(known: Readonly<Record<string, number>>): string {
  const all = Object.keys(known).filter((name) => !/^ota_([2-9]|1\d)$/.test(name));
  return all.join(', ');
}

function malformed(place: string, what: string): AiotError {
  return new AiotError('AIOT_PARTITIONS_MALFORMED', `${place}: ${what}`);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
