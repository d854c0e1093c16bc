import { AiotError } from '../../core/errors.js';
import type { RegistryClient } from '../client.js';
import type { RemovedRecordings, Retention } from '../contract/data.js';

export interface RetentionWish {
  stream?: string | undefined;
  days?: number | undefined;
  bytes?: number | undefined;
  labelled?: boolean | undefined;
  /** Whether to remove the stream's limits. */
  forever?: boolean | undefined;
  run?: boolean | undefined;
  dryRun?: boolean | undefined;
}

/** Sets or removes a retention policy, applies it, and returns the policy in force. @throws AIOT_USAGE, AIOT_NOT_FOUND */
export async function changeRetention(
  client: Pick<RegistryClient, 'retention'>,
  wish: RetentionWish,
): Promise<{ policies: Retention[]; removed: RemovedRecordings | null }> {
  const { stream, days = null, bytes = null, labelled = false, forever, run, dryRun = false } = wish;
  const sets = days !== null || bytes !== null;
  if (stream === undefined && (sets || forever || labelled)) {
    throw new AiotError('AIOT_USAGE', 'expected the name of a stream');
  }
  if (labelled && !sets) {
    throw new AiotError('AIOT_USAGE', '--labeled needs --days or --size');
  }
  if (stream !== undefined && forever) await client.retention.remove(stream);
  if (stream !== undefined && sets && !dryRun) await client.retention.set(stream, { days, bytes, labelled });
  if (sets && dryRun) {
    throw new AiotError(
      'AIOT_USAGE',
      '--dry-run cannot be combined with --days or --size: it uses the current policy',
      {
        next: 'Set the policy first. It removes nothing until the next full hour.',
      },
    );
  }
  const request = { dryRun, ...(stream === undefined ? {} : { stream }) };
  const removed = run || dryRun ? await client.retention.run(request) : null;
  const policies = (await client.retention.list()).filter(
    (each) => stream === undefined || each.stream === stream,
  );
  return { policies, removed };
}
