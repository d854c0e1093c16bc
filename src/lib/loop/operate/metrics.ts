import { labelValue } from '../../core/index.js';
import type { LoopStatus } from '../status.js';
import { healthOf } from './health.js';

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
