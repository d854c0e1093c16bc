import type { MetricFamily } from './prometheus.js';
import type { Attributes, SpanData } from './trace.js';

/** A line of a log. */
export interface LogRecord {
  /** ms since 1970 */
  time: number;
  /** As in pino: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal. */
  level: number;
  message: string;
  attributes: Attributes;
}

/** The sender of telemetry, which every request names. */
export interface Resource {
  attributes: Readonly<Record<string, string>>;
  /** Version of aiot. */
  version: string;
}

/**
 * Requests of OTLP/HTTP in JSON: the requests' Protobuf messages in proto3 JSON, except that IDs are hexadecimal and enumerations are numbers
 * (OTLP 1.9, "JSON Protobuf Encoding").
 */
export function tracesRequest(resource: Resource, spans: readonly SpanData[]): object {
  const scopeSpans = [{ scope: scopeOf(resource), spans: spans.map(spanOf) }];
  return { resourceSpans: [{ resource: resourceOf(resource), scopeSpans }] };
}

export function logsRequest(resource: Resource, logs: readonly LogRecord[]): object {
  const scopeLogs = [{ scope: scopeOf(resource), logRecords: logs.map(logOf) }];
  return { resourceLogs: [{ resource: resourceOf(resource), scopeLogs }] };
}

/** @param times start of the counters, and time of the samples, ms since 1970 */
export function metricsRequest(
  resource: Resource,
  families: readonly MetricFamily[],
  times: { start: number; now: number },
): object {
  const metrics = families.map((family) => metricOf(family, times));
  return {
    resourceMetrics: [
      { resource: resourceOf(resource), scopeMetrics: [{ scope: scopeOf(resource), metrics }] },
    ],
  };
}

const scopeOf = ({ version }: Resource) => ({ name: 'aiot', version });
const resourceOf = ({ attributes }: Resource) => ({ attributes: pairsOf(attributes) });

const kinds = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;
const failed = 2;

function spanOf({ traceId, spanId, parentSpanId, ...span }: SpanData) {
  return {
    ...{ traceId, spanId, ...(parentSpanId === undefined ? {} : { parentSpanId }) },
    ...{ name: span.name, kind: kinds[span.kind] },
    ...{ startTimeUnixNano: nanos(span.start), endTimeUnixNano: nanos(Math.max(span.start, span.end)) },
    attributes: pairsOf(span.attributes),
    ...(span.events && {
      events: span.events.map(({ name, at }) => ({ timeUnixNano: nanos(at), name })),
    }),
    ...(span.error !== undefined && { status: { code: failed, message: span.error } }),
  };
}

/** The severities of OpenTelemetry's log data model, by pino's levels. */
const severities: readonly (readonly [level: number, number: number, text: string])[] = [
  [60, 21, 'FATAL'],
  [50, 17, 'ERROR'],
  [40, 13, 'WARN'],
  [30, 9, 'INFO'],
  [20, 5, 'DEBUG'],
  [0, 1, 'TRACE'],
];

function logOf({ time, level, message, attributes }: LogRecord) {
  const [, severityNumber, severityText] = severities.find(([least]) => level >= least) ?? [0, 1, 'TRACE'];
  return {
    ...{ timeUnixNano: nanos(time), observedTimeUnixNano: nanos(time), severityNumber, severityText },
    ...{ body: { stringValue: message }, attributes: pairsOf(attributes) },
  };
}

const cumulative = 2;

function metricOf(family: MetricFamily, { start, now }: { start: number; now: number }) {
  const { name, help: description } = family;
  const at = { startTimeUnixNano: nanos(start), timeUnixNano: nanos(now) };
  if (family.type === 'histogram') {
    const dataPoints = family.samples.map(([labels, { counts, total, bounds }]) => ({
      ...{ ...at, attributes: pairsOf(labels) },
      ...{ count: String(counts.reduce((sum, count) => sum + count, 0)), sum: total },
      ...{ bucketCounts: counts.map(String), explicitBounds: bounds },
    }));
    return { name, description, histogram: { aggregationTemporality: cumulative, dataPoints } };
  }
  const dataPoints = family.samples.map(([labels = {}, value]) => ({
    ...{ ...at, attributes: pairsOf(labels), asDouble: value },
  }));
  if (family.type === 'gauge') return { name, description, gauge: { dataPoints } };
  const sum = { aggregationTemporality: cumulative, isMonotonic: true, dataPoints };
  return { name, description, sum };
}

function pairsOf(attributes: Attributes) {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValueOf(value) }],
  );
}

function anyValueOf(value: string | number | boolean) {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

/** Nanoseconds since 1970 as text, because a number cannot represent them exactly. */
function nanos(ms: number): string {
  const whole = Math.floor(ms);
  return `${whole}${String(Math.floor((ms - whole) * 1e6)).padStart(6, '0')}`;
}
