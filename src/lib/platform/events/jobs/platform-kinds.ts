import { z } from 'zod';
import { namePattern } from '../../../core/index.js';
import { exportQuerySchema } from '../../../registry/index.js';
import type { BlobStore } from '../../blobs/port.js';
import type { Datasets } from '../../services/datasets.js';
import type { Orphans } from '../../services/orphans.js';
import type { RetentionService } from '../../services/retention.js';
import { type PruneParts, pruneEvents } from '../prune.js';
import { exportToBlob } from './export.js';
import { type JobKind, jobKind } from './kinds.js';

export interface KindParts {
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
