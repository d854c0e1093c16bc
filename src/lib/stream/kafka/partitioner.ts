/**
 * Which partition a message goes to, as Java's client has it (BuiltInPartitioner): by the murmur2 hash of its key, so that the order
 * per key is kept and every client agrees; without a key to one partition after the other, batch by batch.
 */
export function partitionOf(key: Uint8Array | undefined, partitions: number, turn: number): number {
  return key === undefined ? turn % partitions : (murmur2(key) & 0x7fffffff) % partitions;
}

/** Austin Appleby's MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2). */
export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes;
  let hash = 0x9747b28c ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    word = Math.imul(word, 0x5bd1e995);
    word ^= word >>> 24;
    hash = Math.imul(hash, 0x5bd1e995) ^ Math.imul(word, 0x5bd1e995);
  }
  if (length - at > 2) hash ^= bytes[at + 2]! << 16;
  if (length - at > 1) hash ^= bytes[at + 1]! << 8;
  if (length - at > 0) hash = Math.imul(hash ^ bytes[at]!, 0x5bd1e995);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0x5bd1e995);
  return hash ^ (hash >>> 15);
}
