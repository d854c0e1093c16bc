import { afterEach, describe, expect, it } from 'vitest';
import { OtlpExporter } from '../../src/lib/core/otlp.js';
import { otlpOptionsOf } from '../../src/lib/core/otlp-options.js';
import { Exposition, Histogram } from '../../src/lib/core/prometheus.js';
import {
  formatTraceparent,
  parseTraceparent,
  type SpanData,
  samplerOf,
  Tracer,
} from '../../src/lib/core/trace.js';
import { type FakeCollector, fakeCollector } from '../support/collector.js';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
const collectorHere = async () => {
  const collector = await fakeCollector();
  closers.push(() => collector.close());
  return collector;
};
const quick = { OTEL_BSP_SCHEDULE_DELAY: '20', OTEL_METRIC_EXPORT_INTERVAL: '100' };
const exporterFor = async (
  { url }: Pick<FakeCollector, 'url'>,
  environment: Record<string, string> = {},
  more: Partial<ConstructorParameters<typeof OtlpExporter>[0]> = {},
) => {
  const options = await otlpOptionsOf(url, { ...quick, ...environment });
  const exporter = new OtlpExporter({
    ...options!,
    ...{ version: '1.2.3', started: 1000, metrics: async () => [], retryMs: 10 },
    ...more,
  });
  exporter.start();
  closers.push(() => exporter.close());
  return exporter;
};
const span = (name: string): SpanData => ({
  ...{ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), parentSpanId: 'c'.repeat(16) },
  ...{ name, kind: 'server', start: 1_700_000_000_000.25, end: 1_700_000_000_001.5 },
  attributes: { text: 'x', whole: 7, part: 0.5, yes: true, none: undefined },
});

describe('trace context', () => {
  it.each([
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', true],
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00', false],
    // A later version may append fields.
    ['cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-future', true],
  ])('reads %s', (text, sampled) => {
    const context = parseTraceparent(text)!;
    expect(context).toEqual({
      ...{ traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', sampled },
    });
    expect(formatTraceparent(context)).toBe(`00${text.slice(2, 55)}`);
  });

  it.each([
    ['', 'is empty'],
    ['00-00000000000000000000000000000000-00f067aa0ba902b7-01', 'has no trace ID'],
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01', 'has no span ID'],
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more', 'has more fields than its version'],
    ['ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'has a forbidden version'],
    ['00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01', 'has upper-case digits'],
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1', 'has short flags'],
  ])('ignores %j, which %s', (text) => {
    expect(parseTraceparent(text)).toBeNull();
  });
});

describe('samplers', () => {
  const traceId = 'f'.repeat(32);
  const parent = (sampled: boolean) => ({ traceId, spanId: 'b'.repeat(16), sampled });

  it('follow the parent only if they are named parentbased', () => {
    expect(samplerOf('parentbased_always_on', 1)(traceId, parent(false))).toBe(false);
    expect(samplerOf('parentbased_always_off', 1)(traceId, parent(true))).toBe(true);
    expect(samplerOf('always_on', 1)(traceId, parent(false))).toBe(true);
    expect(samplerOf('always_off', 1)(traceId, null)).toBe(false);
  });

  it('record the share of traces that was asked for', () => {
    let recorded = 0;
    const tracer = new Tracer(samplerOf('traceidratio', 0.25), () => {});
    for (let i = 0; i < 4000; i++) if (tracer.begin(() => 'x')) recorded++;
    // Five standard deviations of a binomial distribution.
    expect(Math.abs(recorded - 1000)).toBeLessThan(5 * Math.sqrt(4000 * 0.25 * 0.75));
  });

  it('give all replicas the same IDs for the same rollout', () => {
    const [one, two] = [0, 1].map(() => new Tracer(samplerOf('always_on', 1), () => {}));
    expect(one!.contextOf('rollout ro-1', 'wave 0')).toEqual(two!.contextOf('rollout ro-1', 'wave 0'));
    expect(one!.contextOf('rollout ro-1').traceId).toBe(one!.contextOf('rollout ro-1', 'wave 0').traceId);
    expect(one!.contextOf('rollout ro-1').spanId).not.toBe(one!.contextOf('rollout ro-1', 'wave 0').spanId);
  });
});

describe('settings from the environment', () => {
  it('send nothing without an endpoint, or if the SDK is disabled', async () => {
    expect(await otlpOptionsOf(undefined, {})).toBeNull();
    expect(await otlpOptionsOf(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' })).toBeNull();
    expect(await otlpOptionsOf('http://localhost:4318', { OTEL_SDK_DISABLED: 'true' })).toBeNull();
  });

  it('follow the specification', async () => {
    const options = await otlpOptionsOf(undefined, {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.example/base/',
      OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'https://logs.example/in',
      OTEL_EXPORTER_OTLP_HEADERS: 'Authorization=Bearer%20abc, x-tenant=a',
      OTEL_EXPORTER_OTLP_LOGS_HEADERS: 'x-tenant=b',
      OTEL_EXPORTER_OTLP_LOGS_TIMEOUT: '500',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=lab%20one,service.name=ignored',
      OTEL_SERVICE_NAME: 'plant',
      OTEL_TRACES_SAMPLER: 'traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.5',
      OTEL_BSP_MAX_QUEUE_SIZE: '100',
    });
    expect(options).toMatchObject({
      targets: {
        traces: {
          headers: { authorization: 'Bearer abc', 'x-tenant': 'a' },
          timeoutMs: 10_000,
        },
        logs: { headers: { authorization: 'Bearer abc', 'x-tenant': 'b' }, timeoutMs: 500 },
      },
      resource: { 'service.name': 'plant', 'deployment.environment.name': 'lab one' },
      ...{ gzip: true, sampler: 'traceidratio', ratio: 0.5, isSamplerGiven: true, metricsMs: 60_000 },
      queue: { size: 100, batch: 100, delayMs: 5000 },
    });
    expect(options?.targets.traces?.url.href).toBe('https://collector.example/base/v1/traces');
    expect(options?.targets.logs?.url.href).toBe('https://logs.example/in');
    expect(options?.targets.metrics).toBeUndefined();
  });

  it.each([
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_TRACES_EXPORTER', 'zipkin'],
    ['OTEL_TRACES_SAMPLER', 'xray'],
    ['OTEL_TRACES_SAMPLER_ARG', '2'],
    ['OTEL_EXPORTER_OTLP_COMPRESSION', 'zstd'],
    ['OTEL_EXPORTER_OTLP_TIMEOUT', '10s'],
    ['OTEL_BSP_SCHEDULE_DELAY', '-1'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'no pair'],
    ['OTEL_RESOURCE_ATTRIBUTES', 'a=%E0%A4%A'],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'collector:4318'],
  ])('reject %s=%s, and name the variable', async (name, value) => {
    await expect(otlpOptionsOf('http://localhost:4318', { [name]: value })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
      message: expect.stringContaining(name),
    });
  });

  it('reject credentials in the address without showing them', async () => {
    const error = await otlpOptionsOf('http://me:hunter2@localhost:4318', {}).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'AIOT_USAGE' });
    expect(`${error.message} ${error.next}`).not.toContain('hunter2');
  });
});

describe('sending', () => {
  it('sends spans with their times, attributes and resource, compressed if asked', async () => {
    const collector = await collectorHere();
    const exporter = await exporterFor(collector, {
      ...{ OTEL_SERVICE_NAME: 'plant', OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' },
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc',
    });
    exporter.span({ ...span('one'), error: 'broken', events: [{ name: 'half', at: 1_700_000_000_001 }] });
    await collector.until(() => collector.requests.length > 0);
    const [request] = collector.requests;
    expect(request!.headers).toMatchObject({ authorization: 'Bearer abc', 'content-encoding': 'gzip' });
    expect(request!.body).toEqual({
      resourceSpans: [
        {
          resource: {
            attributes: [
              { key: 'service.name', value: { stringValue: 'plant' } },
              { key: 'service.version', value: { stringValue: '1.2.3' } },
            ],
          },
          scopeSpans: [
            {
              scope: { name: 'aiot', version: '1.2.3' },
              spans: [
                {
                  ...{ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), parentSpanId: 'c'.repeat(16) },
                  ...{ name: 'one', kind: 2 },
                  startTimeUnixNano: '1700000000000250000',
                  endTimeUnixNano: '1700000000001500000',
                  attributes: [
                    { key: 'text', value: { stringValue: 'x' } },
                    { key: 'whole', value: { intValue: '7' } },
                    { key: 'part', value: { doubleValue: 0.5 } },
                    { key: 'yes', value: { boolValue: true } },
                  ],
                  events: [{ timeUnixNano: '1700000000001000000', name: 'half' }],
                  status: { code: 2, message: 'broken' },
                },
              ],
            },
          ],
        },
      ],
    });
  });

  it('sends counters, gauges and histograms as cumulative samples', async () => {
    const collector = await collectorHere();
    const out = new Exposition();
    out.counter('a_total', 'A.', 3);
    out.gauge('b', 'B.', 0.5, { room: 'x' });
    const histogram = new Histogram([1, 2]);
    for (const value of [0.5, 2, 9]) histogram.note(value);
    out.histogram('c_seconds', 'C.', [[{}, histogram]]);
    await exporterFor(collector, {}, { metrics: async () => out.families });
    await collector.until(() => collector.requests.some(({ path }) => path === '/v1/metrics'));
    const { resourceMetrics } = collector.requests[0]!.body as {
      resourceMetrics: { scopeMetrics: { metrics: Record<string, unknown>[] }[] }[];
    };
    expect(resourceMetrics[0]?.scopeMetrics[0]?.metrics).toMatchObject([
      {
        ...{ name: 'a_total', description: 'A.' },
        sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints: [{ asDouble: 3 }] },
      },
      {
        name: 'b',
        gauge: {
          dataPoints: [{ asDouble: 0.5, attributes: [{ key: 'room', value: { stringValue: 'x' } }] }],
        },
      },
      {
        name: 'c_seconds',
        histogram: {
          aggregationTemporality: 2,
          dataPoints: [{ count: '3', sum: 11.5, bucketCounts: ['1', '1', '1'], explicitBounds: [1, 2] }],
        },
      },
    ]);
  });

  it('drops and counts spans that do not fit, without waiting for a collector that does not respond', async () => {
    const collector = await collectorHere();
    collector.answer = 'hang';
    const exporter = await exporterFor(collector, {
      ...{ OTEL_BSP_MAX_QUEUE_SIZE: '10', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5' },
      OTEL_EXPORTER_OTLP_TIMEOUT: '200',
    });
    for (let i = 0; i < 100; i++) exporter.span(span('x'));
    expect(exporter.figures().traces).toMatchObject({ dropped: 90, waiting: 10 });
    await collector.until(() => exporter.trouble() !== null);
    expect(exporter.trouble()).toContain('did not respond in time');
  });

  it('repeats a request that the collector was too busy for, and reports the outage once', async () => {
    const collector = await collectorHere();
    const states: (string | null)[] = [];
    collector.answer = { status: 503 };
    const exporter = await exporterFor(collector, {}, { onState: (state) => states.push(state) });
    exporter.span(span('late'));
    await collector.until(() => states.length === 1);
    collector.answer = { status: 200 };
    await collector.until(() => collector.spans().length === 1);
    await collector.until(() => exporter.figures().traces?.sent === 1);
    expect(states).toEqual([`${collector.url} responded with 503`, null]);
    expect(exporter.figures().traces).toEqual({ sent: 1, dropped: 0, failed: 0, waiting: 0 });
  });

  it('does not repeat a request that the collector rejects, and counts rejected parts', async () => {
    const collector = await collectorHere();
    collector.answer = { status: 400 };
    const exporter = await exporterFor(collector);
    exporter.span(span('wrong'));
    await collector.until(() => exporter.figures().traces?.failed === 1);
    collector.answer = { status: 200, body: { partialSuccess: { rejectedSpans: '1' } } };
    exporter.span(span('one'));
    exporter.span(span('two'));
    await collector.until(() => exporter.figures().traces?.sent === 1);
    expect(exporter.figures().traces).toEqual({ sent: 1, dropped: 0, failed: 2, waiting: 0 });
  });

  it('sends what is waiting when it closes, but does not wait for an unreachable collector', async () => {
    const collector = await collectorHere();
    const slow = { OTEL_BSP_SCHEDULE_DELAY: '60000' };
    const exporter = await exporterFor(collector, slow);
    exporter.span(span('last'));
    await exporter.close();
    expect(collector.spans().map(({ name }) => name)).toEqual(['last']);
    const unreachable = await exporterFor({ url: 'http://127.0.0.1:1' }, slow);
    unreachable.span(span('lost'));
    const begun = performance.now();
    await unreachable.close();
    expect(performance.now() - begun).toBeLessThan(2500);
    expect(unreachable.figures().traces?.failed).toBe(1);
  });
});
