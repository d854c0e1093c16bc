import { AiotError } from '../../core/index.js';
import { loadRoutes } from './load.js';
import { openRoute, type RunningRoute } from './run-route.js';
import type { Route, RouteState, RoutesEnd, RunRoutesOptions } from './types.js';

/**
 * Runs routes until their sources have no more, or `signal` is aborted: then nothing more is read, and what was read is written and
 * acknowledged. Each message is acknowledged to its source once every sink (or spool) has it. Far sides that are lost are waited for.
 * When one route cannot go on, the others are stopped as by the signal.
 * @param routes a file, or routes of `loadRoutes` and `routeOf`
 * @throws AIOT_ROUTE_INVALID; AIOT_ROUTE_MESSAGE; what opening throws that does not pass by waiting
 */
export async function runRoutes(
  routes: string | readonly Route[],
  options: RunRoutesOptions = {},
): Promise<RoutesEnd> {
  const { signal, set, environment, only, onState, stateMs = 1000 } = options;
  const variables = { ...(set ? { set } : {}), ...(environment ? { environment } : {}) };
  const all = typeof routes === 'string' ? await loadRoutes(routes, variables) : routes;
  const wanted = chosen(all, only);
  signal?.throwIfAborted();
  const stopping = new AbortController();
  const stop = signal ? AbortSignal.any([signal, stopping.signal]) : stopping.signal;
  const running: RunningRoute[] = [];
  const states = (): RouteState[] => running.map((route) => route.state());
  let shown = '';
  const tell = () => {
    const now = states();
    const text = JSON.stringify(now);
    if (text !== shown) onState?.(now);
    shown = text;
  };
  const timer = onState && setInterval(tell, stateMs);
  const { signal: _, onState: __, ...opening } = options;
  try {
    for (const route of wanted)
      running.push(await openRoute(route, opening, stop, () => running.length > 0 && tell()));
    try {
      await Promise.all(running.map((route) => route.ready()));
      options.onOpen?.();
    } catch (error) {
      // Stopped before all was open: that is an end like any other.
      if (!signal?.aborted) throw error;
    }
    await runAll(running, stopping, signal?.aborted === true);
  } finally {
    stopping.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    await Promise.all(running.map((route) => route.close()));
    clearInterval(timer);
    tell();
  }
  return { routes: states() };
}

async function runAll(running: RunningRoute[], stopping: AbortController, already: boolean): Promise<void> {
  if (already) return;
  const ends = running.map((route) =>
    route.run().catch((error: unknown) => {
      stopping.abort(error);
      throw error;
    }),
  );
  const [failed] = (await Promise.allSettled(ends)).filter((end) => end.status === 'rejected');
  if (failed) throw failed.reason;
}

function chosen(routes: readonly Route[], only: readonly string[] | undefined): readonly Route[] {
  const unknown = only?.find((name) => !routes.some((route) => route.name === name));
  if (unknown !== undefined) {
    throw new AiotError('AIOT_ROUTE_INVALID', `there is no route ${unknown}`, {
      next: `There are: ${routes.map(({ name }) => name).join(', ')}`,
    });
  }
  return only && only.length > 0 ? routes.filter(({ name }) => only.includes(name)) : routes;
}
