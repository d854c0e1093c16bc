import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, readBytes, unless, writeFileAtomic } from '../../../core/index.js';
import type { TrustRoot } from '../../../formats/index.js';
import { type Verified, verifySigned } from '../../../model/index.js';

/** Signed bundles by the digest of their content. Several loops may share a folder: each write is one rename. */
export interface BundleStore {
  /** @throws AIOT_FILE_NOT_WRITABLE */
  put(digest: string, signed: Uint8Array): Promise<void>;
  /**
   * Every byte is verified anew. null = it is not there, or it was damaged and is thrown away.
   * @throws AIOT_SIGNATURE_INVALID (the trust root is another by now)
   */
  get(digest: string, trust: TrustRoot): Promise<Verified | null>;
  /** Throws away bundles that are not named here and older than a day, and what a killed process left half written. */
  prune(keep: ReadonlySet<string>, now: number): Promise<void>;
}

const dayMs = 86_400_000;
/** No write takes so long: a temp file of this age has nobody any more. */
const leftOverMs = 3_600_000;

/** The one in a cache folder. */
export function bundleStore(cache: string): BundleStore {
  const folder = join(cache, 'loop', 'bundles');
  const fileOf = (digest: string) => join(folder, `${hexOf(digest)}.aiot`);
  return {
    put: (digest, signed) => writeFileAtomic(fileOf(digest), signed),
    async get(digest, trust) {
      const file = fileOf(digest);
      const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(file));
      if (!bytes) return null;
      try {
        const verified = verifySigned(bytes, trust, file);
        if (verified.manifest.artifacts[0]?.digest === digest) return verified;
      } catch (error) {
        if (!(error instanceof AiotError)) throw error;
        if (error.code === 'AIOT_SIGNATURE_INVALID') throw error;
      }
      await rm(file, { force: true });
      return null;
    },
    async prune(keep, now) {
      const kept = new Set([...keep].map((digest) => `${hexOf(digest)}.aiot`));
      for (const name of await readdir(folder).catch(() => [])) {
        if (kept.has(name)) continue;
        const file = join(folder, name);
        const age = now - ((await stat(file).catch(() => null))?.mtimeMs ?? now);
        if (age > (name.endsWith('.tmp') ? leftOverMs : dayMs)) await rm(file, { force: true });
      }
    },
  };
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}
