import type { RegistryClient } from '../client.js';
import type { Job } from './api.js';
import type { WaitOptions } from './calls.js';

export interface StartJobOptions extends WaitOptions {
  kind: string;
  request: Record<string, unknown>;
  wait: boolean;
}

/** Begins a job and, where that is wanted, waits until it has ended. @throws AIOT_REQUEST_INVALID, AIOT_TIMEOUT */
export async function startJob(
  client: Pick<RegistryClient, 'jobs'>,
  { kind, request, wait, ...options }: StartJobOptions,
): Promise<Job> {
  const job = await client.jobs.create({ kind, request });
  return wait ? client.jobs.wait(job.id, options) : job;
}
