import { AiotError } from '../../core/errors.js';
import { aiotVersion } from '../../core/folders.js';
import { ListenFailure, type Page, servePages } from '../../core/http-pages.js';
import { Exposition, type Labels } from '../../core/prometheus.js';
import type { LoopMonitor, LoopStatus } from '../status.js';
import { healthOf } from './state.js';

export interface Pages {
  /** Address on which the server listens, such as `127.0.0.1:9898`. */
  at: string;
  close(): Promise<void>;
}

/**
 * `/healthz` (200 or 503, with the reasons), `/metrics` for Prometheus, `/status` as JSON. Read-only. Anyone who can reach the port
 * can read it, so it listens on localhost unless a host is given.
 * @param listen `PORT`, `HOST:PORT` or `[::]:PORT`; port 0 picks any free one
 * @throws AIOT_USAGE, AIOT_PORT_IN_USE
 */
export async function serveLoop(listen: string, monitor: LoopMonitor): Promise<Pages> {
  const { host, port } = placeOf(listen);
  const served = await servePages({ host, port }, ({ method, path }) =>
    method === 'GET' || method === 'HEAD'
      ? pageOf(path, monitor.status())
      : { status: 405, type: 'text/plain', body: 'GET only\n' },
  ).catch((error: unknown) => {
    throw notListening(listen, error);
  });
  return { at: `${host.includes(':') ? `[${host}]` : host}:${served.port}`, close: served.close };
}

function pageOf(path: string, status: LoopStatus): Page {
  if (path === '/healthz') {
    const { healthy, reasons } = healthOf(status);
    const body = { status: healthy ? 'ok' : 'not ok', reasons, loop: status.name, version: aiotVersion() };
    return { status: healthy ? 200 : 503, type: 'application/json', body: `${JSON.stringify(body)}\n` };
  }
  if (path === '/metrics')
    return { type: 'text/plain; version=0.0.4; charset=utf-8', body: loopMetrics(status) };
  if (path === '/status') return { type: 'application/json', body: `${JSON.stringify(status)}\n` };
  return { status: 404, type: 'text/plain', body: '/healthz /metrics /status\n' };
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
  if (!(cause instanceof ListenFailure)) throw cause;
  const { code } = cause;
  const taken = code === 'EADDRINUSE';
  return new AiotError(
    taken ? 'AIOT_PORT_IN_USE' : 'AIOT_USAGE',
    taken ? `another program is already listening on ${listen}` : `cannot listen on ${listen} (${code})`,
    { cause },
  );
}

type Value = number | boolean | null;

type Row = readonly [labels: Labels, value: Value];

/** A loop's state in Prometheus' text format, version 0.0.4. Unknown values are omitted. Times are in seconds, as Prometheus recommends. */
export function loopMetrics(status: LoopStatus): string {
  const { sensor, model, latencyMs, outputs } = status;
  const text = new Exposition();
  const family = (type: 'counter' | 'gauge', name: string, help: string, rows: readonly Row[]) => {
    const known = rows.filter(([, value]) => value !== null);
    const samples = known.map(
      ([labels, value]) => [{ loop: status.name, ...labels }, Number(value)] as const,
    );
    text.family(type, `aiot_loop_${name}`, help, samples);
  };
  const gauge = (name: string, help: string, value: Value, labels: Labels = {}) =>
    family('gauge', name, help, [[labels, value]]);
  const counter = (name: string, help: string, value: Value) =>
    family('counter', `${name}_total`, help, [[{}, value]]);

  gauge('healthy', '1 when samples arrive and a model is loaded for them.', healthOf(status).healthy);
  gauge('start_time_seconds', 'Start time of the loop, since 1970.', status.startedAt / 1000);
  gauge('resident_memory_bytes', 'Memory of the process.', Math.round(status.rssMb * 1e6));
  gauge('sensor_connected', '1 while samples arrive.', sensor.connected, { sensor: sensor.endpoint });
  counter('samples', 'Samples received.', sensor.samples);
  counter('samples_lost', 'Samples known to be missing.', sensor.lost);
  counter('gaps', 'Gaps in the times of samples.', sensor.gaps);
  counter('sensor_overruns', 'Buffer overruns.', sensor.overruns);
  counter('sensor_retries', 'Bus transactions that were retried.', sensor.retries);
  counter('sensor_reconnects', 'Reconnections of the sensor.', sensor.reconnects);
  gauge('sample_rate_hertz', 'Measured sample rate.', sensor.rateHz);
  gauge(
    'sample_jitter_p99_seconds',
    '99th percentile of the deviation of sample intervals from their mean.',
    seconds(sensor.jitterP99Ms),
  );
  gauge(
    'last_sample_timestamp_seconds',
    'Time of the last sample, since 1970.',
    seconds(sensor.lastSampleAt),
  );
  counter('windows', 'Complete windows.', status.windows);
  counter('predictions', 'Predictions of the model.', status.predictions);
  gauge(
    'latency_p50_seconds',
    'Median time from the last sample of a window to its prediction.',
    seconds(latencyMs?.p50),
  );
  gauge(
    'latency_p99_seconds',
    '99th percentile of the time from the last sample of a window to its prediction.',
    seconds(latencyMs?.p99),
  );
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
    counter('model_swaps', 'Number of times that the model was replaced.', model.swaps);
    gauge('models_refused', 'Number of models that were tried and rejected.', model.refused.length);
  }
  // Each row also has a number, because two outputs may have the same address.
  const each = (pick: (output: LoopStatus['outputs'][number]) => Value): Row[] =>
    outputs.map((output, index) => [{ output: String(index), endpoint: output.endpoint }, pick(output)]);
  family(
    'gauge',
    'output_connected',
    '1 when the last write succeeded.',
    each(({ connected }) => connected),
  );
  family(
    'counter',
    'output_sent_total',
    'Predictions delivered.',
    each(({ sent }) => sent),
  );
  family(
    'gauge',
    'output_waiting',
    'Predictions waiting on disk or in transit.',
    each(({ waiting }) => waiting),
  );
  family(
    'counter',
    'output_dropped_total',
    'Predictions dropped at a limit, or rejected.',
    each(({ dropped }) => dropped),
  );
  return text.text();
}

const seconds = (ms: number | null | undefined): number | null => (ms == null ? null : ms / 1000);
