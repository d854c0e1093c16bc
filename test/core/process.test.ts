import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { hasCode, systemCode } from '../../src/lib/core/errors.js';
import {
  endOfProgram,
  findProgram,
  isRunning,
  lastOutput,
  runProgram,
  startAnswering,
  startProgram,
  stopProgram,
} from '../../src/lib/core/process.js';

const node = process.execPath;
const script = (code: string) => ['-e', code];

it('runProgram returns the output and the exit status of a program', async () => {
  const heard: string[] = [];
  const code = `process.stdin.on('data', (d) => { process.stdout.write('got ' + d); process.stderr.write('é'); process.exitCode = 3; })`;
  const end = await runProgram(node, script(code), {
    input: Buffer.from('a line'),
    onOutput: (text, from) => heard.push(`${from}: ${text}`),
  });
  expect(end).toEqual({
    code: 3,
    endedBy: null,
    timedOut: false,
    aborted: false,
    stdout: 'got a line',
    stderr: 'é',
  });
  expect(heard.sort()).toEqual(['stderr: é', 'stdout: got a line']);
});

it('runProgram keeps the end of the output, and only of the requested streams', async () => {
  const code = `process.stdout.write('unread'); process.stderr.write('x'.repeat(5000) + 'end')`;
  const end = await runProgram(node, script(code), { reads: ['stderr'], mostOutput: 5 });
  expect([end.stdout, end.stderr]).toEqual(['', 'xxend']);
  const heard: string[] = [];
  const none = await runProgram(node, script(code), { mostOutput: 0, onOutput: (text) => heard.push(text) });
  expect([none.stdout, none.stderr]).toEqual(['', '']);
  expect(heard.join('')).toContain('unread');
});

it('runProgram kills a program that times out and ignores SIGTERM', async () => {
  const code = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); process.stdout.write('on')`;
  const begun = performance.now();
  const end = await runProgram(node, script(code), { timeoutMs: 1500, graceMs: 100 });
  expect(end).toMatchObject({ code: null, timedOut: true });
  expect(performance.now() - begun).toBeLessThan(10_000);
});

it('runProgram stops a program on abort, and throws the reason once it has ended', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  let pid = 0;
  const running = runProgram(node, script(`console.log(process.pid); setInterval(() => {}, 1000)`), {
    signal: controller.signal,
    onOutput: (text) => {
      pid = Number(text);
      controller.abort(reason);
    },
  });
  await expect(running).rejects.toBe(reason);
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  await expect(runProgram(node, [], { signal: controller.signal })).rejects.toBe(reason);
});

it('an exited program is not reported as timed out or aborted while its output is held open', async () => {
  const inner = `console.log(process.pid); setTimeout(() => {}, 20000)`;
  const outer = `const child = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(inner)}], { stdio: 'inherit', detached: true }); setTimeout(() => process.exit(), 500); child.unref()`;
  const controller = new AbortController();
  const running = runProgram(node, script(outer), {
    timeoutMs: 3000,
    outputMs: 4000,
    signal: controller.signal,
  });
  const timer = setTimeout(() => controller.abort(), 3500);
  const end = await running;
  clearTimeout(timer);
  process.kill(Number(end.stdout), 'SIGKILL');
  expect(end).toMatchObject({ code: 0, timedOut: false, aborted: false });
});

it('endOfProgram reports how a program ended after it was asked to stop', async () => {
  const controller = new AbortController();
  const code = `process.on('SIGTERM', () => process.exit(75)); setInterval(() => {}, 1000); console.log('on')`;
  const end = await endOfProgram(node, script(code), {
    signal: controller.signal,
    onOutput: () => controller.abort(),
  });
  expect(end).toMatchObject({ code: 75, timedOut: false, aborted: true });
});

it('runProgram stops a process group, including children of its leader', async () => {
  const inner = `console.log(process.pid); setInterval(() => {}, 1000)`;
  const outer = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(inner)}], { stdio: 'inherit' })`;
  const controller = new AbortController();
  let pid = 0;
  await runProgram(node, script(outer), {
    group: true,
    signal: controller.signal,
    onOutput: (text) => {
      pid = Number(text);
      controller.abort();
    },
  }).catch(() => {});
  for (let tries = 0; tries < 100; tries++) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await delay(20);
  }
  expect.fail('the inner program lives on');
});

it('runProgram does not wait for output that children of an exited program hold open', async () => {
  const inner = `setTimeout(() => {}, 20000); console.log(process.pid)`;
  const outer = `const child = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(inner)}], { stdio: 'inherit', detached: true }); setTimeout(() => process.exit(), 1000); child.unref()`;
  const begun = performance.now();
  const end = await runProgram(node, script(outer), { outputMs: 50 });
  expect(end.code).toBe(0);
  expect(performance.now() - begun).toBeLessThan(15_000);
  if (Number(end.stdout) > 0) process.kill(Number(end.stdout), 'SIGKILL');
});

it("runProgram throws the system's error if a program cannot be started", async () => {
  const error = await runProgram('/no/such/program', []).catch((cause: unknown) => cause);
  expect(systemCode(error)).toBe('ENOENT');
  const child = startProgram('/no/such/program', [], { stdio: 'ignore' });
  child.on('error', () => {});
  await stopProgram(child);
  expect(isRunning(child)).toBe(false);
});

it('findProgram returns the path of a program, or reports that it is not installed', async () => {
  expect(await findProgram(node)).toBe(node);
  const error = await findProgram('no-such-program').catch((cause: unknown) => cause);
  expect(hasCode(error, 'AIOT_PROGRAM_NOT_FOUND')).toBe(true);
});

it('lastOutput keeps the end of a stream', async () => {
  const stream = Readable.from([Buffer.from('one '), Buffer.from('two')]);
  const last = lastOutput(stream, 5);
  await new Promise((done) => stream.once('end', done));
  expect(last()).toBe('e two'.slice(-5));
});

it('startAnswering kills a program that ignores the end of its input, with its own process group, and waits for its end', async () => {
  const code = `process.stdin.on('data', () => process.stdout.write(String(process.pid).padStart(10))); setInterval(() => {}, 1000)`;
  const program = startAnswering(node, script(code), 10, 100);
  const answered = program.ask(Buffer.from('?'), 10, 60_000);
  if (!('answer' in answered)) throw new Error(answered.ending.reason);
  const pid = Number(Buffer.from(answered.answer).toString());
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ');
  // Ctrl-C is sent to the process group of the terminal.
  expect(Number(fields[4])).toBe(pid);
  program.close();
  // A zombie would still be there.
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), { timeout: 30_000 });
  expect(program.ask(Buffer.from('?'), 10, 60_000)).toEqual({
    ending: { code: null, stderr: '', reason: 'the program was closed' },
  });
}, 100_000);

it('startAnswering reports at once that a program cannot be started', () => {
  const program = startAnswering(node, ['x'.repeat(1 << 20)], 10);
  expect(program.ask(Buffer.from('?'), 10, 30_000)).toEqual({
    ending: { code: null, stderr: '', reason: 'spawn E2BIG', system: 'E2BIG' },
  });
  program.close();
}, 60_000);
