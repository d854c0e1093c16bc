import { AiotError } from '../../core/errors.js';
import { type Clock, systemClock } from '../../core/time.js';
import { errorOfTransport } from '../errors.js';
import { everyPage } from '../page.js';
import { eventData } from '../sse.js';
import type { Transport } from '../transport.js';
import {
  hasJobEnded,
  type Job,
  type JobEnd,
  type JobProgress,
  type JobState,
  jobSchema,
  jobsSchema,
  type NewJob,
} from './api.js';

export interface WaitOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  /** The job as it is, and again at each change. */
  onProgress?: (job: Job) => void;
  clock?: Clock;
}

const silenceMs = 45_000;

export function jobCalls(transport: Transport) {
  const path = (id: string) => `/jobs/${encodeURIComponent(id)}`;
  return {
    /** @throws AIOT_REQUEST_INVALID for a kind that the platform does not know */
    create: (job: NewJob): Promise<Job> => transport.json('POST', '/jobs', jobSchema, job),
    /** Newest first; at most `limit`, or all. */
    list: async (
      query: { state?: JobState | undefined; kind?: string | undefined; limit?: number | undefined } = {},
    ) => {
      const filter = new URLSearchParams();
      if (query.state !== undefined) filter.set('state', query.state);
      if (query.kind !== undefined) filter.set('kind', query.kind);
      const page = async (asked: string) => {
        const { jobs: entries, next } = await transport.json('GET', `/jobs?${asked}&${filter}`, jobsSchema);
        return { entries, next };
      };
      return query.limit === undefined ? everyPage(page) : (await page(`limit=${query.limit}`)).entries;
    },
    get: (id: string): Promise<Job> => transport.json('GET', path(id), jobSchema),
    /** Says that it is to end; that it has is told by its state. @throws AIOT_JOB_ENDED */
    cancel: (id: string): Promise<Job> => transport.json('POST', `${path(id)}/cancel`, jobSchema, {}),
    /** Of an external job: it goes on. @throws AIOT_JOB_ENDED */
    progress: (id: string, progress: JobProgress): Promise<Job> =>
      transport.json('POST', `${path(id)}/progress`, jobSchema, progress),
    /** Of an external job. @throws AIOT_JOB_ENDED */
    end: (id: string, end: JobEnd): Promise<Job> => transport.json('POST', `${path(id)}/end`, jobSchema, end),
    /** The job when it has ended, over breaks of the connection and restarts of the platform. @throws AIOT_TIMEOUT, AIOT_NOT_FOUND */
    wait: (id: string, options: WaitOptions = {}) => waitFor(transport, path(id), options),
  };
}

async function waitFor(transport: Transport, path: string, options: WaitOptions): Promise<Job> {
  const { timeoutMs, onProgress, clock = systemClock } = options;
  const late = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([options.signal, late].filter((one) => one !== undefined));
  for (let broken = 0; ; broken++) {
    try {
      const answer = await transport.call('GET', `${path}/events`, {
        headers: { accept: 'text/event-stream' },
        bodyTimeoutMs: silenceMs,
        signal,
      });
      for await (const data of eventData(answer.body)) {
        const job = jobSchema.parse(JSON.parse(data));
        broken = 0;
        onProgress?.(job);
        if (hasJobEnded(job)) return job;
      }
    } catch (error) {
      if (late?.aborted) throw new AiotError('AIOT_TIMEOUT', `the job had not ended after ${timeoutMs} ms`);
      signal.throwIfAborted();
      const told = errorOfTransport(error, transport.url);
      if (!told.retryable) throw told;
    }
    await clock.sleep(Math.min(5000, 250 * 2 ** Math.min(broken, 5)), signal).catch(() => {});
  }
}
