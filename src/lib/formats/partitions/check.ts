import { AiotError } from '../../core/index.js';
import {
  appAlignment,
  maxPartitions,
  type Partition,
  type PartitionTable,
  partitionTableOffset,
  partitionTableSector,
  sectorBytes,
} from './types.js';

/**
 * Refuses a table that no bootloader or driver could work with: rows that overlap, are misaligned, lie over the table or
 * go past the flash's end, names given twice, an otadata or nvs partition of a size that does not do.
 * @param flashBytes size of the flash; null = not known, so not looked at
 * @throws AIOT_PARTITIONS_MALFORMED naming the row
 */
export function checkPartitions(
  table: PartitionTable,
  flashBytes: number | null = null,
  tableOffset = partitionTableOffset,
): void {
  const problem = partitionProblems(table, flashBytes, tableOffset)[0];
  if (problem !== undefined) throw new AiotError('AIOT_PARTITIONS_MALFORMED', problem);
}

/** The same as sentences, all of them. */
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

/** What is wrong with one row by itself. */
export function rowProblems(row: Partition, flashBytes: number | null, tableOffset: number): string[] {
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
      `expected its offset to be ${hex(first)} or more (behind the table at ${hex(tableOffset)}), got ${hex(offset)}`,
    );
  }
  if (end > 0x1_0000_0000) say(`expected its end below 4 GiB, got ${hex(end)}`);
  if (flashBytes !== null && end > flashBytes) {
    say(`ends at ${hex(end)}, and the flash at ${hex(flashBytes)}`);
  }
  if (type === 1 && subtype === 0 && size !== 0x2000)
    say(`expected 0x2000 bytes for otadata, got ${hex(size)}`);
  if (type === 1 && subtype === 2 && size < 0x3000 && !row.readonly) {
    say(`expected at least 0x3000 bytes for nvs that is written to, got ${hex(size)} (or flag it readonly)`);
  }
  const written = type === 0 || (type === 1 && (subtype === 0 || subtype === 3));
  if (row.readonly && written) say('cannot be readonly: it is written to');
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

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
