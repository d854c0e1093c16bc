import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { readBytes } from './files.js';
import { packageRoot } from './version.js';

/**
 * A file of another package that is part of this one, from dist/vendor (scripts/vendor.js writes it with each build).
 * @param name its name there; one that ends with `.gz` is unpacked
 * @throws as `readBytes`; an error of zlib where the file is damaged
 */
export async function vendoredFile(name: string): Promise<Uint8Array> {
  const bytes = await readBytes(join(packageRoot(), 'dist', 'vendor', name));
  return name.endsWith('.gz') ? await promisify(gunzip)(bytes) : bytes;
}
