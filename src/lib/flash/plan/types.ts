import type { ChipName } from '../../formats/esp-image/chips.js';
import type { Partition, PartitionTable } from '../../formats/partitions.js';
import type { ChipInfo, Region } from '../loader/types.js';

/** Bytes to write and their place: an offset, or a name whose offset the chip and the partition table determine. */
export interface Piece {
  /** Display name: the file's name. */
  name: string;
  data: Uint8Array;
  /** An offset; a partition's label; `bootloader` or `partition-table`. */
  place: number | string;
  /** Target chip of a UF2 file. */
  chip?: ChipName | null;
}

/** The board's properties that a plan needs. */
export interface Board {
  chip: ChipName;
  /** MAC of the board; absent or null = unknown. */
  mac?: string | null;
  /** Revision as in image headers, major · 100 + minor; absent or null = unknown. */
  revision?: number | null;
  /** Flash size in bytes; null = unknown. */
  flashBytes: number | null;
  security: ChipInfo['security'];
  /** Anti-rollback version in the fuses; absent or null = unknown. */
  secureVersion?: number | null;
}

/**
 * Changes to a bootloader's header. `undefined` and `keep` leave a field unchanged; the size `detect` stands for the board's flash
 * size.
 */
export interface HeaderChanges {
  mode?: string | undefined;
  size?: string | undefined;
  frequency?: string | undefined;
}

/** Reasons for rejecting a region. Reasons overridden with `--force` are reported. */
export const rules = [
  'chip',
  'flash-end',
  'partition-end',
  'bootloader',
  'table',
  'locked',
  'secure-version',
  'sequence',
  'release',
  'app',
  'identity',
] as const;
export type Rule = (typeof rules)[number];

export interface Objection {
  rule: Rule;
  /** The region's name. */
  region: string;
  /** The problem and its consequence, in one sentence without a period. */
  message: string;
}

/** A device whose identity is in an NVS partition that the new table moves or removes. */
export interface StrandedIdentity {
  device: string;
  from: Pick<Partition, 'offset' | 'size'>;
  /** NVS partition of the new table; null = it has none. */
  to: Pick<Partition, 'offset' | 'size'> | null;
}

/** The partition table that applies, and its source. */
export interface KnownTable {
  table: PartitionTable;
  from: 'written' | 'board';
}

export interface WritePlan {
  /** Regions in the order of the pieces, with changed headers. */
  regions: Region[];
  /** Objections overridden by `--force`. */
  overridden: Objection[];
  /** Unusual findings that are not a reason for rejection. */
  warnings: string[];
}
