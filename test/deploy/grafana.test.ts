import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { renderDeployment } from '../../src/lib/deploy/render.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';
import { oneWave } from '../support/rollout.js';
import { loose } from './systems.js';

let own: TestPlatform;
let out: string;
const text = (path: string) => readFile(join(out, path), 'utf8');
/** Expressions of the alerts and of the dashboard. */
const expressions = async () => {
  const alerts = loose(parse(await text('rules.yaml'))).groups.flatMap(
    ({ rules }: { rules: { expr: string }[] }) => rules.map(({ expr }) => expr),
  );
  const panels = loose(JSON.parse(await text('dashboards/aiot.json'))).panels.flatMap(
    ({ targets = [] }: { targets?: { expr: string }[] }) => targets.map(({ expr }) => expr),
  );
  return { alerts: alerts as string[], panels: panels as string[] };
};

beforeAll(async () => {
  out = await mkdtemp(join(tmpdir(), 'aiot-grafana-'));
  await renderDeployment({ target: 'grafana', out });
  own = await testPlatform();
  await provisionDevice({
    client: own.client,
    name: 'press',
    type: 'virtual',
    out: join(own.folder, 'press'),
  });
  const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'press'));
  await device.publishAsync('aiot/v1/press/telemetry/imu', JSON.stringify({ t: 1, x: 1 }), { qos: 1 });
  const { name, version, sequence } = await pushTiny(own.client, own.key);
  await own.client.rollouts.start(oneWave({ name, version, sequence }));
  await own.client.webhooks.add({ url: 'https://h.example/x', types: ['token.*'] });
  await device.endAsync(true);
}, 30_000);
afterAll(async () => {
  await own.stop();
  await rm(out, { recursive: true, force: true });
});

it('alerts and the dashboard use only metrics and label values that the platform serves', async () => {
  const { text: metrics } = await ask(own, '/metrics');
  const served = new Set([...metrics.matchAll(/^([a-z_]+)(?=[{ ])/gm)].map(([, name]) => name));
  const { alerts, panels } = await expressions();
  const used = [...alerts, ...panels].flatMap(
    (expression) => expression.match(/\b(aiot|process)_\w+/g) ?? [],
  );
  expect(new Set(used).size).toBeGreaterThan(25);
  expect([...new Set(used)].filter((name) => !served.has(name))).toEqual([]);
  const states = [...alerts, ...panels].flatMap((one) => [
    ...one.matchAll(/(\w+)\{(state|objective)="(\w+)"\}/g),
  ]);
  expect(states.length).toBeGreaterThan(5);
  for (const [, metric, label, value] of states) {
    // An objective without outcomes has no ratio, only a target.
    if (metric === 'aiot_objective_ratio' && value !== 'ingest') continue;
    expect(metrics.includes(`${metric}{${label}="${value}"}`), `${metric} ${value}`).toBe(true);
  }
});

it('each alert has a severity, a summary and a next step, and each panel a place of its own', async () => {
  const rules = loose(parse(await text('rules.yaml'))).groups[0].rules;
  expect(rules.length).toBeGreaterThan(10);
  for (const { alert, labels, annotations, for: lasting } of rules) {
    expect(['critical', 'warning'], alert).toContain(labels.severity);
    expect(annotations.summary.length, alert).toBeGreaterThan(10);
    expect(annotations.description, alert).toMatch(/\.$|^Run: aiot /);
    expect(lasting, alert).toMatch(/^\d+m$/);
  }
  const { panels } = loose(JSON.parse(await text('dashboards/aiot.json')));
  const cells = new Set<string>();
  for (const { id, gridPos } of panels as { id: number; gridPos: Record<'x' | 'y' | 'w' | 'h', number> }[]) {
    const { x, y, w, h } = gridPos;
    expect(x + w).toBeLessThanOrEqual(24);
    for (let column = x; column < x + w; column++)
      for (let row = y; row < y + h; row++) {
        expect(cells.has(`${column} ${row}`), `panel ${id}`).toBe(false);
        cells.add(`${column} ${row}`);
      }
  }
  expect(new Set(panels.map(({ id }: { id: number }) => id)).size).toBe(panels.length);
});

it('the status shows the same objectives', async () => {
  const { objectives } = await own.client.status();
  expect(objectives).toEqual([
    expect.objectContaining({ name: 'ingest', target: 0.99, share: 1, good: 1, total: 1, met: true }),
    expect.objectContaining({ name: 'presence', target: 0.95 }),
    { name: 'updates', target: 0.95, share: null, good: 0, total: 0, windowMs: 604_800_000, met: null },
  ]);
});
