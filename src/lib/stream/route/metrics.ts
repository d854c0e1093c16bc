import { createServer } from 'node:http';
import { AiotError, labelValue, systemCode, writeJsonAtomic } from '../../core/index.js';
import type { RouteState } from './types.js';

/** Where states are shown to other programs. */
export interface Shown {
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
