import { createHash } from 'node:crypto';
import { canonicalJson } from '../core/index.js';
import type { Recording } from './types.js';

/** `sha256:…` over fields, rate, and each recording's id, label and samples (little-endian doubles, column by column). */
export function datasetDigest(fields: string[], rateHz: number, recordings: Recording[]): string {
  const hash = createHash('sha256');
  hash.update(canonicalJson({ fields, rateHz }));
  for (const { id, label, columns } of recordings) {
    hash.update(canonicalJson({ id, label, samples: columns[0]?.length ?? 0 }));
    // Typed arrays have the machine's byte order, which is little-endian wherever Node runs but on s390x.
    for (const { buffer, byteOffset, byteLength } of columns) {
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
  }
  return `sha256:${hash.digest('hex')}`;
}
