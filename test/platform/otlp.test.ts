import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { Agent, request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { statusSchema } from '../../src/lib/api/api.js';
import { otlpOptionsOf } from '../../src/lib/core/otlp-options.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { loadRoutes } from '../../src/lib/stream/route/load.js';
import { runRoutes } from '../../src/lib/stream/route/run.js';
import { pushTiny } from '../support/bundle.js';
import { attribute, type FakeCollector, fakeCollector, type ReceivedSpan } from '../support/collector.js';
import { fakeDevice } from '../support/fake-device.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

let collector: FakeCollector;
let own: TestPlatform;
let agent: Agent;
const environment = {
  ...{ OTEL_BSP_SCHEDULE_DELAY: '50', OTEL_METRIC_EXPORT_INTERVAL: '200', OTEL_EXPORTER_OTLP_TIMEOUT: '500' },
};
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const parent = (flags = '01', id = traceId) => `00-${id}-${parentId}-${flags}`;
const ask = (path: string, headers: Record<string, string> = {}) =>
  request(`${own.platform.urls.http}${path}`, {
    ...{ dispatcher: agent, headers: { authorization: `Bearer ${own.token}`, ...headers } },
  });
const named = (name: string) => collector.spans().filter((span) => span.name === name);
const send = (client: MqttClient, x: number, traceparent?: string) =>
  client.publishAsync(`aiot/v1/press/telemetry/imu`, JSON.stringify({ t: Date.now(), x }), {
    qos: 1,
    ...(traceparent && { properties: { userProperties: { traceparent, other: 'kept' } } }),
  });

beforeAll(async () => {
  collector = await fakeCollector();
  const otlp = (await otlpOptionsOf(collector.url, environment)) ?? undefined;
  own = await testPlatform({ otlp, log: () => {} });
  agent = new Agent({ connect: { ca: own.ca } });
  await provisionDevice({
    client: own.client,
    name: 'press',
    type: 'virtual',
    out: join(own.folder, 'press'),
  });
}, 30_000);
afterAll(async () => {
  await agent.destroy();
  await own.stop();
  await collector.close();
});
afterEach(() => {
  collector.answer = { status: 200, body: {} };
});

describe('the API', () => {
  it('continues the trace of a client, and records method, route and status', async () => {
    const id = 'a'.repeat(32);
    await (await ask('/api/v1/devices/press?x=1', { traceparent: parent('01', id) })).body.dump();
    const own = () => collector.spans().find(({ traceId: found }) => found === id);
    await collector.until(() => own() !== undefined);
    const span = own()!;
    expect(span).toMatchObject({ name: 'GET /api/v1/devices/:name', kind: 2, parentSpanId: parentId });
    expect(attribute(span, 'http.response.status_code')).toBe('200');
    expect(attribute(span, 'url.path')).toBe('/api/v1/devices/press');
  });

  it('does not record a request whose caller does not record it, nor the requests of monitors', async () => {
    const [unsampled, later] = ['b'.repeat(32), 'c'.repeat(32)];
    await (await ask('/api/v1/status', { traceparent: parent('00', unsampled) })).body.dump();
    await (await ask('/metrics', { traceparent: parent('01', 'd'.repeat(32)) })).body.dump();
    await (await ask('/api/v1/status', { traceparent: parent('01', later) })).body.dump();
    await collector.until(() => collector.spans().some((span) => span.traceId === later));
    const ids = collector.spans().map((span) => span.traceId);
    expect(ids).not.toContain(unsampled);
    expect(ids).not.toContain('d'.repeat(32));
  });
});

describe('a message', () => {
  it('is traced from its arrival through a route to the alarm that it raises', async () => {
    const folder = join(own.folder, 'routes');
    await mkdir(folder, { recursive: true });
    const file = join(folder, 'routes.yaml');
    await writeFile(
      file,
      'routes:\n  copy:\n    from: aiot://stream/aiot/v1/+/telemetry/imu\n    to: aiot://stream/copies\n',
    );
    const stopping = new AbortController();
    const { streams, tracer } = own.platform;
    const running = runRoutes(await loadRoutes(file), {
      ...{ signal: stopping.signal, tracer },
      open: {
        source: () => streams.openSource('aiot/v1/+/telemetry/imu'),
        sink: () => streams.openSink('copies'),
      },
    });
    await own.client.alarms.create({ name: 'fast', where: 'x > 80' });
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'), {
      protocolVersion: 5,
    });
    const copies = await streams.openSource('copies');
    // The publisher's acknowledgment waits for all readers.
    const copied = (async () => {
      for await (const batch of copies)
        for (const delivery of batch) {
          delivery.ack();
          return delivery.message;
        }
      return undefined;
    })();
    await send(device, 90, parent());
    const spans = () => collector.spans().filter((span) => span.traceId === traceId);
    await collector.until(() => spans().length >= 4);
    const by = (name: string) => spans().find((span) => span.name === name) as ReceivedSpan;
    const received = by('receive telemetry');
    expect(received).toMatchObject({ parentSpanId: parentId, kind: 5 });
    expect(attribute(received, 'messaging.destination.name')).toBe('aiot/v1/press/telemetry/imu');
    for (const name of ['store', 'route copy', 'evaluate alarms'])
      expect(by(name), name).toMatchObject({ parentSpanId: received.spanId });
    expect(attribute(by('evaluate alarms'), 'aiot.alarms.raised')).toBe('fast');
    expect((await copied)?.headers).toEqual([
      ['other', 'kept'],
      ['traceparent', `00-${traceId}-${by('route copy').spanId}-01`],
    ]);
    await copies.close();
    stopping.abort();
    await running;
    await device.endAsync(true);
  });

  it('reaches subscribers with its properties unchanged, and an invalid traceparent begins a trace', async () => {
    const subscriber = await connect(own.platform.urls.mqtts, {
      ...{ username: 'u', password: own.token, ca: own.ca, protocolVersion: 5 },
    });
    await subscriber.subscribeAsync('aiot/v1/press/telemetry/#', { qos: 1 });
    const properties: unknown[] = [];
    subscriber.on('message', (_topic, _payload, packet) =>
      properties.push({ ...packet.properties?.userProperties }),
    );
    const [recorded, unrecorded] = ['e'.repeat(32), 'f'.repeat(32)];
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'), {
      protocolVersion: 5,
    });
    const before = named('receive telemetry').length;
    const sent = [parent('00', unrecorded), 'not a traceparent', parent('01', recorded)];
    for (const traceparent of sent) await send(device, 1, traceparent);
    await expect.poll(() => properties).toEqual(sent.map((traceparent) => ({ traceparent, other: 'kept' })));
    // The spans of its steps end earlier, and may arrive earlier.
    await collector.until(() => named('receive telemetry').some((span) => span.traceId === recorded));
    const [begun, continued] = named('receive telemetry').slice(before);
    expect(begun?.parentSpanId).toBeUndefined();
    expect(continued).toMatchObject({ traceId: recorded, parentSpanId: parentId });
    expect(collector.spans().map((span) => span.traceId)).not.toContain(unrecorded);
    await Promise.all([device.endAsync(true), subscriber.endAsync(true)]);
  });

  it('is not traced if more than a hundred arrive within a second', async () => {
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'));
    const before = named('receive telemetry').length;
    const begun = performance.now();
    await Promise.all(Array.from({ length: 1000 }, (_, x) => send(device, x % 10)));
    const seconds = Math.ceil((performance.now() - begun) / 1000) + 1;
    await collector.until(() => named('receive telemetry').length > before);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(named('receive telemetry').length - before).toBeLessThanOrEqual(100 * seconds);
    await device.endAsync(true);
  });
});

describe('a rollout', () => {
  it('is one trace of its waves and of the updates of its devices', async () => {
    const model = await pushTiny(own.client, own.key);
    const device = await fakeDevice(own.platform.urls.mqtts, join(own.folder, 'press'), 'press');
    const { name, version, sequence, digest } = model;
    const { id } = await own.client.rollouts.start(
      oneWave({ name, version, sequence, selector: 'name=press' }),
    );
    await device.heard(1);
    for (const state of ['DOWNLOADING', 'VERIFYING'] as const) await device.report(state);
    await device.report('COMMITTED', { model: { name, version, sequence, digest } });
    await rolloutEnd(own.client, id);
    await collector.until(() => named('rollout').length === 1);
    const [root] = named('rollout');
    const [wave] = named('rollout wave');
    const [update] = named('update device');
    expect([root?.traceId, wave?.traceId, update?.traceId]).toEqual([
      root?.traceId,
      root?.traceId,
      root?.traceId,
    ]);
    expect(root?.parentSpanId).toBeUndefined();
    expect(wave?.parentSpanId).toBe(root?.spanId);
    expect(update?.parentSpanId).toBe(wave?.spanId);
    expect(attribute(root, 'aiot.rollout')).toBe(id);
    expect(attribute(root, 'aiot.releases')).toBe(`model tiny@${version}`);
    expect(attribute(update, 'aiot.device')).toBe('press');
    expect(attribute(update, 'aiot.state')).toBe('committed');
    expect(update?.events?.map(({ name: step }) => step)).toEqual(
      expect.arrayContaining(['offered', 'committed']),
    );
    await device.client.endAsync(true);
  });
});

describe('metrics and logs', () => {
  it('sends the metrics of /metrics', async () => {
    const text = await (await ask('/metrics')).body.text();
    const families = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    collector.requests.length = 0;
    await collector.until(() => collector.requests.some(({ path }) => path === '/v1/metrics'));
    const { body } = collector.requests.find(({ path }) => path === '/v1/metrics')!;
    const { resourceMetrics } = body as {
      resourceMetrics: { scopeMetrics: { metrics: { name: string }[] }[] }[];
    };
    const names = resourceMetrics[0]?.scopeMetrics[0]?.metrics.map(({ name }) => name) ?? [];
    expect(names).toEqual(expect.arrayContaining(families));
    expect(names).toContain('aiot_ingest_duration_seconds');
  });

  it('sends the lines of the log', async () => {
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'));
    await device.publishAsync('aiot/v1/press/telemetry/imu', 'not JSON', { qos: 1 });
    const text = () =>
      JSON.stringify(collector.requests.filter(({ path }) => path === '/v1/logs').map(({ body }) => body));
    await collector.until(() => text().includes('aiot/v1/press/telemetry/imu'));
    expect(text()).toContain('"severityText":"WARN"');
    await device.endAsync(true);
  });

  it('shows in the status and the metrics what a collector that is down did not receive, and stores all messages', async () => {
    collector.answer = { status: 400 };
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'));
    const begun = performance.now();
    for (let x = 0; x < 20; x++) await send(device, x);
    expect(performance.now() - begun).toBeLessThan(5000);
    const warning = async () =>
      statusSchema.parse(await own.client.status()).warnings.find(({ about }) => about === 'otlp')?.message;
    await expect
      .poll(warning)
      .toMatch(
        new RegExp(`^${collector.url} responded with 400; [1-9]\\d* spans, log lines and samples were lost`),
      );
    // The warning may be about metrics, which are sent more often.
    await expect
      .poll(async () => (await ask('/metrics')).body.text())
      .toMatch(/^aiot_otlp_failed_total\{signal="traces"\} [1-9]/m);
    collector.answer = { status: 200, body: {} };
    await expect.poll(warning).toBeUndefined();
    await device.endAsync(true);
  });
});
