import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadProject } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { simulateMotor } from '../../src/lib/data/motor.js';
import type { LoopResult } from '../../src/lib/loop/run/result.js';
import { startLoop } from '../../src/lib/loop/run/run.js';
import { root, runCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { kcat, kcatWrite, startKafka } from '../support/kafka.js';
import { describeReal } from '../support/real.js';

const template = join(root, 'templates', 'motor-watch');
const [readings, alerts] = ['shaded-pole-motor-sensor_data', 'motor-failure-alert-level2-inference'];
let folder: string;
/** A folder with aiot.readings.yaml, and the model that `--simulate` trains from it. */
let single: { project: string; model: string };
const kept = { ...process.env };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-motor-'));
  for (const name of ['CONFIG', 'DATA', 'CACHE']) process.env[`AIOT_${name}_DIR`] = join(folder, name);
  const project = join(folder, 'readings');
  await mkdir(project);
  await cp(join(template, 'aiot.readings.yaml'), join(project, 'aiot.yaml'));
  await startLoop({ project, simulate: true, forMs: 100 });
  single = { project, model: await trainedIn() };
});
afterAll(async () => {
  for (const name of ['CONFIG', 'DATA', 'CACHE']) {
    const before = kept[`AIOT_${name}_DIR`];
    if (before === undefined) delete process.env[`AIOT_${name}_DIR`];
    else process.env[`AIOT_${name}_DIR`] = before;
  }
  await rm(folder, { recursive: true, force: true });
});

/** Returns the newest model in the cache. */
async function trainedIn(): Promise<string> {
  const trained = join(folder, 'CACHE', 'loop', 'trained');
  const names = (await readdir(trained)).filter((name) => /^[0-9a-f]{32}$/.test(name));
  expect(names).toHaveLength(1);
  return join(trained, names[0]!, 'build', 'model.aiot');
}

/** Messages from the guide's board about a motor, one per line. */
function boardSays(state: 'healthy' | 'blocked', count: number): string {
  const { columns } = simulateMotor({ state, seconds: count / 200, rateHz: 200, seed: 77 });
  const line = (row: number) => {
    const [current, temperature, vibration, sound] = columns.map((column) => column[row]!.toFixed(2));
    return `{"deviceID": "14333616", "current": ${current}, "temperature": ${temperature}, "vibration": ${vibration}, "sound": ${sound}, "fft_data": "true"}`;
  };
  return Array.from({ length: count }, (_, row) => line(row)).join('\n');
}

describeReal('kafka', "templates/motor-watch as the guide's second level, over Kafka", () => {
  it("reads a board's readings and writes alerts, from single readings and from two-second windows", async () => {
    const kafka = await startKafka();
    try {
      await kafka.createTopic(readings);
      await kafka.createTopic(alerts);
      const runOn = (project: string, windows: number, more: object) => {
        const ended = new AbortController();
        const say = () => {
          kcatWrite(kafka.address, readings, boardSays('healthy', windows));
          kcatWrite(kafka.address, readings, boardSays('blocked', windows));
        };
        const enough = () => (outputs() >= 2 ? ended.abort() : setTimeout(enough, 50));
        let outputs = () => 0;
        return startLoop({
          ...{ project, transient: true, signal: ended.signal, forMs: 20_000 },
          sensor: `kafka://${kafka.address}/${readings}`,
          out: [`kafka://${kafka.address}/${alerts}`],
          onOpen: ({ monitor }) => {
            outputs = () => monitor.status().outputs[0]?.sent ?? 0;
            say();
            enough();
          },
          ...more,
        });
      };
      const one = (await runOn(single.project, 3, { model: single.model })) as LoopResult;
      expect(one).toMatchObject({ samples: 6, windows: 6, changes: 2, lost: 0 });
      const two = (await runOn(template, 1200, { simulate: true })) as LoopResult;
      expect(two).toMatchObject({ samples: 2400, lost: 0, gaps: 0, changes: 2 });
      const said = kcat(kafka.address, alerts, '%s\n').trim().split('\n');
      const answers = said.map((line) => JSON.parse(line));
      expect(answers.map(({ voted, model }) => [model.name, voted])).toEqual([
        ['motor-readings', 'normal'],
        ['motor-readings', 'anomaly'],
        ['motor-watch', 'normal'],
        ['motor-watch', 'anomaly'],
      ]);
      expect(answers[1].value).toBeGreaterThan(0.5);
    } finally {
      await kafka.stop();
    }
  });
});

const client = `
import socket, sys
for line in sys.stdin:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as s:
        s.sendall(line.strip().encode())
        print(s.recv(1024).decode())
`;

describeReal('python3', "templates/motor-watch with the guide's sidecar", () => {
  it('returns a failure probability for each reading, over one connection per reading', async () => {
    const port = await freePort();
    const ended = new AbortController();
    let said = '';
    const result = await startLoop({
      ...{ ...single, transient: true, signal: ended.signal, sensor: `tcp://:${port}` },
      onOpen: () =>
        void setTimeout(() => {
          const sidecar = spawn('python3', ['-c', client, String(port)]);
          sidecar.stdout.on('data', (chunk) => {
            said += chunk;
          });
          sidecar.on('close', () => ended.abort());
          sidecar.stdin.end(`${boardSays('healthy', 2)}\n${boardSays('blocked', 2)}\n`);
        }),
    });
    expect(result).toMatchObject({ samples: 4, predictions: 4, ended: 'stopped' });
    const values = said
      .trim()
      .split('\n')
      .map((line) => Number(/^inference value from the edge tpu = (.+)$/.exec(line)?.[1]));
    expect(values.map((value) => value > 0.5)).toEqual([false, false, true, true]);
  });
});

it('aiot loop run --simulate simulates the same motor as aiot init if there are no recordings, and keeps the template unchanged', async () => {
  const before = await readdir(template);
  const { code, json } = await runCli([
    ...['loop', 'run', '--project', template, '--simulate', '--for', '3s', '--json'],
  ]);
  expect(code).toBe(0);
  expect(json).toMatchObject({ lost: 0, rateHz: 200, model: { name: 'motor-watch', source: 'trained' } });
  expect((json as LoopResult).predictions).toBeGreaterThan(0);
  expect(await readdir(template)).toEqual(before);
  const made = join(folder, 'made');
  await runCli(['init', made, '--template', 'motor-watch', '--json']);
  const { digest } = await openDataset(await loadProject(made));
  const trained = join(folder, 'CACHE', 'loop', 'trained');
  const lineages = await Promise.all(
    (await readdir(trained))
      .filter((name) => /^[0-9a-f]{32}$/.test(name))
      .map((name) => readFile(join(trained, name, 'build', 'training.json'), 'utf8').catch(() => '')),
  );
  expect(lineages.some((text) => text.includes(digest))).toBe(true);
});
