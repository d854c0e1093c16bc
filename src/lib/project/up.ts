import { resolve } from 'node:path';
import { AiotError } from '../core/errors.js';
import { loadProject, type Project } from '../core/project.js';
import { type Clock, systemClock } from '../core/time.js';
import { topicMatcher } from '../platform/broker/topics.js';
import type { Platform } from '../platform/options.js';
import type { UpOptions, UpResult } from '../platform/up/options.js';
import { type UpPlatform, up } from '../platform/up/up.js';
import { mqttSettings } from '../stream/mqtt/connect.js';
import { loadRoutes } from '../stream/route/load.js';
import { runRoutes } from '../stream/route/run.js';
import type { Route, RouteState, StreamOpener } from '../stream/route/types.js';
import { parseStreamUrl } from '../stream/url.js';

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

/**
 * Routes in the order in which they are to end: one that writes to the platform before those that read it there, so that each
 * can still hand on what it has. Routes in a circle come last, together.
 */
export function endingOrder(
  routes: readonly Route[],
  fits: (filter: string, topic: string) => boolean,
): Route[][] {
  const stages: Route[][] = [];
  let left = [...routes];
  while (left.length > 0) {
    const first = left.filter((route) => !left.some((other) => other !== route && feeds(other, route, fits)));
    const stage = first.length > 0 ? first : left;
    stages.push(stage);
    left = left.filter((route) => !stage.includes(route));
  }
  return stages;
}

function feeds(from: Route, to: Route, fits: (filter: string, topic: string) => boolean): boolean {
  const written = from.to.map(localPlace).filter((place) => place !== null);
  const read = to.from.map(localPlace).filter((place) => place !== null);
  // Where an expression says the topic, it may be any.
  return written.some(({ path }) => read.some((own) => from.topic !== undefined || fits(own.path, path)));
}

/** A place at the platform that is started in this process. */
interface LocalPlace {
  /** Topic, or filter. */
  path: string;
  /** What tells readers of one filter apart: `iot` of `?group=iot`. */
  group: string;
  qos: 0 | 1 | 2;
  retain: boolean;
}

/** What an address names at the platform of this process: `aiot://stream/TOPIC`; null for any other. @throws AIOT_STREAM_URL */
function localPlace(url: string): LocalPlace | null {
  const parts = parseStreamUrl(url);
  if (parts.scheme !== 'aiot' || !['', 'stream'].includes(parts.host)) return null;
  const { group = '', qos, retain = false } = mqttSettings(parts, {});
  return { path: parts.path || '#', group, qos, retain };
}

/** The reader's name, by which the platform waits for it. */
function readerName(route: string, { path, group }: LocalPlace): string {
  return `${route} ${path} ${group}`;
}

/** Opens addresses of the platform in its own process, for one route. */
function localOpener(streams: Platform['streams'], route: string): StreamOpener {
  return {
    source(url, { queue, overflow }) {
      const place = localPlace(url);
      if (!place) return undefined;
      return streams.openSource(place.path, { queue, overflow, name: readerName(route, place) });
    },
    sink(url) {
      const place = localPlace(url);
      if (!place) return undefined;
      const { path, qos, retain } = place;
      return streams.openSink(path, { qos, retain });
    },
  };
}

/** One run of a route: resolves when it was told to end, or its sources have no more. */
type RunRoute = (options: {
  signal: AbortSignal;
  onOpen: () => void;
  onState: (states: readonly RouteState[]) => void;
}) => Promise<unknown>;

interface Supervised {
  /** When it first reads and writes, or has ended of itself. @throws what it can never be started with */
  readonly ready: Promise<void>;
  readonly state: 'starting' | 'running' | 'failing' | 'ended';
  /** Writes what was read, then ends. */
  stop(): Promise<void>;
}

/** Waits between two runs of a route that failed, ms. */
const firstWaitMs = 500;

const longestWaitMs = 30_000;

/**
 * Keeps a route running: one that fails is started again, later and later. What an error says that is no news of the outside
 * world (a setting, a file that cannot be) ends it, when it comes before the route was ever open.
 */
function supervise(options: {
  name: string;
  run: RunRoute;
  clock: Clock;
  say: (line: string) => void;
}): Supervised {
  const { name, run, clock, say } = options;
  const ending = new AbortController();
  const { signal } = ending;
  let state: Supervised['state'] = 'starting';
  let opened = false;
  const sides = new Map<string, string>();
  const watch = ([own]: readonly RouteState[]) => {
    for (const { endpoint, state: now, error } of [...(own?.from ?? []), ...(own?.to ?? [])]) {
      if (sides.get(endpoint) === now) continue;
      const before = sides.get(endpoint);
      sides.set(endpoint, now);
      if (now === 'failing') say(`route ${name}: ${endpoint} fails${error ? `: ${error}` : ''}`);
      if (now === 'connected' && before === 'failing') say(`route ${name}: ${endpoint} is there again`);
    }
  };

  let ready: () => void = () => {};
  let refuse: (error: unknown) => void = () => {};
  const started = new Promise<void>((resolve, reject) => {
    [ready, refuse] = [resolve, reject];
  });
  started.catch(() => {});

  const keep = async () => {
    let wait = firstWaitMs;
    for (;;) {
      const onOpen = () => {
        if (opened) say(`route ${name} runs again`);
        opened = true;
        wait = firstWaitMs;
        state = 'running';
        ready();
      };
      try {
        await run({ signal, onOpen, onState: watch });
        if (!signal.aborted) say(`route ${name} has ended: its source has no more`);
        break;
      } catch (error) {
        if (signal.aborted) break;
        if (!opened && !worthAgain(error)) {
          refuse(error);
          break;
        }
        state = 'failing';
        const why = error instanceof Error ? error.message : String(error);
        say(`route ${name} failed and is started again in ${wait / 1000} s: ${why}`);
        await clock.sleep(wait, signal).catch(() => {});
        if (signal.aborted) break;
        wait = Math.min(2 * wait, longestWaitMs);
      }
    }
    state = 'ended';
    ready();
  };
  const kept = keep();
  return {
    ready: started,
    get state() {
      return state;
    },
    async stop() {
      ending.abort();
      await kept;
    },
  };
}

/** Whether the same may succeed later. */
function worthAgain(error: unknown): boolean {
  return error instanceof AiotError && error.retryable;
}
