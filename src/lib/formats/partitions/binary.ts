import { createHash } from 'node:crypto';
import { AiotError } from '../../core/index.js';
import { checkPartitions } from './check.js';
import { type Partition, type PartitionTable, partitionTableBytes, partitionTableOffset } from './types.js';

const rowBytes = 32;
const encryptedFlag = 1;
const readonlyFlag = 2;

/**
 * The table's 0xC00 bytes: rows of 32, one with the MD5 of those before it, 0xFF up to the end. Source: ESP-IDF,
 * esp_flash_partitions.h (esp_partition_info_t) and "Partition Tables", Binary Partition Table.
 * @throws AIOT_PARTITIONS_MALFORMED
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
 * Reads a table, as a file or as it was read from flash (what follows its 0xC00 bytes is not looked at).
 * @throws AIOT_PARTITIONS_MALFORMED with the offset and the reason; not for rows that overlap: see `checkPartitions`
 */
export function readPartitionTable(bytes: Uint8Array): PartitionTable {
  const table = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (table.length < partitionTableBytes) {
    throw malformed(table.length, `expected 0x${partitionTableBytes.toString(16)} bytes, the file ends here`);
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
      throw malformed(
        at,
        `expected a row (aa 50), its MD5 (eb eb) or the end (ff ff), got ${hexBytes(row, 2)}`,
      );
    if (md5) throw malformed(at, 'a row follows the MD5 of the rows');
    partitions.push(readRow(row, at));
  }
  requireBlank(table, at);
  if (partitions.length === 0) throw malformed(0, 'expected a partition table, got an empty sector');
  return { partitions, md5 };
}

function readRow(row: Buffer, at: number): Partition {
  const name = row.subarray(12, 28);
  const zero = name.indexOf(0);
  const label = name.subarray(0, zero < 0 ? 16 : zero);
  const text = label.toString('utf8');
  if (!Buffer.from(text).equals(label)) throw malformed(at + 12, 'expected a name in UTF-8');
  if (zero >= 0 && name.subarray(zero).some((byte) => byte !== 0)) {
    throw malformed(at + 12 + zero, 'expected zeros behind the name');
  }
  const flags = row.readUInt32LE(28);
  if (flags > 3)
    throw malformed(
      at + 28,
      `expected the flags 1 (encrypted) and 2 (readonly), got 0x${flags.toString(16)}`,
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
    throw malformed(at + 2, 'expected 0xff between the mark and the MD5');
  }
  const found = table.subarray(at + 16, at + 32).toString('hex');
  const made = createHash('md5').update(table.subarray(0, at)).digest('hex');
  if (found !== made) {
    throw malformed(at + 16, `the MD5 of the ${at / rowBytes} rows is ${made}, and the table says ${found}`);
  }
}

function requireBlank(table: Buffer, from: number): void {
  for (let at = from; at < partitionTableBytes; at++) {
    if (table[at] !== 0xff)
      throw malformed(at, `expected 0xff behind the last row, got ${hexBytes(table.subarray(at), 1)}`);
  }
}

function hexBytes(bytes: Uint8Array, count: number): string {
  return Array.from(bytes.subarray(0, count), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

function malformed(at: number, what: string): AiotError {
  return new AiotError('AIOT_PARTITIONS_MALFORMED', `partition table, offset 0x${at.toString(16)}: ${what}`, {
    next: 'Read it again, or make it again: aiot firmware partitions create IN.csv OUT.bin',
  });
}
