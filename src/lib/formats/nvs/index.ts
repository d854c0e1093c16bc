/** NVS partitions, version 1 and 2, plain and encrypted. */
export {
  decryptNvs,
  encryptNvs,
  nvsKeyBytes,
  nvsKeysPartitionBytes,
  readNvsKeys,
  writeNvsKeys,
} from './crypt.js';
export { type NvsCsvOptions, parseNvsCsv, writeNvsCsv } from './csv.js';
export { nvsKeysInUse } from './in-use.js';
export { readNvs } from './read.js';
export * from './types.js';
export { type WriteNvsOptions, writeNvs } from './write.js';
