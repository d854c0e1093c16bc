import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listLoops, loopsExit } from '../../src/lib/loop/operate/list.js';
import { createBeat, operate } from '../../src/lib/loop/operate/operate.js';
import { loopMetrics } from '../../src/lib/loop/operate/server.js';
import { healthOf } from '../../src/lib/loop/operate/state.js';
import type { LoopStatus } from '../../src/lib/loop/status.js';
import { runCli } from '../support/cli.js';
import { loopStatus } from '../support/loop-status.js';

import { describeReal, python } from '../support/real.js';

let folder: string;
const before = { ...process.env };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-operate-'));
  process.env.AIOT_DATA_DIR = folder;
});
afterEach(async () => {
  process.env = { ...before };
  await rm(folder, { recursive: true, force: true });
});

const away = (more: Partial<LoopStatus> = {}) =>
  loopStatus({ state: 'waiting', sensor: { ...loopStatus().sensor, connected: false }, ...more });
const watching = (status: () => LoopStatus) => ({ status });
/** Resolves when the state of the first loop has been written. */
const isListed = () => expect.poll(async () => (await listLoops()).loops.length).toBe(1);

describe('a running loop', () => {
  it('is listed with its state while it runs and after it ends', async () => {
    let status = loopStatus();
    const operation = await operate(
      watching(() => status),
      { name: 'har-imu' },
    );
    await isListed();
    const { loops } = await listLoops();
    expect(loops).toMatchObject([
      { name: 'har-imu', state: 'running', healthy: true, reasons: [], service: false },
    ]);
    expect(loops[0]!.status).toEqual(status);
    expect(loopsExit({ loops }, false)).toBe(0);
    status = loopStatus({ state: 'stopped' });
    await operation.close();
    const ended = await listLoops({ name: 'har-imu' });
    expect(ended.loops).toMatchObject([{ state: 'stopped', healthy: false }]);
    expect([loopsExit(ended, true), loopsExit(ended, false)]).toEqual([6, 6]);
  });

  it('reserves its name, and a second start reports the process ID', async () => {
    const operation = await operate(watching(loopStatus), { name: 'har-imu' });
    await isListed();
    const second = operate(watching(loopStatus), { name: 'har-imu' });
    await expect(second).rejects.toMatchObject({ code: 'AIOT_LOOP_RUNNING' });
    await expect(second).rejects.toThrow(`pid ${process.pid}`);
    await (await operate(watching(loopStatus), { name: 'har-imu', transient: true })).close();
    await (await operate(watching(loopStatus), { name: 'other' })).close();
    await operation.close();
    await (await operate(watching(loopStatus), { name: 'har-imu' })).close();
  });

  it('publishes a state change promptly', async () => {
    let status = loopStatus();
    const operation = await operate(
      watching(() => status),
      { name: 'har-imu' },
    );
    await isListed();
    status = away();
    // Well before the next regular write, which is due after ten seconds.
    await expect
      .poll(async () => (await listLoops()).loops, { timeout: 5000 })
      .toMatchObject([{ state: 'waiting', healthy: false }]);
    await operation.close();
  });

  it('continues if its state cannot be written, and reports that once', async () => {
    const events: string[] = [];
    const gone = join(folder, 'run');
    await writeFile(gone, '');
    const operation = await operate(watching(loopStatus), {
      name: 'har-imu',
      environment: { ...process.env, RUNTIME_DIRECTORY: gone },
      onEvent: (text) => events.push(text),
    });
    await expect.poll(() => events).toHaveLength(1);
    await operation.close();
  });

  it.each(['../x', 'a b', ''])('cannot be named "%s"', async (name) => {
    await expect(operate(watching(loopStatus), { name })).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });

  it('is listed for every user if it is a service', async () => {
    const runFolder = join(folder, 'run');
    const environment = { ...process.env, RUNTIME_DIRECTORY: join(runFolder, 'aiot-loop-har-imu') };
    const operation = await operate(watching(loopStatus), { name: 'har-imu', environment });
    const listed = async () =>
      (await listLoops({ runFolder, environment: { AIOT_DATA_DIR: join(folder, 'another') } })).loops;
    await expect.poll(listed).toMatchObject([{ name: 'har-imu', service: true, state: 'running' }]);
    await operation.close();
  });
});

describe('the HTTP endpoints of a loop', () => {
  it('provide its health, status, and metrics on the loopback interface', async () => {
    let status = loopStatus();
    const operation = await operate(
      watching(() => status),
      { name: 'a', listen: '0' },
    );
    expect(operation.listening).toMatch(/^127\.0\.0\.1:\d+$/);
    const get = (path: string, init?: RequestInit) => fetch(`http://${operation.listening}${path}`, init);
    const well = await get('/healthz');
    expect([well.status, await well.json()]).toMatchObject([
      200,
      { status: 'ok', reasons: [], loop: 'har-imu' },
    ]);
    status = away({ model: null });
    const ill = await get('/healthz?verbose');
    expect(ill.status).toBe(503);
    expect(((await ill.json()) as { reasons: string[] }).reasons).toEqual([
      'no model yet',
      'i2c://1/lsm6ds3tr-c sends no samples for 0 seconds',
    ]);
    expect(await (await get('/status')).json()).toEqual(status);
    const figures = await get('/metrics');
    expect(figures.headers.get('content-type')).toContain('version=0.0.4');
    expect(await figures.text()).toContain('aiot_loop_samples_total{loop="har-imu"} 6000');
    expect((await get('/')).status).toBe(404);
    expect((await get('/healthz', { method: 'POST', body: 'x' })).status).toBe(405);
    expect((await get('/healthz', { method: 'HEAD' })).status).toBe(503);
    await operation.close();
    await expect(get('/healthz')).rejects.toThrow();
  });

  it.each(['x', '1:2:3', '127.0.0.1:99999', '127.0.0.1:'])('reject the address %s', async (listen) => {
    await expect(operate(watching(loopStatus), { name: 'a', listen })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
    });
    // The name is available again.
    await (await operate(watching(loopStatus), { name: 'a' })).close();
  });

  it('fail to start on a port that is in use', async () => {
    const first = await operate(watching(loopStatus), { name: 'a', listen: '127.0.0.1:0' });
    const second = operate(watching(loopStatus), { name: 'b', listen: first.listening });
    await expect(second).rejects.toMatchObject({ code: 'AIOT_PORT_IN_USE' });
    await first.close();
  });
});

describe('the health of a loop', () => {
  it('depends on its samples and its model, but not on its outputs', () => {
    const outputs = loopStatus().outputs.map((output) => ({ ...output, connected: false, waiting: 1000 }));
    expect(healthOf(loopStatus({ outputs }))).toEqual({ healthy: true, reasons: [] });
    expect(healthOf(loopStatus({ model: null })).healthy).toBe(false);
    const silent = { ...loopStatus().sensor, connected: false, lastSampleAt: loopStatus().at - 600_000 };
    expect(healthOf(loopStatus({ sensor: silent })).reasons).toEqual([
      'i2c://1/lsm6ds3tr-c sends no samples for 10m',
    ]);
    const never = { ...silent, lastSampleAt: null };
    expect(healthOf(loopStatus({ sensor: never })).reasons).toEqual([
      'i2c://1/lsm6ds3tr-c sends no samples yet',
    ]);
  });
});

describe('aiot loop status', () => {
  const file = (name: string) => join(folder, 'loop', name, 'status.json');
  const write = async (name: string, status: unknown, ageMs = 0) => {
    await mkdir(join(folder, 'loop', name), { recursive: true });
    await writeFile(file(name), typeof status === 'string' ? status : JSON.stringify(status));
    const at = (Date.now() - ageMs) / 1000;
    await utimes(file(name), at, at);
  };

  it('exits with 4 if there is no such loop, and lists the existing loops', async () => {
    expect(await runCli(['loop', 'status', '--json'])).toMatchObject({
      code: 4,
      json: { error: { code: 'AIOT_NOT_FOUND', subject: 'loop' } },
    });
    await write('har-imu', loopStatus());
    const other = await runCli(['loop', 'status', 'motor']);
    expect(other.code).toBe(4);
    expect(other.stderr).toContain('har-imu');
  });

  it('exits with 0 if all loops are healthy or stopped, and with 6 otherwise', async () => {
    await write('a', loopStatus({ name: 'a' }));
    await write('b', loopStatus({ name: 'b', state: 'stopped' }));
    const well = await runCli(['loop', 'status', '--json']);
    expect(well).toMatchObject({
      code: 0,
      json: {
        loops: [
          { name: 'a', state: 'running' },
          { name: 'b', state: 'stopped' },
        ],
      },
    });
    await write('c', away({ name: 'c' }));
    expect((await runCli(['loop', 'status'])).code).toBe(6);
    expect((await runCli(['loop', 'status', 'a'])).code).toBe(0);
    expect((await runCli(['loop', 'status', 'b'])).code).toBe(6);
  });

  it('distinguishes a killed loop from a hung one', async () => {
    const child = spawn('true');
    const { pid } = child;
    await once(child, 'exit');
    await write('killed', loopStatus({ name: 'killed', pid: pid! }), 60_000);
    await write('hanging', loopStatus({ name: 'hanging' }), 60_000);
    const { json } = await runCli(['loop', 'status', '--json']);
    expect(
      (json as { loops: { name: string; state: string }[] }).loops.map(({ name, state }) => [name, state]),
    ).toEqual([
      ['hanging', 'stuck'],
      ['killed', 'gone'],
    ]);
  });

  it('ignores truncated and invalid status files', async () => {
    await write('torn', JSON.stringify(loopStatus()).slice(0, 100));
    await write('other', { name: 'other' });
    expect((await runCli(['loop', 'status'])).code).toBe(4);
  });

  it('prints a table of all loops, and the details of a single loop', async () => {
    await write('har-imu', away());
    const all = await runCli(['loop', 'status']);
    expect(all.stdout).toContain('har-imu  waiting  i2c://1/lsm6ds3tr-c  100.0 Hz  har-imu@3  walking');
    expect(all.stdout).toContain('! har-imu: i2c://1/lsm6ds3tr-c sends no samples');
    const one = await runCli(['loop', 'status', 'har-imu']);
    for (const text of [
      '100.02 Hz',
      '6,000',
      '1 retries',
      'nats://127.0.0.1:4222/output connected, 50 sent',
      'sensor found',
      'p99 3.00 ms',
    ])
      expect(one.stdout).toContain(text);
  });
});

describe('the notifications to systemd', () => {
  const began = { ...loopStatus().sensor, samples: 0 };
  const idle = loopStatus({
    sensor: { ...began, connected: false, lastSampleAt: null },
    windows: 0,
    last: null,
  });

  it('include READY after the first sample, and no WATCHDOG if a connected sensor stalls', () => {
    const beat = createBeat(true);
    expect(beat.next(idle, 0)).toEqual(['WATCHDOG=1', 'STATUS=i2c://1/lsm6ds3tr-c sends no samples yet']);
    expect(beat.next(loopStatus(), 1000).slice(0, 2)).toEqual(['READY=1', 'WATCHDOG=1']);
    const next = loopStatus({ sensor: { ...loopStatus().sensor, samples: 6100 } });
    expect(beat.next(next, 2000)).toEqual(['WATCHDOG=1', 'STATUS=walking, 100.0 Hz, model har-imu 3']);
    // The sensor is connected but sends no samples, so the driver or the loop is stuck.
    expect(beat.next(next, 3000)).toEqual([]);
  });

  it('include WATCHDOG for at most ten minutes without a sensor', () => {
    const beat = createBeat(true);
    beat.next(loopStatus(), 0);
    expect(beat.next(away(), 9 * 60_000)).toContain('WATCHDOG=1');
    expect(beat.next(away(), 10 * 60_000 + 1)).not.toContain('WATCHDOG=1');
    const back = loopStatus({ sensor: { ...loopStatus().sensor, samples: 6001 } });
    expect(beat.next(back, 11 * 60_000)).toContain('WATCHDOG=1');
  });
});

describeReal('systemd', 'the notification socket of systemd', () => {
  it('receives READY, WATCHDOG, and STOPPING from systemd’s own notifier', async () => {
    const socket = join(folder, 'notify');
    const manager = spawn('python3', [
      '-c',
      `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(${JSON.stringify(socket)})
print('bound', flush=True)
while True:
    print(s.recv(4096).decode().replace('\\n', '|'), flush=True)`,
    ]);
    let heard = '';
    manager.stdout.on('data', (chunk) => {
      heard += chunk;
    });
    try {
      for (let tries = 0; !heard.includes('bound') && tries < 600; tries++) await delay(50);
      let samples = 0;
      const status = () => loopStatus({ sensor: { ...loopStatus().sensor, samples }, windows: 0 });
      const environment = {
        ...process.env,
        NOTIFY_SOCKET: socket,
        WATCHDOG_USEC: '600000',
        WATCHDOG_PID: String(process.pid),
      };
      const operation = await operate(watching(status), { name: 'a', environment });
      await delay(300);
      expect(heard).not.toContain('READY=1');
      samples = 1;
      for (let tries = 0; !heard.includes('READY=1') && tries < 1000; tries++) await delay(20);
      const feeding = setInterval(() => samples++, 50);
      const beats = () => heard.split('WATCHDOG=1').length - 1;
      await expect.poll(beats).toBeGreaterThanOrEqual(3);
      clearInterval(feeding);
      await delay(400);
      const after = beats();
      await delay(500);
      // Without new samples, no watchdog message is sent.
      expect(beats()).toBe(after);
      await operation.close();
      for (let tries = 0; !heard.includes('STOPPING=1') && tries < 1000; tries++) await delay(20);
      expect(heard).toContain('STOPPING=1');
    } finally {
      manager.kill();
    }
  }, 60_000);
});

describeReal('prometheus', 'the Prometheus client parser', () => {
  it('parses the metrics, including unusual names and two outputs with the same address', async () => {
    const odd = { ...loopStatus().outputs[0]!, endpoint: 'exec:"a\\b"\nc' };
    const text = loopMetrics(loopStatus({ outputs: [odd, odd] }));
    await writeFile(join(folder, 'metrics'), text);
    const script = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
rows = [(f.type, s.name, s.labels, s.value) for f in read(open(sys.argv[1], newline='\\n').read()) for s in f.samples]
print(json.dumps(rows))`;
    const child = spawn(python('prometheus'), ['-c', script, join(folder, 'metrics')]);
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    await new Promise((resolve) => child.once('close', resolve));
    const rows = JSON.parse(out) as [string, string, Record<string, string>, number][];
    const find = (name: string) => rows.filter(([, found]) => found === name);
    expect(find('aiot_loop_samples_total')).toEqual([
      ['counter', 'aiot_loop_samples_total', { loop: 'har-imu' }, 6000],
    ]);
    expect(find('aiot_loop_latency_p99_seconds')[0]![3]).toBe(0.003);
    expect(
      find('aiot_loop_output_sent_total').map(([type, , labels]) => [type, labels.output, labels.endpoint]),
    ).toEqual([
      ['counter', '0', 'exec:"a\\b"\nc'],
      ['counter', '1', 'exec:"a\\b"\nc'],
    ]);
    expect(rows).toHaveLength(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length);
    expect(await readFile(join(folder, 'metrics'), 'utf8')).not.toContain('null');
  });
});
