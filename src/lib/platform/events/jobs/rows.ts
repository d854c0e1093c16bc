import type { Job, JobState } from '../../../registry/index.js';
import type { Schema } from '../../store/schema.js';

export type JobRow = Schema['jobs'];

export function jobOf(row: JobRow): Job {
  const { id, kind, who, created, started, ended, updated, step, done, total } = row;
  return {
    ...{ id, kind, who, created, started, ended, updated, step, done, total },
    state: row.state as JobState,
    request: JSON.parse(row.request) as Job['request'],
    result: row.result === null ? null : JSON.parse(row.result),
    error: row.error === null ? null : (JSON.parse(row.error) as Job['error']),
    cancelled: row.cancelled !== null,
  };
}

/** A job that nobody has begun. */
export function newRow(job: Pick<JobRow, 'id' | 'kind' | 'who' | 'created' | 'request'>): JobRow {
  return {
    ...{ ...job, updated: job.created, state: 'queued', started: null, ended: null, step: null },
    ...{ done: 0, total: null, result: null, error: null, leaseUntil: null, cancelled: null },
  };
}
