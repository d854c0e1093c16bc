import { resolve } from 'node:path';
import type { ProjectAlarmsApplied } from '../api/contract/alarm-targets.js';
import type { CommandsApplied } from '../api/contract/commands.js';
import type { IntegrationApplied, SettingsApplied } from '../api/contract/settings.js';
import { AiotError } from '../core/errors.js';
import { loadProject, type Project } from '../core/project.js';
import { deferred } from '../core/tasks.js';
import { backOffMs, type Clock, systemClock } from '../core/time.js';
import { topicMatcher } from '../platform/broker/topics.js';
import type { Platform } from '../platform/options.js';
import { restartOf, type UpOptions, type UpResult } from '../platform/up/options.js';
import { type UpPlatform, up } from '../platform/up/up.js';
import { mqttSettings } from '../stream/mqtt/connect.js';
import { loadRoutes } from '../stream/route/load.js';
import { runRoutes } from '../stream/route/run.js';
import type { Route, RouteState, StreamOpener } from '../stream/route/types.js';
import { parseStreamUrl } from '../stream/url.js';
import { alarmsOf, targetsOf } from './alarms.js';
import { commandsOf, settingsOf } from './commands.js';
import { homeAssistantOf } from './home-assistant.js';
import { sparkplugOf } from './sparkplug.js';

export interface UpProjectOptions extends Omit<UpOptions, 'boards' | 'readers' | 'project'> {
  /** Folder of aiot.yaml. */
  project: string;
  /**
   * Values for variables in the routes. They take precedence over the environment, which takes precedence over the project's own values.
   */
  set: Readonly<Record<string, string>>;
  /** Port for the project's boards, instead of the configured one; 0 = any free port. */
  boardPort?: number | undefined;
  clock?: Clock;
}

/** Maximum time that the start waits for routes with unreachable peers, ms. These routes are then retried in the background. */
const patienceMs = 3000;

/**
 * Starts a platform and, in the same process, the services of a project: a listener for its boards, and its routes, each of which is
 * supervised separately. The project's alarms, notification targets, commands, settings and integrations on the platform are
 * synchronized with the file. If anything in the project is invalid, nothing is started.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_ROUTE_INVALID, as `up`, and permanent errors of a route
 */
export async function upProject(options: UpProjectOptions, log: (line: string) => void): Promise<UpPlatform> {
  const { set: given, clock = systemClock } = options;
  const project = await loadProject(options.project);
  const routes = await projectRoutes(project, given);
  const alarms = alarmsOf(project);
  const targets = targetsOf(project);
  const commands = await commandsOf(project);
  const settings = await settingsOf(project);
  const definition = homeAssistantOf(project);
  const edgeNode = sparkplugOf(project);
  const readers = Object.fromEntries(routes.flatMap(readersOf));
  const { boardPort } = options;
  const restart = restartOf({ ...options, project: { dir: options.project, set: given, boardPort } });
  const platform = await up(
    { ...options, project: undefined, boards: boardsOf(project, options), readers, restart },
    log,
  );
  const running = new Map<Route, Supervised>();
  const stop = async () => {
    for (const stage of endingOrder(routes, (filter, topic) => topicMatcher(filter)(topic))) {
      await Promise.all(stage.map((route) => running.get(route)?.stop()));
    }
    await platform.stop();
  };
  let applied: ProjectAlarmsApplied | null;
  let appliedCommands: CommandsApplied | null;
  let appliedSettings: SettingsApplied | null;
  let homeAssistant: IntegrationApplied | null;
  let sparkplug: IntegrationApplied | null;
  try {
    for (const route of routes) {
      const open = localOpener(platform.streams, route.name);
      const { tracer } = platform;
      const run: RunRoute = (handed) => runRoutes([route], { ...handed, open, tracer });
      running.set(route, supervise({ name: route.name, run, clock, say: log }));
    }
    applied = await platform.applyAlarms({ project: project.config.name, alarms, targets });
    appliedCommands = await platform.applyCommands({ project: project.config.name, commands });
    appliedSettings = await platform.applySettings({ project: project.config.name, settings });
    homeAssistant = await platform.applyHomeAssistant({ project: project.config.name, definition });
    sparkplug = await platform.applySparkplug({ project: project.config.name, definition: edgeNode });
    const ready = Promise.all([...running.values()].map((one) => one.ready));
    await Promise.race([ready, clock.sleep(patienceMs)]);
  } catch (error) {
    await stop();
    throw error;
  }
  const states = routes.map((route) => described(route, running.get(route)!.state));
  const result: UpResult = {
    ...platform.result,
    project: {
      ...{ name: project.config.name, dir: project.dir, routes: states },
      ...{ alarms: applied, commands: appliedCommands, settings: appliedSettings, homeAssistant },
      sparkplug,
    },
  };
  return { ...platform, result, stop };
}

async function projectRoutes(project: Project, given: Readonly<Record<string, string>>): Promise<Route[]> {
  const file = project.config.up?.routes;
  return file === undefined ? [] : loadRoutes(resolve(project.dir, file), { set: setOf(project, given) });
}

/** Values for variables in the routes. The project's own values are omitted for variables that are set in the environment. */
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
    // The absolute path of a file: address already begins with a slash.
    return path === '' ? endpoint : host === '' ? `${endpoint}${path}` : `${endpoint}/${path}`;
  };
  return { name, from: from.map(shown), to: to.map(shown), state };
}

/**
 * Determines the order in which routes end. A route that writes to a platform topic ends before the routes that read that topic, so that
 * those routes still receive its messages. Routes in a cycle end last, together.
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
  // A topic computed by an expression may match any filter.
  return written.some(({ path }) => read.some((own) => from.topic !== undefined || fits(own.path, path)));
}

/** A topic on the platform in this process. */
interface LocalPlace {
  /** Topic, or topic filter. */
  path: string;
  /** Group of readers with the same filter, such as `iot` for `?group=iot`. */
  group: string;
  qos: 0 | 1 | 2;
  retain: boolean;
}

/** Parses `aiot://stream/TOPIC`, an address on the platform in this process; null for any other address. @throws AIOT_STREAM_URL */
function localPlace(url: string): LocalPlace | null {
  const parts = parseStreamUrl(url);
  if (parts.scheme !== 'aiot' || !['', 'stream'].includes(parts.host)) return null;
  const { group = '', qos, retain = false } = mqttSettings(parts, {});
  return { path: parts.path || '#', group, qos, retain };
}

/** Name under which a reader is registered with the platform, so that the platform waits for it. */
function readerName(route: string, { path, group }: LocalPlace): string {
  return `${route} ${path} ${group}`;
}

/** Opens a route's addresses on the platform within this process. */
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

/** Runs a route. Resolves when the signal has stopped the route, or its sources have no more messages. */
type RunRoute = (options: {
  signal: AbortSignal;
  onOpen: () => void;
  onState: (states: readonly RouteState[]) => void;
}) => Promise<unknown>;

interface Supervised {
  /** Resolves when the route is open for the first time, or has ended. @throws permanent errors */
  readonly ready: Promise<void>;
  readonly state: 'starting' | 'running' | 'failing' | 'ended';
  /** Writes the messages that have been read, and then ends the route. */
  stop(): Promise<void>;
}

/** Minimum and maximum delay between two runs of a failing route, ms. */
const firstWaitMs = 500;

const longestWaitMs = 30_000;

/**
 * Supervises a route. After a failure, the route is restarted, with increasing delays. Before the route has been open once, an error that a
 * retry cannot fix, such as an invalid setting, ends it.
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
      if (now === 'failing') say(`route ${name}: ${endpoint} failed${error ? `: ${error}` : ''}`);
      if (now === 'connected' && before === 'failing') say(`route ${name}: ${endpoint} is available again`);
    }
  };

  const { promise: started, resolve: ready, reject: refuse } = deferred();

  const keep = async () => {
    for (let failures = 0; ; ) {
      const onOpen = () => {
        if (opened) say(`route ${name} is running again`);
        opened = true;
        failures = 0;
        state = 'running';
        ready();
      };
      try {
        await run({ signal, onOpen, onState: watch });
        if (!signal.aborted) say(`route ${name} has ended: its source has no more messages`);
        break;
      } catch (error) {
        if (signal.aborted) break;
        if (!opened && !worthAgain(error)) {
          refuse(error);
          break;
        }
        state = 'failing';
        const wait = backOffMs(++failures, firstWaitMs, longestWaitMs);
        const why = error instanceof Error ? error.message : String(error);
        say(`route ${name} failed and restarts in ${wait / 1000} s: ${why}`);
        await clock.sleep(wait, signal).catch(() => {});
        if (signal.aborted) break;
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

/** Whether a retry may succeed. */
function worthAgain(error: unknown): boolean {
  return error instanceof AiotError && error.retryable;
}
