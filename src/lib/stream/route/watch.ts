import { createServer } from 'node:http';
import { AiotError, systemCode } from '../../core/errors.js';
import { plural, thousands } from '../../core/figures.js';
import { writeJsonAtomic } from '../../core/files.js';
import { keepHeapSmall } from '../../core/process.js';
import { labelValue, printable } from '../../core/text.js';
import { runRoutes } from './run.js';
import type { Route, RouteState, RoutesEnd, RunRoutesOptions } from './types.js';

interface WatchedOptions extends Omit<RunRoutesOptions, 'onState'> {
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

/**
 * Turns states into lines for people: at once where a far side is lost or found, a route is held up, or messages are skipped; and every `everyMs` how far
 * it is, while anything comes.
 * @param now ms, of any clock
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
    // What is well from the start needs no line.
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
          told(key, 'failing', `${route.name}: ${endpoint}: ${printable(error ?? 'lost')}; trying again`);
        else if (state === 'connected') told(key, 'ok', `${route.name}: ${endpoint}: back`);
      });
    }
    route.to.forEach(({ spooled }, index) => {
      if (!spooled) return;
      const { error } = spooled;
      const text = error === undefined ? 'can be written again' : `${printable(error)}; going on`;
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
        `${route.name}: ${route.skipped > 0 ? 'skipped' : 'put aside'} a message: ${printable(route.lastError ?? '')}`,
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

/** Such as `12 345 in, 12 300 out, 45 waiting, 1 200/s`. */
export function stateText(route: RouteState, rate?: number): string {
  const written = route.to.reduce((sum, to) => sum + to.written, 0);
  const spooled = route.to.reduce((sum, to) => sum + (to.spooled?.messages ?? 0), 0);
  const dropped = route.to.reduce((sum, to) => sum + (to.spooled?.dropped ?? 0), 0);
  const parts: [number, string][] = [
    [route.pending, 'waiting'],
    [spooled, 'in the spool'],
    [route.filtered, 'not wanted'],
    [route.duplicates, 'seen before'],
    [route.skipped, 'skipped'],
    [route.deadLettered, 'put aside'],
    [dropped, 'thrown away'],
  ];
  return [
    `${plural(route.received, 'message')} in`,
    `${thousands(written)} out`,
    ...parts.filter(([count]) => count > 0).map(([count, text]) => `${thousands(count)} ${text}`),
    ...(rate === undefined ? [] : [`${thousands(Math.round(rate))}/s`]),
  ].join(', ');
}

/** Where states are shown to other programs. */
interface Shown {
  update(states: readonly RouteState[]): void;
  close(): Promise<void>;
  /** Port that is listened on. */
  port?: number;
}

/**
 * A number is a port of this machine (127.0.0.1): `/` is the states as JSON, `/metrics` as Prometheus reads them. Anything else is a file
 * that is rewritten, whole each time. @throws AIOT_USAGE (port in use), AIOT_FILE_NOT_WRITABLE
 */
export async function showStates(target: string): Promise<Shown> {
  return /^\d{1,5}$/.test(target) ? serve(Number(target)) : toFile(target);
}

async function serve(wanted: number): Promise<Shown> {
  let states: readonly RouteState[] = [];
  const server = createServer((request, response) => {
    const metrics = request.url === '/metrics';
    if (request.method !== 'GET' || (request.url !== '/' && !metrics)) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader('content-type', metrics ? 'text/plain; version=0.0.4' : 'application/json');
    response.end(metrics ? metricsText(states) : JSON.stringify({ routes: states }));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new AiotError('AIOT_USAGE', `cannot listen on 127.0.0.1:${wanted} (${systemCode(error)})`, {
          cause: error,
        }),
      );
    });
    server.listen(wanted, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : wanted,
    update(now) {
      states = now;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
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
  // The first write tells whether it can be written at all.
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
  received: 'Messages taken from the sources.',
  filtered: 'Messages that were not wanted.',
  duplicates: 'Messages seen before.',
  skipped: 'Messages left out because of an error of their own.',
  deadLettered: 'Messages put aside because of an error of their own.',
  retries: 'Messages written once more.',
} as const;

/** Prometheus' text format, version 0.0.4. */
export function metricsText(states: readonly RouteState[]): string {
  const lines: string[] = [];
  const metric = (name: string, type: string, help: string, values: [Record<string, string>, number][]) => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of values) {
      const text = Object.entries(labels).map(([label, of]) => `${label}="${labelValue(of)}"`);
      lines.push(`${name}{${text.join(',')}} ${value}`);
    }
  };
  for (const [field, help] of Object.entries(perRoute) as [keyof typeof perRoute, string][]) {
    const name = `aiot_route_${field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;
    metric(
      name,
      'counter',
      help,
      states.map((route) => [{ route: route.name }, route[field]]),
    );
  }
  metric(
    'aiot_route_pending',
    'gauge',
    'Messages taken and not safe elsewhere yet.',
    states.map((route) => [{ route: route.name }, route.pending]),
  );
  const sinks = states.flatMap((route) =>
    route.to.map((to) => [{ route: route.name, to: to.endpoint }, to] as const),
  );
  metric(
    'aiot_route_written_total',
    'counter',
    'Messages that a sink has.',
    sinks.map(([labels, to]) => [labels, to.written]),
  );
  metric(
    'aiot_route_sink_up',
    'gauge',
    '1 when the last write arrived.',
    sinks.map(([labels, to]) => [labels, to.state === 'connected' ? 1 : 0]),
  );
  metric(
    'aiot_route_spooled',
    'gauge',
    'Messages in the spool on disk.',
    sinks.flatMap(([labels, to]) =>
      to.spooled ? [[labels, to.spooled.messages] as [Record<string, string>, number]] : [],
    ),
  );
  return `${lines.join('\n')}\n`;
}
