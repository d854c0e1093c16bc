/** Partition tables: CSV ↔ binary. */
export { readPartitionTable, writePartitionTable } from './binary.js';
export { checkPartitions, partitionProblems } from './check.js';
export { type PartitionsCsvOptions, parsePartitionsCsv, writePartitionsCsv } from './csv.js';
export * from './types.js';
