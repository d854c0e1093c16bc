import type { Job } from '../../registry/index.js';
import type { ProgressState } from '../progress.js';
import { bold, dim, green, red, yellow } from './style.js';
import { elapsed, facts, table } from './text.js';
import { minute } from './time.js';

export function jobsTable(jobs: Job[]): string {
  const rows = jobs.map((job) => [
    job.id,
    job.kind,
    stateOf(job),
    progressOf(job),
    job.who,
    minute(job.created),
  ]);
  return table(['id', 'kind', 'state', 'progress', 'who', 'created'], rows, 'No jobs yet.');
}

export function jobText(job: Job): string {
  const { id, kind, who, created, started, ended, request, result, error } = job;
  const lines: [string, string | number][] = [
    ['kind', kind],
    ['state', `${stateOf(job)}${job.cancelled && ended === null ? dim('  (to be cancelled)') : ''}`],
    ['by', who],
    ['created', minute(created)],
  ];
  if (Object.keys(request).length > 0) lines.push(['request', JSON.stringify(request)]);
  const progress = progressOf(job);
  if (progress !== null) lines.push(['progress', progress]);
  if (started !== null && ended !== null) lines.push(['took', elapsed(ended - started)]);
  if (result !== null && result !== undefined) lines.push(['result', JSON.stringify(result)]);
  if (error !== null) lines.push(['error', `${error.code}: ${error.message}`]);
  return `${bold(id)}\n${facts(lines)}`;
}

/** A job's state as a stage of long work. */
export function jobNews({ kind, state, step, done, total }: Job): ProgressState {
  const text = step ?? `${kind} is ${state}`;
  return total === null ? { text } : { text, done, total };
}

function progressOf({ step, done, total }: Job): string | null {
  const counted = total === null ? (done > 0 ? String(done) : null) : `${done}/${total}`;
  const told = [step, counted].filter((part) => part !== null);
  return told.length > 0 ? told.join(' ') : null;
}

function stateOf({ state }: Job): string {
  if (state === 'done') return green(state);
  if (state === 'failed') return red(state);
  return state === 'running' ? yellow(state) : state;
}
