import { createHash } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExportQuery, ExportSummary } from '../../../registry/index.js';
import type { BlobStore } from '../../blobs/port.js';
import type { Datasets } from '../../services/datasets.js';
import type { JobWork } from './kinds.js';

interface Parts {
  blobs: BlobStore;
  datasets: Datasets;
  folder: string;
}

/** Samples as a blob: written aside first, for its name is the digest of all of it. @throws AIOT_NOT_FOUND (the stream) */
export async function exportToBlob(
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
