import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { otlpOptionsOf } from '../../src/lib/core/otlp-options.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { freePort } from '../support/free-port.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal, otelCollector } from '../support/real.js';

interface Span {
  traceId: string;
  name: string;
  parentSpanId?: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: string } }[];
}

interface Metric {
  name: string;
  sum?: object;
  gauge?: object;
  histogram?: { dataPoints: { count?: string }[] };
}

describeReal('otel-collector', 'the OpenTelemetry collector', () => {
  let folder: string;
  let collector: ChildProcess;
  let own: TestPlatform;
  let output = '';
  const received = async (signal: string) =>
    (await readFile(join(folder, `${signal}.json`), 'utf8').catch(() => ''))
      .split('\n')
      // The collector may still write the last line.
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  const spans = async (): Promise<Span[]> =>
    (await received('traces')).flatMap(({ resourceSpans }) =>
      resourceSpans.flatMap((one: { scopeSpans: { spans: Span[] }[] }) =>
        one.scopeSpans.flatMap(({ spans: all }) => all),
      ),
    );

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-collector-'));
    const port = await freePort();
    const exporters = ['traces', 'metrics', 'logs'].map(
      (signal) => `  file/${signal}: { path: ${join(folder, signal)}.json, flush_interval: 100ms }`,
    );
    const pipelines = ['traces', 'metrics', 'logs'].map(
      (signal) => `    ${signal}: { receivers: [otlp], exporters: [file/${signal}] }`,
    );
    const config = [
      ...['receivers:', '  otlp:', '    protocols:', '      http:', `        endpoint: 127.0.0.1:${port}`],
      ...['exporters:', ...exporters],
      ...['service:', '  telemetry: { metrics: { level: none } }', '  pipelines:', ...pipelines],
    ];
    await writeFile(join(folder, 'config.yaml'), `${config.join('\n')}\n`);
    collector = spawn(otelCollector, ['--config', `file:${join(folder, 'config.yaml')}`]);
    collector.stderr?.on('data', (text) => {
      output += text;
    });
    for (let waited = 0; !output.includes('Everything is ready'); waited += 50) {
      if (waited > 60_000 || collector.exitCode !== null) throw new Error(`it does not start: ${output}`);
      await delay(50);
    }
    const otlp = await otlpOptionsOf(`http://127.0.0.1:${port}`, {
      ...{ OTEL_BSP_SCHEDULE_DELAY: '50', OTEL_METRIC_EXPORT_INTERVAL: '500', OTEL_SERVICE_NAME: 'plant' },
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    });
    own = await testPlatform({ otlp: otlp ?? undefined, log: () => {} });
    await provisionDevice({
      client: own.client,
      name: 'press',
      type: 'virtual',
      out: join(own.folder, 'press'),
    });
  }, 40_000);
  afterAll(async () => {
    await own?.stop();
    if (collector?.exitCode === null) {
      const gone = once(collector, 'exit');
      collector.kill('SIGTERM');
      await gone;
    }
    await rm(folder, { recursive: true, force: true });
  });

  it('receives the trace of a message with its IDs, times and attributes', async () => {
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'), {
      protocolVersion: 5,
    });
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    await device.publishAsync('aiot/v1/press/telemetry/imu', JSON.stringify({ t: Date.now(), x: 1 }), {
      qos: 1,
      properties: { userProperties: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } },
    });
    const mine = async () => (await spans()).filter((span) => span.traceId === traceId);
    await expect.poll(async () => (await mine()).length, { timeout: 10_000 }).toBe(2);
    const all = await mine();
    const root = all.find(({ name }) => name === 'receive telemetry');
    expect(root).toMatchObject({ parentSpanId: '00f067aa0ba902b7', kind: 5 });
    expect(root?.attributes).toContainEqual({
      key: 'messaging.destination.name',
      value: { stringValue: 'aiot/v1/press/telemetry/imu' },
    });
    expect(all.find(({ name }) => name === 'store')).toMatchObject({ traceId });
    const [{ resourceSpans }] = await received('traces');
    expect(resourceSpans[0].resource.attributes).toContainEqual({
      key: 'service.name',
      value: { stringValue: 'plant' },
    });
    await device.endAsync(true);
  });

  it('receives every family of /metrics, with histograms, and the log', async () => {
    const latest = async () => {
      const { resourceMetrics } = (await received('metrics')).at(-1) ?? { resourceMetrics: [] };
      const metrics: Metric[] = resourceMetrics[0]?.scopeMetrics[0]?.metrics ?? [];
      return new Map(metrics.map((metric) => [metric.name, metric]));
    };
    const stored = async () =>
      (await latest()).get('aiot_ingest_duration_seconds')?.histogram?.dataPoints[0]?.count;
    await expect.poll(stored, { timeout: 10_000 }).toBe('1');
    const by = await latest();
    expect(by.get('aiot_mqtt_received_total')?.sum).toMatchObject({
      ...{ aggregationTemporality: 2, isMonotonic: true },
    });
    expect(by.get('aiot_devices')?.gauge).toMatchObject({ dataPoints: [{ asDouble: 1 }] });
    expect(by.get('aiot_ingest_duration_seconds')?.histogram?.dataPoints[0]).toMatchObject({
      ...{ count: '1', bucketCounts: expect.any(Array), explicitBounds: expect.any(Array) },
    });
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'));
    await device.publishAsync('aiot/v1/press/telemetry/imu', 'not JSON', { qos: 1 });
    await expect
      .poll(async () => JSON.stringify(await received('logs')), { timeout: 10_000 })
      .toContain('"severityText":"WARN"');
    await device.endAsync(true);
  });

  it('is reported as unreachable once it has ended, and nothing waits for it', async () => {
    const gone = once(collector, 'exit');
    collector.kill('SIGTERM');
    await gone;
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'));
    for (let x = 0; x < 20; x++)
      await device.publishAsync('aiot/v1/press/telemetry/imu', JSON.stringify({ t: Date.now(), x }), {
        qos: 1,
      });
    await expect
      .poll(async () => (await own.client.status()).warnings.map(({ message }) => message).join('\n'), {
        timeout: 10_000,
      })
      .toMatch(/is unreachable \(ECONNREFUSED\)/);
    await device.endAsync(true);
  });
});
