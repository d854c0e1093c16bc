import { keepHeapSmall } from '../../core/index.js';
import { showStates } from './metrics.js';
import { createReporter } from './report.js';
import { runRoutes } from './run.js';
import type { Route, RoutesEnd, RunRoutesOptions } from './types.js';

export interface WatchedOptions extends Omit<RunRoutesOptions, 'onState'> {
  /** A line for people. */
  onLine: (text: string) => void;
  /** Port or file where other programs see the states. */
  status?: string;
  /** How often a line says how far it is, ms. */
  everyMs?: number;
}

/** Runs routes where people and programs can see how they do. @throws what `runRoutes` and `showStates` throw */
export async function runWatched(routes: readonly Route[], options: WatchedOptions): Promise<RoutesEnd> {
  const { onLine, status, everyMs, ...running } = options;
  const { only = [] } = running;
  const looks = routes.some(({ name, through }) => through && (only.length === 0 || only.includes(name)));
  // Pictures count as heap too: looking at it so often took a third of what the face detector takes.
  if (!looks) keepHeapSmall();
  const shown = status === undefined ? undefined : await showStates(status);
  if (shown?.port !== undefined) onLine(`states at http://127.0.0.1:${shown.port}/, and /metrics`);
  const report = createReporter(onLine, everyMs);
  try {
    return await runRoutes(routes, {
      ...running,
      onState: (states) => {
        report(states);
        shown?.update(states);
      },
    });
  } finally {
    await shown?.close();
  }
}
