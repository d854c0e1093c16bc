import { createHash } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ZodType, z } from 'zod';
import { namePattern } from '../../core/names.js';
import { type ExportQuery, type ExportSummary, exportQuerySchema } from '../../registry/datasets/bodies.js';
import type { JobProgress } from '../../registry/jobs/api.js';
import type { BlobStore } from '../blobs/store.js';
import type { Datasets } from '../datasets/datasets.js';
import type { Orphans } from '../datasets/orphans.js';
import type { RetentionService } from '../datasets/retention.js';
import { type PruneParts, pruneEvents } from './prune.js';

interface KindParts {
  blobs: BlobStore;
  datasets: Datasets;
  orphans: Orphans;
  retention: RetentionService;
  prune: PruneParts;
  /** For files that are being made. */
  folder: string;
}

const nothing = z.strictObject({});
const name = z.string().regex(namePattern);

/** What the platform does by itself. Each may be begun anew: it finds what is left to do. */
export function platformKinds({ blobs, datasets, orphans, retention, prune, folder }: KindParts): JobKind[] {
  return [
    jobKind({
      name: 'blob.sweep',
      about: 'Removes blobs that nothing refers to, and looks for those that are missing.',
      request: nothing,
      resumable: true,
      async run({ progress }) {
        progress({ step: 'removing what nothing refers to' });
        const removed = await orphans.sweep();
        progress({ step: 'looking for what is missing' });
        const missing = await orphans.check();
        return { removed: removed.length, missing: missing.slice(0, 100) };
      },
    }),
    jobKind({
      name: 'data.retention',
      about: 'Removes recordings as their retention says.',
      request: z.strictObject({ stream: name.optional() }),
      resumable: true,
      run: ({ request, who }) => retention.run(request, who),
    }),
    jobKind({
      name: 'dataset.export',
      about: 'Writes samples of a stream into a blob, which is kept for a day.',
      request: exportQuerySchema.extend({ stream: name }),
      resumable: true,
      run: (work) => exportToBlob({ blobs, datasets, folder }, work),
    }),
    jobKind({
      name: 'events.prune',
      about: 'Deletes events that are older than what is kept.',
      request: nothing,
      resumable: true,
      run: () => pruneEvents(prune),
    }),
  ];
}

/** What a job has of the platform while it runs. */
interface JobWork<Request> {
  id: string;
  request: Request;
  who: string;
  /** Ends when somebody cancels it, and when this process no longer leads. */
  signal: AbortSignal;
  /** Says how far it is; written down now and then. */
  progress(progress: JobProgress): void;
}

/** Work that the platform does by itself. */
export interface JobKind<Request = Record<string, unknown>> {
  /** Noun and verb. */
  name: string;
  about: string;
  request: ZodType<Request>;
  /** Whether it may be begun anew after the platform was killed in the middle of it. */
  resumable: boolean;
  /** Its result, as JSON. What it throws is the job's error. */
  run(work: JobWork<Request>): Promise<unknown>;
}

/** A kind with the type of its request, among others. */
export function jobKind<Request>(kind: JobKind<Request>): JobKind {
  return kind as unknown as JobKind;
}

interface Parts {
  blobs: BlobStore;
  datasets: Datasets;
  folder: string;
}

/** Samples as a blob: written aside first, for its name is the digest of all of it. @throws AIOT_NOT_FOUND (the stream) */
async function exportToBlob(
  { blobs, datasets, folder }: Parts,
  { id, request, signal, progress }: JobWork<ExportQuery & { stream: string }>,
): Promise<{ digest: string; bytes: number; format: string } & Pick<ExportSummary, 'damaged'>> {
  const { stream, format = 'csv', ...query } = request;
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${id}.new`);
  const file = await open(path, 'w');
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    progress({ step: `writing ${format}` });
    const exported = await datasets.export(stream, format, query);
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
