import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { fakeDevice } from '../support/fake-device.js';
import { platformRoles, type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal, python } from '../support/real.js';
import { oneWave } from '../support/rollout.js';

type Family = {
  name: string;
  type: string;
  help: string;
  samples: [name: string, labels: Record<string, string>, value: number][];
};

const script = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
print(json.dumps([dict(name=f.name, type=f.type, help=f.documentation, samples=[(s.name, s.labels, s.value) for s in f.samples])
                  for f in read(sys.stdin.read())]))`;

describeReal('prometheus', 'the Prometheus parser on /metrics', () => {
  let own: TestPlatform;
  let text: string;
  let families: Map<string, Family>;
  const value = (name: string, labels: Record<string, string> = {}) => {
    for (const { samples } of families.values())
      for (const [found, has, is] of samples)
        if (found === name && Object.entries(labels).every(([key, want]) => has[key] === want)) return is;
    throw new Error(`no ${name} ${JSON.stringify(labels)}`);
  };

  beforeAll(async () => {
    own = await testPlatform();
    const identity = join(own.folder, 'dev');
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: identity });
    const device = await fakeDevice(own.platform.urls.mqtts, identity, 'dev');
    const say = (seq: number) =>
      device.client.publishAsync(
        'aiot/v1/dev/telemetry/s',
        JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq }),
        { qos: 1 },
      );
    await Promise.all(Array.from({ length: 50 }, (_, seq) => say(seq)));
    const { name, version, sequence } = await pushTiny(own.client, own.key);
    await own.client.rollouts.start(oneWave({ name, version, sequence }));
    await own.client.webhooks.add({ url: 'https://h.example/x', types: ['token.*'] });
    const dispatcher = new Agent({ connect: { ca: own.ca } });
    const answer = await request(`${own.platform.urls.http}/metrics`, {
      ...{ dispatcher, headers: { authorization: `Bearer ${own.token}` } },
    });
    expect(answer.headers['content-type']).toContain('version=0.0.4');
    text = await answer.body.text();
    await dispatcher.destroy();
    await device.client.endAsync(true);
    const { status, stdout, stderr } = spawnSync(python('prometheus'), ['-c', script], { input: text });
    expect([status, String(stderr)]).toEqual([0, '']);
    families = new Map((JSON.parse(String(stdout)) as Family[]).map((family) => [family.name, family]));
  }, 30_000);
  afterAll(() => own?.stop());

  it('finds each line in a family with a type and a description', () => {
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const all = [...families.values()];
    expect(all.flatMap(({ samples }) => samples)).toHaveLength(lines.length);
    for (const { name, type, help } of all) {
      expect(['counter', 'gauge', 'histogram'], name).toContain(type);
      expect(help, name).toMatch(/^[A-Z].*\.$/);
    }
  });

  it('finds standard names: counters end in _total, durations in _seconds', () => {
    const names = [...families.keys()];
    for (const { type, samples } of families.values())
      if (type === 'counter') for (const [name] of samples) expect(name).toMatch(/_total$/);
    expect(names.filter((name) => /(_ms|_milliseconds|_mb|_kb|_minutes)\b/i.test(name))).toEqual([]);
    for (const name of names.filter((name) => /duration|lag$|time$/.test(name)))
      expect(['aiot_relay_events_lag']).toSatisfy(
        (known: string[]) => known.includes(name) || name.endsWith('_seconds'),
      );
  });

  it('finds disk metrics: syncs by part, and messages per commit', () => {
    const syncs = value('aiot_sync_duration_seconds_count', { part: 'journal' });
    const records = value('aiot_commit_records_sum', { log: 'journal' });
    const commits = value('aiot_commit_records_count', { log: 'journal' });
    expect(records).toBe(50);
    expect(commits).toBeGreaterThan(0);
    expect(commits).toBeLessThanOrEqual(records);
    expect(syncs).toBeGreaterThanOrEqual(commits);
    expect(value('aiot_sync_duration_seconds_sum', { part: 'journal' })).toBeGreaterThan(0);
    expect(value('aiot_sync_duration_seconds_count', { part: 'blobs' })).toBeGreaterThan(0);
    expect(value('aiot_commit_duration_seconds_bucket', { log: 'journal', le: '+Inf' })).toBe(commits);
    expect(value('aiot_commit_backlog_records', { log: 'telemetry' })).toBe(0);
  });

  it('finds histogram buckets that never decrease', () => {
    for (const { name, type, samples } of families.values()) {
      if (type !== 'histogram') continue;
      const series = new Map<string, number[]>();
      for (const [sample, { le, ...labels }, is] of samples)
        if (sample.endsWith('_bucket')) {
          const key = JSON.stringify(labels);
          series.set(key, [...(series.get(key) ?? []), is]);
          expect(le, name).toBeDefined();
        }
      for (const values of series.values()) expect(values, name).toEqual([...values].sort((a, b) => a - b));
    }
  });

  it('finds the broker, rollouts by state, webhooks and their backlog', () => {
    expect(value('aiot_devices_online')).toBe(1);
    expect(value('aiot_mqtt_clients')).toBe(1);
    expect(value('aiot_mqtt_sessions', { connected: 'true' })).toBe(1);
    expect(value('aiot_mqtt_received_total')).toBeGreaterThanOrEqual(50);
    expect(value('aiot_mqtt_received_bytes_total')).toBeGreaterThan(50 * 50);
    expect(value('aiot_mqtt_sent_total')).toBeGreaterThan(0);
    expect(value('aiot_mqtt_dropped_total')).toBe(0);
    expect(value('aiot_rollouts', { state: 'running' })).toBe(1);
    expect(value('aiot_rollouts', { state: 'failed' })).toBe(0);
    expect(value('aiot_webhooks', { state: 'well' })).toBe(1);
    expect(value('aiot_webhook_backlog_events')).toBeGreaterThanOrEqual(0);
    expect(value('aiot_jobs', { state: 'queued' })).toBe(0);
    for (const role of platformRoles) expect(value('aiot_leader', { role })).toBe(1);
  });
});
