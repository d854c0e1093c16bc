import type { Logger } from 'pino';
import { aiotVersion } from '../core/folders.js';
import { maskSecrets } from '../core/mask.js';
import { OtlpExporter, type OtlpFigures } from '../core/otlp.js';
import type { LogRecord } from '../core/otlp-json.js';
import type { OtlpOptions } from '../core/otlp-options.js';
import type { Exposition, MetricFamily } from '../core/prometheus.js';
import { samplerOf, Tracer } from '../core/trace.js';
import { MessageTraces, messageTracesPerSecond } from './traces.js';

/** The platform's own telemetry: traces, metrics and logs, sent to a collector by OTLP. */
export class Otlp {
  readonly tracer: Tracer | undefined;
  readonly messages: MessageTraces | undefined;
  private readonly exporter: OtlpExporter;
  private source: (() => Promise<readonly MetricFamily[]>) | undefined;
  private readonly logger: { log?: Logger } = {};

  constructor(options: OtlpOptions) {
    const { targets, sampler, ratio, isSamplerGiven } = options;
    this.exporter = new OtlpExporter({
      ...options,
      version: aiotVersion(),
      started: Date.now() - performance.now(),
      metrics: async () => (await this.source?.()) ?? [],
      onState: (trouble) => {
        const { log } = this.logger;
        if (trouble === null) log?.info('the collector accepts telemetry again');
        else log?.warn({ collector: trouble }, 'the collector does not accept telemetry');
      },
    });
    if (!targets.traces || sampler === 'always_off') return;
    this.tracer = new Tracer(samplerOf(sampler, ratio), (span) => this.exporter.span(span));
    const most = isSamplerGiven ? Number.POSITIVE_INFINITY : messageTracesPerSecond;
    this.messages = new MessageTraces(this.tracer, most);
  }

  /** @param log receives changes of the collector's state */
  start(log: Logger): this {
    this.logger.log = log;
    this.exporter.start();
    return this;
  }

  /** Sets how the metrics are collected. */
  measure(source: () => Promise<readonly MetricFamily[]>): void {
    this.source = source;
  }

  /** Sends a line of the platform's log. */
  line(line: string): void {
    const record = recordOf(line);
    if (record) this.exporter.log(record);
  }

  /** Why the collector does not accept telemetry, and what was lost because of it; null = nothing was lost, and it does. */
  trouble(): string | null {
    const lost = Object.values(this.exporter.figures()).reduce(
      (sum, { dropped, failed }) => sum + dropped + failed,
      0,
    );
    const reason = this.exporter.trouble();
    if (reason === null) return null;
    return `${reason}; ${lost} spans, log lines and samples were lost since the start`;
  }

  tell(out: Exposition): void {
    const figures = Object.entries(this.exporter.figures());
    const family = (
      type: 'counter' | 'gauge',
      name: string,
      help: string,
      of: (one: OtlpFigures) => number,
    ) =>
      out.family(
        type,
        name,
        help,
        figures.map(([signal, one]) => [{ signal }, of(one)]),
      );
    family('counter', 'aiot_otlp_sent_total', 'Items that the collector accepted.', ({ sent }) => sent);
    family(
      'counter',
      'aiot_otlp_dropped_total',
      'Items that did not fit into the queue.',
      ({ dropped }) => dropped,
    );
    family(
      'counter',
      'aiot_otlp_failed_total',
      'Items that the collector rejected or did not receive.',
      ({ failed }) => failed,
    );
    family('gauge', 'aiot_otlp_queued', 'Items that wait to be sent.', ({ waiting }) => waiting);
  }

  close(): Promise<void> {
    return this.exporter.close();
  }
}

/** Converts a line of pino's log; null if it is not one. Nested values become JSON text. */
function recordOf(line: string): LogRecord | null {
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(line);
  } catch {
    return null;
  }
  const { level, time, msg = '', err, ...rest } = parsed;
  if (typeof level !== 'number' || typeof time !== 'number') return null;
  const { type, message, stack } = (err ?? {}) as Record<string, unknown>;
  const exception = err && {
    'exception.type': textOf(type),
    'exception.message': textOf(message),
    'exception.stacktrace': textOf(stack),
  };
  const attributes = Object.fromEntries(
    Object.entries({ ...rest, ...(exception || {}) }).flatMap(([name, value]) =>
      value === undefined || value === null
        ? []
        : [[name, typeof value === 'number' || typeof value === 'boolean' ? value : textOf(value)]],
    ),
  );
  return { time, level, message: maskSecrets(String(msg)), attributes };
}

function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  return maskSecrets(typeof value === 'string' ? value : JSON.stringify(value));
}
