import { AiotError } from '../../core/errors.js';
import { writeJsonAtomic } from '../../core/files.js';
import { ListenFailure, servePages } from '../../core/http-pages.js';
import { keepHeapSmall } from '../../core/process.js';
import { Exposition } from '../../core/prometheus.js';
import { printable } from '../../core/text.js';
import { runRoutes } from './run.js';
import { type Route, type RouteState, type RoutesEnd, type RunRoutesOptions, stateText } from './types.js';

interface WatchedOptions extends Omit<RunRoutesOptions, 'onState' | 'onNotice'> {
  /** Called with a line of text for people. */
  onLine: (text: string) => void;
  /** Port or file through which other programs can read the states. */
  status?: string;
  /** Interval of progress lines, ms. */
  everyMs?: number;
}

/** Runs routes and shows their states to people and programs. @throws the errors of `runRoutes` and `showStates` */
export async function runWatched(routes: readonly Route[], options: WatchedOptions): Promise<RoutesEnd> {
  const { onLine, status, everyMs, ...running } = options;
  const { only = [] } = running;
  const looks = routes.some(({ name, through }) => through && (only.length === 0 || only.includes(name)));
  // Pictures count toward the heap. With pictures, collections would be so frequent that they take a third as long as
  // face detection.
  if (!looks) keepHeapSmall();
  const shown = status === undefined ? undefined : await showStates(status);
  if (shown?.port !== undefined) onLine(`states at http://127.0.0.1:${shown.port}/, and /metrics`);
  const report = createReporter(onLine, everyMs);
  const notices = new Set<string>();
  try {
    return await runRoutes(routes, {
      ...running,
      // A reopened source repeats its notice.
      onNotice: (notice) => {
        if (!notices.has(notice)) onLine(printable(notice));
        notices.add(notice);
      },
      onState: (states) => {
        report(states);
        shown?.update(states);
      },
    });
  } finally {
    await shown?.close();
  }
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
      ['from', route.from],
      ['to', route.to],
    ] as const) {
      all.forEach(({ endpoint, state, error }, index) => {
        const key = `${route.name} ${side} ${index}`;
        if (state === 'failing')
          told(key, 'failing', `${route.name}: ${endpoint}: ${printable(error ?? 'lost')}; retrying`);
        else if (state === 'connected') told(key, 'ok', `${route.name}: ${endpoint}: connected again`);
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
