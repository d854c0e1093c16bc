import type { RegistryClient } from '../client.js';
import type { Job } from '../contract/jobs.js';
import type { WaitOptions } from '../streams.js';

export interface StartJobOptions extends WaitOptions {
  kind: string;
  request: Record<string, unknown>;
  wait: boolean;
}

/** Starts a job and optionally waits until it has ended. @throws AIOT_REQUEST_INVALID, AIOT_TIMEOUT */
export async function startJob(
  client: Pick<RegistryClient, 'jobs'>,
  { kind, request, wait, ...options }: StartJobOptions,
): Promise<Job> {
  const job = await client.jobs.create({ kind, request });
  return wait ? client.jobs.wait(job.id, options) : job;
}
