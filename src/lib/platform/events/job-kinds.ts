import { createHash } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ZodType, z } from 'zod';
import { type ExportQuery, type ExportSummary, exportQuerySchema } from '../../api/contract/data.js';
import type { JobProgress } from '../../api/contract/jobs.js';
import { namePattern } from '../../core/names.js';
import type { BlobStore } from '../blobs/store.js';
import type { Datasets } from '../datasets/datasets.js';
import type { LogRetentionService } from '../datasets/log-retention.js';
import type { Orphans } from '../datasets/orphans.js';
import type { RetentionService } from '../datasets/retention.js';
import { type PruneParts, pruneEvents } from './prune.js';

interface KindParts {
  blobs: BlobStore;
  datasets: Datasets;
  orphans: Orphans;
  retention: RetentionService;
  logRetention: LogRetentionService;
  prune: PruneParts;
  /** The names that a selector chooses; undefined for all. */
  chosen(selector: string | undefined): readonly string[] | undefined;
  /** Folder for files that jobs are creating. */
  folder: string;
}

const nothing = z.strictObject({});
const name = z.string().regex(namePattern);

/** Jobs run by the platform. Each can be restarted and then continues with the remaining work. */
export function platformKinds({
  blobs,
  datasets,
  orphans,
  retention,
  logRetention,
  prune,
  chosen,
  folder,
}: KindParts): JobKind[] {
  return [
    jobKind({
      name: 'blob.sweep',
      about: 'Removes unreferenced blobs and reports missing ones.',
      request: nothing,
      resumable: true,
      async run({ progress }) {
        progress({ step: 'removing unreferenced blobs' });
        const removed = await orphans.sweep();
        progress({ step: 'checking for missing blobs' });
        const missing = await orphans.check();
        return { removed: removed.length, missing: missing.slice(0, 100) };
      },
    }),
    jobKind({
      name: 'data.retention',
      about: 'Removes recordings according to their retention policy, and expired log lines.',
      request: z.strictObject({ stream: name.optional() }),
      resumable: true,
      async run({ request, who }) {
        const removed = await retention.run(request, who);
        return request.stream === undefined ? { ...removed, logs: await logRetention.run({}, who) } : removed;
      },
    }),
    jobKind({
      name: 'dataset.export',
      about: 'Writes samples of a stream to a blob, which is kept for a day.',
      request: exportQuerySchema.extend({ stream: name }),
      resumable: true,
      run: (work) => exportToBlob({ blobs, datasets, chosen, folder }, work),
    }),
    jobKind({
      name: 'events.prune',
      about: 'Deletes events that are past their retention time.',
      request: nothing,
      resumable: true,
      run: () => pruneEvents(prune),
    }),
  ];
}

/** Context of a running job. */
interface JobWork<Request> {
  id: string;
  request: Request;
  who: string;
  /** Aborted on cancellation, and when this process is no longer the leader. */
  signal: AbortSignal;
  /** Reports progress; saved periodically. */
  progress(progress: JobProgress): void;
}

/** A kind of job that the platform runs itself. */
export interface JobKind<Request = Record<string, unknown>> {
  /** Name of the kind: a noun and a verb. */
  name: string;
  about: string;
  request: ZodType<Request>;
  /** Whether a job that was running when the platform was killed may be restarted. */
  resumable: boolean;
  /** Returns the job's result, as JSON. An error that it throws becomes the job's error. */
  run(work: JobWork<Request>): Promise<unknown>;
}

/** Erases the request type of a kind, so that kinds can share a list. */
export function jobKind<Request>(kind: JobKind<Request>): JobKind {
  return kind as unknown as JobKind;
}

type Parts = Pick<KindParts, 'blobs' | 'datasets' | 'chosen' | 'folder'>;

/**
 * Stores samples as a blob. They are written to a file first, because the blob's name is the digest of the whole
 * content.
 * @throws AIOT_NOT_FOUND (the stream)
 */
async function exportToBlob(
  { blobs, datasets, chosen, folder }: Parts,
  { id, request, signal, progress }: JobWork<ExportQuery & { stream: string }>,
): Promise<{ digest: string; bytes: number; format: string } & Pick<ExportSummary, 'damaged'>> {
  const { stream, format = 'csv', selector, ...query } = request;
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${id}.new`);
  const file = await open(path, 'w');
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    progress({ step: `writing ${format}` });
    const exported = await datasets.export(stream, format, { ...query, devices: chosen(selector) });
    for await (const piece of exported) {
      signal.throwIfAborted();
      hash.update(piece);
      await file.writeFile(piece);
      bytes += piece.length;
      progress({ done: bytes });
    }
    await file.sync();
    await file.close();
    const digest = `sha256:${hash.digest('hex')}`;
    await blobs.adopt(digest, path);
    progress({ step: null, total: bytes });
    return { digest, bytes, format, damaged: exported.summary().damaged };
  } finally {
    await file.close().catch(() => {});
    await rm(path, { force: true });
  }
}
