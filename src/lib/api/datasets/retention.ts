import { AiotError } from '../../core/errors.js';
import type { RegistryClient } from '../client.js';
import type { LogRetention, RemovedLogs, RemovedRecordings, Retention } from '../contract/data.js';

export interface RetentionWish {
  stream?: string | undefined;
  /** Whether this is about the log lines of devices, instead of a stream. */
  logs?: boolean | undefined;
  days?: number | undefined;
  bytes?: number | undefined;
  labelled?: boolean | undefined;
  /** Whether to remove the stream's limits. */
  forever?: boolean | undefined;
  run?: boolean | undefined;
  dryRun?: boolean | undefined;
}

/** Policies in force, and what was removed, or would be; null = it was not asked for. */
interface RetentionState {
  policies: Retention[];
  logs: LogRetention | null;
  removed: RemovedRecordings | null;
  removedLogs: RemovedLogs | null;
}

/**
 * Sets or removes a retention policy, applies it, and returns the policy in force.
 * @param confirm called before anything is changed, once the wish has been checked; throws if the user does not agree
 * @throws AIOT_USAGE, AIOT_NOT_FOUND
 */
export async function changeRetention(
  client: Pick<RegistryClient, 'retention' | 'logRetention'>,
  wish: RetentionWish,
  confirm: () => Promise<void> = async () => {},
): Promise<RetentionState> {
  const { stream, logs = false, days = null, bytes = null, labelled = false } = wish;
  const { forever = false, run = false, dryRun = false } = wish;
  checkWish(wish);
  await confirm();
  const sets = days !== null || bytes !== null;
  if (logs && (sets || forever)) await client.logRetention.set({ days, bytes });
  if (stream !== undefined && forever) await client.retention.remove(stream);
  if (stream !== undefined && sets) await client.retention.set(stream, { days, bytes, labelled });
  const request = { dryRun, ...(stream === undefined ? {} : { stream }) };
  const applies = run || dryRun;
  const policies = logs ? [] : await client.retention.list();
  return {
    policies: policies.filter((each) => stream === undefined || each.stream === stream),
    logs: stream === undefined ? await client.logRetention.get() : null,
    removed: applies && !logs ? await client.retention.run(request) : null,
    removedLogs: applies && stream === undefined ? await client.logRetention.run({ dryRun }) : null,
  };
}

function checkWish({ stream, logs, days, bytes, labelled, forever, dryRun }: RetentionWish): void {
  const sets = days !== undefined || bytes !== undefined;
  if (stream !== undefined && logs)
    throw new AiotError('AIOT_USAGE', `expected the name of a stream or --logs, got both (${stream})`);
  if (stream === undefined && !logs && (sets || forever || labelled))
    throw new AiotError('AIOT_USAGE', 'expected the name of a stream, or --logs');
  if (labelled && !sets) throw new AiotError('AIOT_USAGE', '--labeled needs --days or --size');
  if (sets && dryRun) {
    throw new AiotError(
      'AIOT_USAGE',
      '--dry-run cannot be combined with --days or --size: it uses the current policy',
      {
        next: 'Set the policy first. It removes nothing until the next full hour.',
      },
    );
  }
}
