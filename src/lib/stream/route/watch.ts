import { AiotError } from '../../core/errors.js';
import { writeJsonAtomic } from '../../core/files.js';
import { ListenFailure, servePages } from '../../core/http-pages.js';
import { keepHeapSmall } from '../../core/process.js';
import { Exposition } from '../../core/prometheus.js';
import { printable } from '../../core/text.js';
import { unreachable } from '../broker/check.js';
import { runRoutes } from './run.js';
import {
  type Route,
  type RouteState,
  type RoutesEnd,
  type RunRoutesOptions,
  reasonOf,
  stateText,
} from './types.js';

interface WatchedOptions extends Omit<RunRoutesOptions, 'onState' | 'onNotice'> {
  /** Called with a line of text for people. */
  onLine: (text: string) => void;
  /** Port or file through which other programs can read the states. */
  status?: string;
  /** Interval of progress lines, ms. */
  everyMs?: number;
  /** Called at most once, with the addresses (without credentials) that are unreachable shortly after the start. */
  onUnreachable?: (endpoints: readonly string[]) => void;
}

/** When addresses that are not open yet are probed, and how long a probe may take, ms. */
const early = { afterMs: 1500, probeMs: 1000 };

/** Runs routes and shows their states to people and programs. @throws the errors of `runRoutes` and `showStates` */
export async function runWatched(routes: readonly Route[], options: WatchedOptions): Promise<RoutesEnd> {
  const { onLine, status, everyMs, onUnreachable, ...running } = options;
  const { only = [] } = running;
  const looks = routes.some(({ name, through }) => through && (only.length === 0 || only.includes(name)));
  // Pictures count toward the heap. With pictures, collections would be so frequent that they take a third as long as
  // face detection.
  if (!looks) keepHeapSmall();
  const shown = status === undefined ? undefined : await showStates(status);
  if (shown?.port !== undefined) onLine(`states at http://127.0.0.1:${shown.port}/, and /metrics`);
  const report = createReporter(onLine, everyMs);
  const notices = new Set<string>();
  let latest: readonly RouteState[] = [];
  const timer = setTimeout(() => {
    probed(latest, routes, running).then(
      ({ states, waiting }) => {
        // The routes may have ended during the probe.
        if (latest.length === 0 || running.signal?.aborted) return;
        const now = latest.map((state, index) => withFailures(state, states[index] ?? state));
        report(now);
        for (const line of waiting) onLine(line);
        const failing = now
          .flatMap(({ from, to }) => [...from, ...to])
          .filter(({ state }) => state === 'failing')
          .map(({ endpoint }) => endpoint);
        if (failing.length > 0) onUnreachable?.([...new Set(failing)]);
      },
      () => {},
    );
  }, early.afterMs);
  try {
    return await runRoutes(routes, {
      ...running,
      // A reopened source repeats its notice.
      onNotice: (notice) => {
        if (!notices.has(notice)) onLine(printable(notice));
        notices.add(notice);
      },
      onState: (states) => {
        latest = states;
        report(states);
        shown?.update(states);
      },
    });
  } finally {
    clearTimeout(timer);
    latest = [];
    await shown?.close();
  }
}

type Side = RouteState['from'][number];

/**
 * Probes the addresses that are not open yet. A source is opened only after all destinations. Without a probe, an
 * unreachable source would be reported only once the destination is back.
 * @returns the states with the failures of the probes, and lines about peers that accept connections but do not respond
 */
async function probed(
  states: readonly RouteState[],
  routes: readonly Route[],
  options: Parameters<typeof unreachable>[1],
): Promise<{ states: RouteState[]; waiting: string[] }> {
  const waiting: string[] = [];
  const probe = async <S extends Side>(side: S, url: string | undefined, begun: string | false) => {
    if (side.state !== 'opening' || url === undefined) return side;
    const error = await unreachable(url, { ...options, connectTimeoutMs: early.probeMs }).catch(reasonOf);
    if (error !== undefined) return { ...side, state: 'failing' as const, error };
    if (begun) waiting.push(`${begun} ${side.endpoint}: no response yet; still waiting`);
    return side;
  };
  const probedStates = await Promise.all(
    states.map(async (state) => {
      const route = routes.find(({ name }) => name === state.name);
      const open = state.to.every((to) => to.state === 'connected');
      const from = state.from.map((side, index) =>
        probe(side, route?.from[index], open && `${state.name}: source`),
      );
      const to = state.to.map((side, index) => probe(side, route?.to[index], `${state.name}: destination`));
      return { ...state, from: await Promise.all(from), to: await Promise.all(to) };
    }),
  );
  return { states: probedStates, waiting };
}

/** The current state, with the failures that a probe found at addresses that are still not open. */
function withFailures(now: RouteState, probes: RouteState): RouteState {
  const pick = <S extends Side>(side: S, probe: S | undefined) =>
    side.state === 'opening' && probe?.state === 'failing' ? probe : side;
  return {
    ...now,
    from: now.from.map((side, index) => pick(side, probes.from[index])),
    to: now.to.map((side, index) => pick(side, probes.to[index])),
  };
}

/**
 * Creates a function that converts states to lines for people. Lost and restored connections, waiting routes, skipped messages and lost
 * headers are reported immediately. Progress is reported every `everyMs` while messages arrive.
 * @param now the current time of any clock, ms
 */
export function createReporter(
  line: (text: string) => void,
  everyMs = 10_000,
  now: () => number = Date.now,
): (states: readonly RouteState[]) => void {
  const sides = new Map<string, string>();
  const counts = new Map<string, { at: number; received: number; bad: number }>();
  const told = (key: string, state: string, text: string) => {
    if (sides.get(key) === state) return;
    // A connection that works from the start is not reported.
    if (sides.has(key) || state !== 'ok') line(text);
    sides.set(key, state);
  };
  const each = (route: RouteState) => {
    for (const [side, all] of [
      ['source', route.from],
      ['destination', route.to],
    ] as const) {
      all.forEach(({ endpoint, state, error }, index) => {
        const key = `${route.name} ${side} ${index}`;
        const text = `${route.name}: ${side} ${endpoint}`;
        const reason = withoutAddress(printable(error ?? 'lost'), endpoint);
        if (state === 'failing') told(key, 'failing', `${text}: ${reason}; retrying`);
        else if (state === 'connected') told(key, 'ok', `${text}: connected again`);
      });
    }
    route.to.forEach(({ endpoint, withoutHeaders }, index) => {
      const key = `${route.name} headers ${index}`;
      const text = `${route.name}: ${endpoint}: the connection uses MQTT 3.1.1, which has no headers: messages are sent without them`;
      if (withoutHeaders !== undefined) told(key, 'dropped', text);
    });
    route.to.forEach(({ spooled }, index) => {
      if (!spooled) return;
      const { error } = spooled;
      const text = error === undefined ? 'can be written again' : `${printable(error)}; continuing`;
      told(
        `${route.name} spool ${index}`,
        error === undefined ? 'ok' : 'failing',
        `${route.name}: spool: ${text}`,
      );
    });
    const before = counts.get(route.name) ?? { at: now(), received: 0, bad: 0 };
    counts.set(route.name, before);
    const bad = route.skipped + route.deadLettered;
    if (bad > 0 && before.bad === 0) {
      before.bad = bad;
      line(
        `${route.name}: ${route.skipped > 0 ? 'skipped' : 'dead-lettered'} a message: ${printable(route.lastError ?? '')}`,
      );
    }
    const passed = now() - before.at;
    if (passed < everyMs || route.received === before.received) return;
    line(`${route.name}: ${stateText(route, (route.received - before.received) / (passed / 1000))}`);
    counts.set(route.name, { at: now(), received: route.received, bad });
  };
  return (states) => {
    for (const route of states) each(route);
  };
}

/** An adapter's error without its endpoint, which the line already contains. */
function withoutAddress(reason: string, endpoint: string): string {
  const [before = '', ...rest] = reason.split(endpoint);
  const after = rest.join(endpoint);
  const named = /^(:\d+)?: /.exec(after);
  return named ? before + after.slice(named[0].length) : reason;
}

/** Makes states available to other programs. */
interface Shown {
  update(states: readonly RouteState[]): void;
  close(): Promise<void>;
  /** The port in use. */
  port?: number;
}

/**
 * Publishes states at `target`. A number is a port on 127.0.0.1, where `/` returns the states as JSON, and `/metrics`
 * returns them in Prometheus's format. Any other text is the path of a file, which is replaced as a whole with each
 * update.
 * @throws AIOT_USAGE (port in use), AIOT_FILE_NOT_WRITABLE
 */
export async function showStates(target: string): Promise<Shown> {
  return /^\d{1,5}$/.test(target) ? serve(Number(target)) : toFile(target);
}

async function serve(wanted: number): Promise<Shown> {
  let states: readonly RouteState[] = [];
  const { port, close } = await servePages({ host: '127.0.0.1', port: wanted }, ({ method, path }) => {
    if (method === 'GET' && path === '/metrics')
      return { type: 'text/plain; version=0.0.4', body: metricsText(states) };
    if (method === 'GET' && path === '/')
      return { type: 'application/json', body: JSON.stringify({ routes: states }) };
    return { status: 404, type: 'text/plain', body: '' };
  }).catch((cause: unknown) => {
    if (!(cause instanceof ListenFailure)) throw cause;
    throw new AiotError('AIOT_USAGE', `cannot listen on 127.0.0.1:${wanted} (${cause.code})`, { cause });
  });
  return {
    port,
    update(now) {
      states = now;
    },
    close,
  };
}

async function toFile(file: string): Promise<Shown> {
  let next: readonly RouteState[] = [];
  let writing: Promise<void> | undefined;
  let again = false;
  const write = async () => {
    do {
      again = false;
      await writeJsonAtomic(file, { time: Date.now(), routes: next });
    } while (again);
  };
  // The first write shows whether the file is writable at all.
  await write();
  return {
    update(now) {
      next = now;
      again = writing !== undefined;
      writing ??= write()
        .catch(() => {})
        .finally(() => {
          writing = undefined;
        });
    },
    async close() {
      await writing;
    },
  };
}

const perRoute = {
  received: 'Messages received from the sources.',
  filtered: 'Messages removed by the filter.',
  duplicates: 'Duplicate messages.',
  skipped: 'Messages skipped because of their own errors.',
  deadLettered: 'Messages dead-lettered because of their own errors.',
  retries: 'Messages that were retried.',
} as const;

/** The states in Prometheus's text format, version 0.0.4. */
export function metricsText(states: readonly RouteState[]): string {
  const text = new Exposition();
  for (const [field, help] of Object.entries(perRoute) as [keyof typeof perRoute, string][]) {
    const name = `aiot_route_${field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;
    text.family(
      'counter',
      name,
      help,
      states.map((route) => [{ route: route.name }, route[field]]),
    );
  }
  text.family(
    'gauge',
    'aiot_route_pending',
    'Messages received, but not stored by every sink yet.',
    states.map((route) => [{ route: route.name }, route.pending]),
  );
  const windows = states.flatMap((route) =>
    route.windows ? [[{ route: route.name }, route.windows] as const] : [],
  );
  text.family(
    'gauge',
    'aiot_route_window_messages',
    'Messages in open windows, and in results that are not delivered yet.',
    windows.map(([labels, { messages }]) => [labels, messages]),
  );
  text.family(
    'counter',
    'aiot_route_late_total',
    'Messages that arrived after their window was closed.',
    windows.map(([labels, { late }]) => [labels, late]),
  );
  const sinks = states.flatMap((route) =>
    route.to.map((to) => [{ route: route.name, to: to.endpoint }, to] as const),
  );
  text.family(
    'counter',
    'aiot_route_written_total',
    'Messages stored by a sink.',
    sinks.map(([labels, to]) => [labels, to.written]),
  );
  text.family(
    'counter',
    'aiot_route_without_headers_total',
    'Messages that a sink stored without their headers.',
    sinks.map(([labels, to]) => [labels, to.withoutHeaders ?? 0]),
  );
  text.family(
    'counter',
    'aiot_route_expired_total',
    'Messages that expired before a sink could store them.',
    sinks.map(([labels, to]) => [labels, to.expired ?? 0]),
  );
  text.family(
    'gauge',
    'aiot_route_sink_up',
    '1 when the last write succeeded.',
    sinks.map(([labels, to]) => [labels, to.state === 'connected' ? 1 : 0]),
  );
  text.family(
    'gauge',
    'aiot_route_spooled',
    'Messages in the spool on disk.',
    sinks.flatMap(([labels, to]) =>
      to.spooled ? [[labels, to.spooled.messages] as [Record<string, string>, number]] : [],
    ),
  );
  return text.text();
}
