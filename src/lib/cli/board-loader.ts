import type { LoaderOptions, LoaderProgress } from '../flash/index.js';
import { loaderOptions } from './flash-flags.js';
import type { Progress, ProgressState } from './progress.js';

/** What the flags say of the loader, with its progress as the command's one progress line. */
export function boardLoader(
  flags: Parameters<typeof loaderOptions>[0],
  signal: AbortSignal,
  progress: Progress,
): LoaderOptions {
  return { ...loaderOptions(flags, signal), progress: (state) => progress.update(shown(state)) };
}

function shown({ stage, region, done, total, note }: LoaderProgress): ProgressState {
  const text = [region === null ? stage : `${stage} ${region}`, note].filter(Boolean).join(', ');
  const moves = stage === 'read' || stage === 'write';
  return moves && total > 0 ? { text, done, total } : { text };
}
