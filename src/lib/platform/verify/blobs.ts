import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCode } from '../../core/errors.js';
import { syncFolder } from '../../core/files.js';
import { leaseMs } from '../blobs/leases.js';
import { references } from '../datasets/orphans.js';
import { snapshot } from '../store/database.js';
import type { Finding } from './damage.js';

/** Result of reading a folder of blobs. */
interface BlobReport {
  findings: Finding[];
  blobs: number;
  bytes: number;
  /** Digest → upload time, ms since 1970; includes damaged blobs. */
  there: Map<string, number>;
}

const twoDigits = /^[0-9a-f]{2}$/;
const digits = /^[0-9a-f]{64}$/;

/** Reads each blob in a data folder and checks it against its digest. Read-only; works while a platform is running. */
export async function verifyBlobs(data: string, progress: (bytes: number) => void): Promise<BlobReport> {
  const report: BlobReport = { findings: [], blobs: 0, bytes: 0, there: new Map() };
  const folder = join(data, 'blobs', 'sha256');
  for (const two of (await names(folder)).filter((name) => twoDigits.test(name))) {
    for (const hex of (await names(join(folder, two))).filter(
      (name) => digits.test(name) && name.startsWith(two),
    )) {
      const digest = `sha256:${hex}`;
      const found = await lookAt(join(folder, two, hex), progress);
      // The blob was removed after the folder was listed.
      if (found === null) continue;
      report.there.set(digest, found.at);
      report.blobs++;
      report.bytes += found.bytes;
      if (found.digest === digest) continue;
      const problem = `its ${found.bytes} bytes have the digest ${found.digest ?? 'of nothing: they cannot be read'}`;
      report.findings.push({ part: 'blob', place: digest, problem, repairable: true });
    }
  }
  return report;
}

async function lookAt(path: string, progress: (bytes: number) => void) {
  const hash = createHash('sha256');
  let bytes = 0;
  let at = 0;
  try {
    at = (await stat(path)).mtimeMs;
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      progress((chunk as Buffer).length);
    }
    return { digest: `sha256:${hash.digest('hex')}`, bytes, at };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    return { digest: null, bytes, at };
  }
}

/**
 * Findings about records without a blob, and about unrecorded blobs that the hourly sweep should have removed. The
 * database is read as a consistent snapshot.
 */
export async function verifyReferences(
  database: string,
  there: ReadonlyMap<string, number>,
  now: number,
): Promise<Finding[]> {
  const { wanted, leased } = await snapshot(null as never, database, async (moment) => ({
    wanted: await references(moment),
    leased: await moment.selectFrom('blobLeases').select('digest').where('until', '>', now).execute(),
  }));
  const users = new Map<string, string[]>();
  for (const { digest, by } of wanted) users.set(digest, [...(users.get(digest) ?? []), by]);
  const findings: Finding[] = [];
  for (const [digest, by] of users) {
    if (there.has(digest)) continue;
    const problem = `${[...new Set(by)].join(', ')} ${by.length === 1 ? 'refers' : 'refer'} to it, and it is missing`;
    findings.push({ part: 'reference', place: digest, problem, repairable: true });
  }
  const kept = new Set([...users.keys(), ...leased.map(({ digest }) => digest)]);
  const orphans = [...there].filter(([digest, at]) => !kept.has(digest) && at < now - 2 * leaseMs);
  for (const [digest, at] of orphans) {
    const problem = `no record refers to it since ${new Date(at).toISOString().slice(0, 10)} or later`;
    findings.push({ part: 'reference', place: digest, problem, repairable: true });
  }
  return findings;
}

/** Whether a finding about references concerns an unrecorded blob. */
export function isOrphan({ part, problem }: Finding): boolean {
  return part === 'reference' && problem.startsWith('no record');
}

/** Replaces a damaged or missing blob with the backup's copy; false = the backup does not have it. */
export async function repairBlob(data: string, digest: string, from: string | null): Promise<boolean> {
  const hex = digest.slice('sha256:'.length);
  if (from === null) return false;
  const source = join(from, 'blobs', 'sha256', hex);
  const path = join(data, 'blobs', 'sha256', hex.slice(0, 2), hex);
  const part = `${path}.repaired`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await copyFile(source, part);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    await rm(part, { force: true });
    return false;
  }
  const file = await open(part, 'r+');
  await file.sync();
  await file.close();
  // The blob's path may be occupied by something else, such as a folder.
  await rm(path, { recursive: true, force: true });
  await rename(part, path);
  await syncFolder(dirname(path));
  return true;
}

/** Moves an unreferenced damaged blob, or an unrecorded one, to `damaged/`. */
export async function setAside(data: string, digest: string): Promise<void> {
  const hex = digest.slice('sha256:'.length);
  const aside = join(data, 'damaged', hex);
  await mkdir(dirname(aside), { recursive: true, mode: 0o700 });
  await rename(join(data, 'blobs', 'sha256', hex.slice(0, 2), hex), aside);
}

async function names(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}
