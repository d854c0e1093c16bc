import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { type CrashReport, crashSchema } from '../../src/lib/formats/crash.js';
import { type SendOptions, sendCrashes, watchCrashes } from '../../src/lib/loop/operate/crashes.js';
import { crashesFolder } from '../../src/lib/loop/operate/state.js';
import { runLoop } from '../../src/lib/loop/run/run.js';
import { root } from '../support/cli.js';
import { fakeLoop } from '../support/loop.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let base: string;
let folder: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'aiot-crashes-'));
  folder = join(base, 'crashes');
});
afterEach(() => rm(base, { recursive: true, force: true }));

/** Runs a program that watches for crashes; resolves with its exit code or the signal that ended it. */
async function program(code: string, flags: string[] = []): Promise<number | string> {
  const module = pathToFileURL(join(root, 'dist/.modules/lib/loop/operate/crashes.js')).href;
  const text = `
    import { watchCrashes } from ${JSON.stringify(module)};
    const watch = await watchCrashes(${JSON.stringify(folder)}, () => ['the sensor is back']);
    ${code}`;
  const run = promisify(execFile)(process.execPath, [...flags, '--input-type=module', '-e', text], {
    timeout: 60_000,
  });
  return run.then(
    () => 0,
    (error: { code: number | null; signal: string | null }) => error.code ?? error.signal ?? 'unknown',
  );
}

/** The reports that wait after another start. */
async function reports(): Promise<CrashReport[]> {
  (await watchCrashes(folder)).close();
  const names = await readdir(folder);
  return Promise.all(
    names.map(async (name) => crashSchema.parse(JSON.parse(await readFile(join(folder, name), 'utf8')))),
  );
}

describe('a crash of a loop', () => {
  it('is recorded with its calls and the last events, if an exception is not caught', async () => {
    const code =
      "function readSensor() { throw new TypeError('no samples'); } setTimeout(() => readSensor(), 1); await new Promise(() => {});";
    expect(await program(code)).not.toBe(0);
    const [report, ...others] = await reports();
    expect(others).toEqual([]);
    expect(report).toMatchObject({
      ...{ kind: 'exception', reason: 'TypeError: no samples', log: ['the sensor is back'] },
      ...{ firmware: { name: 'aiot' }, details: { node: process.version } },
    });
    expect(report?.backtrace?.[0]?.function).toBe('readSensor');
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  });

  it('is recorded if a promise is rejected and nobody handles it', async () => {
    await program("Promise.reject(new RangeError('too far')); await new Promise(() => {});");
    expect(await reports()).toMatchObject([{ kind: 'exception', reason: 'RangeError: too far' }]);
  });

  it('is recorded if the heap is full', async () => {
    const code = 'const kept = []; for (;;) kept.push(new Array(10_000).fill(kept.length));';
    expect(await program(code, ['--max-old-space-size=24'])).not.toBe(0);
    const [report] = await reports();
    expect(report).toMatchObject({ kind: 'out-of-memory', reason: expect.stringContaining('heap') });
    expect(report?.uptimeMs).toBeGreaterThan(0);
    expect(await readdir(folder)).toHaveLength(1);
  });

  it.each(['SIGKILL', 'SIGSEGV', 'SIGABRT'])('is recorded without a cause after %s', async (signal) => {
    expect(await program(`process.kill(process.pid, '${signal}'); await new Promise(() => {});`)).toBe(
      signal,
    );
    expect(await reports()).toMatchObject([
      { kind: 'exit', reason: 'the process ended without being stopped' },
    ]);
  });

  it('is not recorded after an orderly end, a forced exit or a restart of the machine', async () => {
    expect(await program('watch.close();')).toBe(0);
    expect(await program('process.exit(3);')).toBe(3);
    expect(await reports()).toEqual([]);
    await program("process.kill(process.pid, 'SIGKILL'); await new Promise(() => {});");
    const marker = join(folder, 'running.json');
    const before = JSON.parse(await readFile(marker, 'utf8')) as object;
    await writeFile(marker, JSON.stringify({ ...before, boot: 'an earlier boot' }));
    expect(await reports()).toEqual([]);
  });

  it('is not recorded without a boot ID, because the machine may have restarted', async () => {
    await program("process.kill(process.pid, 'SIGKILL'); await new Promise(() => {});");
    const marker = join(folder, 'running.json');
    const before = JSON.parse(await readFile(marker, 'utf8')) as object;
    await writeFile(marker, JSON.stringify({ ...before, boot: '' }));
    (await watchCrashes(folder, () => [], '')).close();
    expect((await readdir(folder)).filter((name) => name.startsWith('crash-'))).toEqual([]);
  });

  it.each([
    ['a closed terminal', 'SIGHUP', ''],
    ['a signal that nothing else handles', 'SIGTERM', ''],
    [
      'a second Ctrl-C',
      'SIGINT',
      // The command handles the first one, and leaves the second one to the system.
      "process.once('SIGINT', () => setTimeout(() => process.kill(process.pid, 'SIGINT'), 10));",
    ],
  ] as const)('is not recorded after %s, which ends the process', async (_, signal, before) => {
    const code = `${before} process.kill(process.pid, '${signal}'); setInterval(() => {}, 1000);`;
    expect(await program(code)).toBe(signal);
    expect(await reports()).toEqual([]);
  });

  it('survives damaged files, and replaces the oldest report if too many wait', async () => {
    (await watchCrashes(folder)).close();
    await writeFile(join(folder, 'running.json'), '{');
    await writeFile(join(folder, 'node-report.json'), 'x');
    expect(await reports()).toEqual([]);
    for (let i = 0; i < 22; i++) {
      const watch = await watchCrashes(folder);
      watch.note(new Error(`crash ${i}`));
      watch.close();
    }
    const waiting = await reports();
    expect(waiting).toHaveLength(20);
    expect(waiting.map(({ reason }) => reason)).not.toContain('Error: crash 0');
  });
});

describe('with a platform', () => {
  let own: TestPlatform;
  const saved = { ...process.env };
  beforeAll(async () => {
    own = await testPlatform();
    process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
    process.env.XDG_DATA_HOME = join(own.folder, 'home');
    const { urls, ca } = own.platform;
    await writeContexts({
      current: 'lab',
      contexts: {
        lab: { url: urls.http, ca, token: own.token },
        bad: { url: urls.http, ca, token: 'aiot_wrong' },
      },
    });
  }, 30_000);
  afterAll(async () => {
    for (const name of ['AIOT_CONFIG_DIR', 'XDG_DATA_HOME'])
      if (saved[name] === undefined) delete process.env[name];
      else process.env[name] = saved[name];
    await own.stop();
  });

  const crash = async (reason: string) => {
    const watch = await watchCrashes(folder);
    watch.note(new Error(reason));
    watch.close();
  };
  const send = async (context?: string, options: Partial<SendOptions> = {}) => {
    const told: string[] = [];
    const signal = AbortSignal.timeout(10_000);
    const tell = (text: string) => told.push(text);
    await sendCrashes({ folder, loop: 'motor-loop', context, tell, signal, ...options });
    return told;
  };

  it('reports are sent once, and listed with the name of the loop', async () => {
    await crash('pump stuck');
    expect(await send()).toEqual(['sent the report of a crash: Error: pump stuck']);
    expect(await readdir(folder)).toEqual([]);
    expect(await send()).toEqual([]);
    const { groups } = await own.client.crashes.list({ selector: 'motor-loop' });
    expect(groups).toMatchObject([{ reason: 'Error: pump stuck', count: 1, devices: 1 }]);
  });

  it('a rejected report is kept', async () => {
    await crash('kept');
    const [told, ...more] = await send('bad');
    expect(more).toEqual([]);
    expect(told).toMatch(/^could not send the report of a crash: /);
    expect(await readdir(folder)).toHaveLength(1);
  });

  it('a report that waits for a core dump survives the end of the loop, and is then sent with it', async () => {
    await program("process.kill(process.pid, 'SIGKILL'); await new Promise(() => {});");
    const [{ details: { pid, started } = {} }] = (await reports()) as [CrashReport];
    const stop = new AbortController();
    const dumps = { stores: async () => true, read: async () => '', pause: async () => stop.abort() };
    expect(await send(undefined, { dumps, signal: stop.signal })).toEqual([]);
    expect(await readdir(folder)).toHaveLength(1);
    const asked: string[] = [];
    const read = async (args: readonly string[]) => {
      asked.push(...args);
      return JSON.stringify({
        COREDUMP_SIGNAL_NAME: 'SIGABRT',
        COREDUMP_TIMESTAMP: String(Number(started) * 1000),
      });
    };
    expect(await send(undefined, { dumps: { ...dumps, read } })).toEqual([
      'sent the report of a crash: the process was ended by SIGABRT',
    ]);
    expect(asked).toContain(`COREDUMP_PID=${pid}`);
    expect(await readdir(folder)).toEqual([]);
  });

  it('the crash of a loop is sent by its next run', async () => {
    const broken = fakeLoop();
    const failing = {
      ...broken.options,
      transient: false,
      name: 'fan',
      taps: [
        {
          samples: () => {
            throw new TypeError('a bug');
          },
        },
      ],
    };
    await expect(runLoop(failing)).rejects.toThrow('a bug');
    expect(await readdir(crashesFolder('fan'))).toHaveLength(1);
    await runLoop({ ...fakeLoop().options, transient: false, name: 'fan' });
    await expect.poll(async () => (await own.client.crashes.list({ selector: 'fan' })).groups.length).toBe(1);
    // The report is removed once the platform has confirmed that it is stored.
    await expect.poll(() => readdir(crashesFolder('fan'))).toEqual([]);
  });
});
