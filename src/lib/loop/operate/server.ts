import { createServer, type ServerResponse } from 'node:http';
import { AiotError, systemCode } from '../../core/errors.js';
import { aiotVersion } from '../../core/folders.js';
import { labelValue } from '../../core/text.js';
import type { LoopMonitor, LoopStatus } from '../status.js';
import { healthOf } from './state.js';

export interface Pages {
  /** Where it listens: `127.0.0.1:9898`. */
  at: string;
  close(): Promise<void>;
}

/**
 * `/healthz` (200 or 503, with the reasons), `/metrics` for Prometheus, `/status` as JSON. Tells and changes nothing; whom the port is open
 * to sees it, so it is this machine's alone unless a host is named.
 * @param listen `PORT`, `HOST:PORT` or `[::]:PORT`; port 0 takes any free one
 * @throws AIOT_USAGE, AIOT_PORT_IN_USE
 */
export async function servePages(listen: string, monitor: LoopMonitor): Promise<Pages> {
  const { host, port } = placeOf(listen);
  const server = createServer({ headersTimeout: 5000, requestTimeout: 5000, keepAliveTimeout: 5000 });
  server.maxConnections = 32;
  server.on('request', (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '';
    if (request.method !== 'GET' && request.method !== 'HEAD')
      answer(response, 405, 'text/plain', 'GET only\n');
    else page(path, monitor, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(notListening(listen, cause)));
    server.listen(port, host, resolve);
  });
  // What goes wrong with one connection is its own.
  server.on('error', () => {});
  const at = server.address();
  const bound = typeof at === 'object' && at ? at.port : port;
  return {
    at: `${host.includes(':') ? `[${host}]` : host}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function page(path: string, monitor: LoopMonitor, response: ServerResponse): void {
  const status = monitor.status();
  if (path === '/healthz') {
    const { healthy, reasons } = healthOf(status);
    const body = { status: healthy ? 'ok' : 'not ok', reasons, loop: status.name, version: aiotVersion() };
    answer(response, healthy ? 200 : 503, 'application/json', `${JSON.stringify(body)}\n`);
  } else if (path === '/metrics') {
    answer(response, 200, 'text/plain; version=0.0.4; charset=utf-8', loopMetrics(status));
  } else if (path === '/status') {
    answer(response, 200, 'application/json', `${JSON.stringify(status)}\n`);
  } else {
    answer(response, 404, 'text/plain', '/healthz /metrics /status\n');
  }
}

function answer(response: ServerResponse, code: number, type: string, body: string): void {
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}

function placeOf(listen: string): { host: string; port: number } {
  const [, bracketed, plain, digits] = /^(?:(?:\[([\da-f:.]+)\]|([\w.-]*)):)?(\d{1,5})$/i.exec(listen) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) {
    throw new AiotError('AIOT_USAGE', `--listen: expected PORT or HOST:PORT, got "${listen}"`);
  }
  return { host: bracketed ?? (plain || '127.0.0.1'), port };
}

function notListening(listen: string, cause: unknown): AiotError {
  const code = systemCode(cause) ?? 'unknown error';
  const taken = code === 'EADDRINUSE';
  return new AiotError(
    taken ? 'AIOT_PORT_IN_USE' : 'AIOT_USAGE',
    taken ? `another program listens on ${listen}` : `cannot listen on ${listen} (${code})`,
    { cause },
  );
}

type Labels = Readonly<Record<string, string>>;

type Value = number | boolean | null;

type Row = readonly [labels: Labels, value: Value];

/** A loop's state in Prometheus' text format, version 0.0.4; what is not known is left out. Times in seconds, as is usual there. */
export function loopMetrics(status: LoopStatus): string {
  const { sensor, model, latencyMs, outputs } = status;
  const lines: string[] = [];
  const family = (type: 'counter' | 'gauge', name: string, help: string, rows: readonly Row[]) => {
    const known = rows.filter(([, value]) => value !== null);
    if (known.length === 0) return;
    const full = `aiot_loop_${name}`;
    lines.push(`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`);
    for (const [labels, value] of known) {
      const all = Object.entries({ loop: status.name, ...labels });
      lines.push(`${full}{${all.map(([of, is]) => `${of}="${labelValue(is)}"`).join(',')}} ${Number(value)}`);
    }
  };
  const gauge = (name: string, help: string, value: Value, labels: Labels = {}) =>
    family('gauge', name, help, [[labels, value]]);
  const counter = (name: string, help: string, value: Value) =>
    family('counter', `${name}_total`, help, [[{}, value]]);

  gauge('healthy', '1 when samples come and there is a model for them.', healthOf(status).healthy);
  gauge('start_time_seconds', 'When the loop began, since 1970.', status.startedAt / 1000);
  gauge('resident_memory_bytes', 'Memory of the process.', Math.round(status.rssMb * 1e6));
  gauge('sensor_connected', '1 while samples come.', sensor.connected, { sensor: sensor.endpoint });
  counter('samples', 'Samples that came.', sensor.samples);
  counter('samples_lost', 'Samples that are known to be missing.', sensor.lost);
  counter('gaps', 'Gaps in the times of samples.', sensor.gaps);
  counter('sensor_overruns', 'Times that a buffer ran over.', sensor.overruns);
  counter('sensor_retries', 'Bus transactions that were tried again.', sensor.retries);
  counter('sensor_reconnects', 'Times that the sensor was gone and came back.', sensor.reconnects);
  gauge('sample_rate_hertz', 'Measured.', sensor.rateHz);
  gauge(
    'sample_jitter_p99_seconds',
    '99 of 100 distances between samples are as near to their mean.',
    seconds(sensor.jitterP99Ms),
  );
  gauge(
    'last_sample_timestamp_seconds',
    'When the last sample came, since 1970.',
    seconds(sensor.lastSampleAt),
  );
  counter('windows', 'Windows that were full.', status.windows);
  counter('predictions', 'Answers of the model.', status.predictions);
  gauge(
    'latency_p50_seconds',
    'From the last sample of a window to its answer, median.',
    seconds(latencyMs?.p50),
  );
  gauge('latency_p99_seconds', 'The same, of which 99 of 100 are shorter.', seconds(latencyMs?.p99));
  if (model) {
    const { name, version, digest, source, delegate } = model;
    const labels = {
      model: name,
      version: version === null ? '' : String(version),
      digest,
      source,
      delegate,
    };
    gauge('model_info', 'The model in use.', 1, labels);
    counter('model_swaps', 'Times that a model was put in place of another.', model.swaps);
    gauge('models_refused', 'Models that were tried and not used.', model.refused.length);
  }
  // Two may have one address.
  const each = (pick: (output: LoopStatus['outputs'][number]) => Value): Row[] =>
    outputs.map((output, index) => [{ output: String(index), endpoint: output.endpoint }, pick(output)]);
  family(
    'gauge',
    'output_connected',
    '1 when the last write arrived.',
    each(({ connected }) => connected),
  );
  family(
    'counter',
    'output_sent_total',
    'Answers that arrived.',
    each(({ sent }) => sent),
  );
  family(
    'gauge',
    'output_waiting',
    'Answers on disk or on their way.',
    each(({ waiting }) => waiting),
  );
  family(
    'counter',
    'output_dropped_total',
    'Answers thrown away at a limit, or refused.',
    each(({ dropped }) => dropped),
  );
  return `${lines.join('\n')}\n`;
}

const seconds = (ms: number | null | undefined): number | null => (ms == null ? null : ms / 1000);
