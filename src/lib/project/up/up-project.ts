import { resolve } from 'node:path';
import { type Clock, loadProject, type Project, systemClock } from '../../core/index.js';
import { topicMatcher, type UpOptions, type UpPlatform, type UpResult, up } from '../../platform/index.js';
import { loadRoutes, parseStreamUrl, type Route, runRoutes } from '../../stream/index.js';
import { localOpener, localPlace, readerName } from './local.js';
import { endingOrder } from './order.js';
import { type RunRoute, type Supervised, supervise } from './supervise.js';

export interface UpProjectOptions extends Omit<UpOptions, 'boards' | 'readers' | 'project'> {
  /** Folder of aiot.yaml. */
  project: string;
  /** Values for the routes' variables; they go before the environment, which goes before the project's own. */
  set: Readonly<Record<string, string>>;
  /** Port of the listener for boards instead of the project's; 0 = any free one. */
  boardPort?: number | undefined;
  clock?: Clock;
}

/** How long a start waits for routes whose far sides are not there, ms. They are tried on. */
const patienceMs = 3000;

/**
 * Starts a platform and, in the same process, what a project has beside it: a listener for its boards, and its routes, each kept
 * running apart from the others. Nothing is started when anything in the project is wrong.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_ROUTE_INVALID, as `up`, and what a route can never be started with
 */
export async function upProject(options: UpProjectOptions, log: (line: string) => void): Promise<UpPlatform> {
  const { set: given, clock = systemClock } = options;
  const project = await loadProject(options.project);
  const routes = await projectRoutes(project, given);
  const readers = Object.fromEntries(routes.flatMap(readersOf));
  const platform = await up(
    { ...options, project: undefined, boards: boardsOf(project, options), readers },
    log,
  );
  const running = new Map<Route, Supervised>();
  const stop = async () => {
    for (const stage of endingOrder(routes, (filter, topic) => topicMatcher(filter)(topic))) {
      await Promise.all(stage.map((route) => running.get(route)?.stop()));
    }
    await platform.stop();
  };
  try {
    for (const route of routes) {
      const open = localOpener(platform.streams, route.name);
      const run: RunRoute = (handed) => runRoutes([route], { ...handed, open });
      running.set(route, supervise({ name: route.name, run, clock, say: log }));
    }
    const ready = Promise.all([...running.values()].map((one) => one.ready));
    await Promise.race([ready, clock.sleep(patienceMs)]);
  } catch (error) {
    await stop();
    throw error;
  }
  const states = routes.map((route) => described(route, running.get(route)!.state));
  const result: UpResult = {
    ...platform.result,
    project: { name: project.config.name, dir: project.dir, routes: states },
  };
  return { ...platform, result, stop };
}

async function projectRoutes(project: Project, given: Readonly<Record<string, string>>): Promise<Route[]> {
  const file = project.config.up?.routes;
  return file === undefined ? [] : loadRoutes(resolve(project.dir, file), { set: setOf(project, given) });
}

/** `set` goes before the environment, and the project's own come last. */
function setOf({ config }: Project, given: Readonly<Record<string, string>>): Record<string, string> {
  const own = Object.entries(config.up?.set ?? {}).filter(([name]) => !process.env[name]);
  return { ...Object.fromEntries(own), ...given };
}

function boardsOf({ config }: Project, { host, boardPort }: UpProjectOptions): UpOptions['boards'] {
  const boards = config.up?.boards;
  if (!boards) return undefined;
  const { publish, subscribe, port } = boards;
  return { host: boards.host ?? host, port: boardPort ?? port, publish, subscribe };
}

function readersOf(route: Route): [string, string][] {
  return route.from
    .map(localPlace)
    .filter((place) => place !== null)
    .map((place) => [readerName(route.name, place), place.path]);
}

function described({ name, from, to }: Route, state: Supervised['state']) {
  const shown = (url: string) => {
    const { endpoint, host, path } = parseStreamUrl(url);
    // An absolute path after file: has its slash already.
    return path === '' ? endpoint : host === '' ? `${endpoint}${path}` : `${endpoint}/${path}`;
  };
  return { name, from: from.map(shown), to: to.map(shown), state };
}
