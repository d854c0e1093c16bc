import type { ChipName } from '../../formats/esp-image/chips.js';
import type { Partition, PartitionTable } from '../../formats/partitions.js';
import type { ChipInfo, Region } from '../loader/types.js';

/** Something to be written, and where: an offset, or a name that chip and partition table give one to. */
export interface Piece {
  /** What people call it: the file's name. */
  name: string;
  data: Uint8Array;
  /** An offset; a partition's label; `bootloader` or `partition-table`. */
  place: number | string;
  /** The chip that a UF2 file names. */
  chip?: ChipName | null;
}

/** What a plan has to know of the board. */
export interface Board {
  chip: ChipName;
  /** null or absent = not known. */
  mac?: string | null;
  /** major · 100 + minor, as image headers have it; null or absent = not known. */
  revision?: number | null;
  /** Bytes; null = not known. */
  flashBytes: number | null;
  security: ChipInfo['security'];
}

/** Changes of a bootloader's header; `undefined` leaves a field as it is, `detect` takes the size of the board's flash. */
export interface HeaderChanges {
  mode?: string | undefined;
  size?: string | undefined;
  frequency?: string | undefined;
}

/** What a region is refused for. `--force` overrides it, and says so. */
export const rules = [
  'chip',
  'flash-end',
  'partition-end',
  'bootloader',
  'table',
  'locked',
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
  /** What is wrong and what it would lead to, one sentence without a full stop. */
  message: string;
}

/** A device whose identity is where the table that is written has no NVS any more. */
export interface LeftBehind {
  device: string;
  from: Pick<Partition, 'offset' | 'size'>;
  /** null = the new table has no NVS. */
  to: Pick<Partition, 'offset' | 'size'> | null;
}

/** A table that is in force, and where it was found. */
export interface KnownTable {
  table: PartitionTable;
  from: 'written' | 'board';
}

export interface WritePlan {
  /** In the order of the pieces, headers patched. */
  regions: Region[];
  /** What `--force` overrode. */
  overridden: Objection[];
  /** What is odd, but nothing that is refused. */
  warnings: string[];
}
