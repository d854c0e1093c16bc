import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSink } from '../../../src/lib/stream/open.js';

let folder: string;
const path = process.env.PATH;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-programs-'));
  process.env.PATH = `${folder}:${path}`;
});
afterEach(async () => {
  process.env.PATH = path;
  await rm(folder, { recursive: true, force: true });
});

async function program(name: string, script: string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return file;
}
const log = () => readFile(join(folder, 'log'), 'utf8').catch(() => '');
const text = (payload: string, topic = '') => ({ topic, payload: Buffer.from(payload) });
async function until(is: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await is()); tries++) {
    if (tries > 1000) throw new Error(`not within 20 s: ${await log()}`);
    await delay(20);
  }
}

/**
 * Returns the process id of a child of this process, found by a word of its command line. Only Linux has these files and gpioset.
 */
async function childRunning(word: string): Promise<number> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const [status, command] = await Promise.all(
      ['status', 'cmdline'].map((file) => readFile(join('/proc', name, file), 'utf8').catch(() => '')),
    );
    if (status?.includes(`\nPPid:\t${process.pid}\n`) && command?.includes(word)) return Number(name);
  }
  throw new Error(`no child of ${process.pid} runs ${word}`);
}

describe('a program as a sink', () => {
  it('receives the payload on stdin and the label in its environment, in order', async () => {
    await program('alarm', `echo "$1 $AIOT_LABEL $AIOT_TOPIC $(cat)" >> ${folder}/log`);
    const sink = await openSink('exec:alarm "to the%20door"');
    await sink.write([
      text('{"voted":"walking","label":"resting"}', 'a'),
      text('resting', 'b'),
      text('{"x":1}'),
    ]);
    await sink.close();
    expect(await log()).toBe(
      'to the door walking a {"voted":"walking","label":"resting"}\nto the door resting b resting\nto the door   {"x":1}\n',
    );
  });

  it('runs without a shell, and does not inherit private variables', async () => {
    process.env.AIOT_TOKEN = 'secret';
    process.env.NOTIFY_SOCKET = '/run/x';
    await program('alarm', `echo "[$1][$AIOT_TOKEN][$NOTIFY_SOCKET]" >> ${folder}/log`);
    const sink = await openSink("exec:alarm '$(id);`id`|id'");
    await sink.write([text('x')]);
    await sink.close();
    delete process.env.AIOT_TOKEN;
    delete process.env.NOTIFY_SOCKET;
    expect(await log()).toBe('[$(id);`id`|id][][]\n');
  });

  it('may ignore its input', async () => {
    await program('deaf', 'exit 0');
    const sink = await openSink('exec:deaf');
    await sink.write([text('x'.repeat(1_000_000))]);
    await sink.close();
  });

  it.each([
    ['exit 3', false, 'ended with 3: because'],
    ['exit 75', true, 'ended with 75'],
    ['kill -9 $$', false, 'ended with SIGKILL'],
  ])('rejects a message with `%s` (retryable: %s)', async (how, retryable, said) => {
    await program('alarm', `echo because >&2; ${how}`);
    const sink = await openSink('exec:alarm');
    const written = sink.write([text('x')]);
    await expect(written).rejects.toMatchObject({ code: 'AIOT_PROGRAM_FAILED', retryable });
    await expect(written).rejects.toThrow(said);
    await sink.close();
  });

  it('is stopped with its child processes if it takes too long', async () => {
    await program('slow', `sleep 60 & echo $! > ${folder}/log; wait`);
    const sink = await openSink('exec:slow?timeout=300ms');
    await expect(sink.write([text('x')])).rejects.toThrow('did not finish within 300 ms');
    const grandchild = Number(await log());
    await until(async () => {
      const state = await readFile(`/proc/${grandchild}/stat`, 'utf8').catch(() => ') Z');
      return / [ZX] /.test(`${state} `.slice(state.lastIndexOf(')')));
    });
    await sink.close();
  });

  it('runs at most the requested number of times in parallel', async () => {
    // Each run waits until three have begun, however long a busy machine takes for that.
    const three = `until [ $(grep -c in ${folder}/log) -ge 3 ]; do sleep 0.02; done`;
    await program('alarm', `echo in >> ${folder}/log; ${three}; sleep 0.3; echo out >> ${folder}/log`);
    const sink = await openSink('exec:alarm?parallel=3&timeout=60s');
    await sink.write(Array.from({ length: 6 }, (_, i) => text(String(i))));
    await sink.close();
    const lines = (await log()).trim().split('\n');
    let now = 0;
    const most = Math.max(...lines.map((line) => (line === 'in' ? ++now : now--)));
    expect(lines).toHaveLength(12);
    expect(most).toBe(3);
  });

  it.each([
    ['exec:', 'AIOT_STREAM_URL'],
    ['exec:a "b', 'AIOT_STREAM_URL'],
    ['exec:true?shell=true', 'AIOT_STREAM_URL'],
    ['exec:there-is-no-such-program', 'AIOT_PROGRAM_NOT_FOUND'],
  ])('is rejected for the address %s', async (url, code) => {
    await expect(openSink(url)).rejects.toMatchObject({ code });
  });
});

/** Substitutes for the gpioset of libgpiod 1.6 and of 2.2. Each version rejects the arguments of the other one. */
const gpiosets = {
  1: (log: string) => `
case "$1" in --version) echo "gpioset (libgpiod) v1.6.3"; exit 0;; esac
[ "$1" = "--mode=wait" ] || { echo "gpioset: unrecognized option" >&2; exit 1; }
shift; [ "$1" = "--active-low" ] && { low=" low"; shift; }
[ "$1" = gpiochip9 ] && { echo "gpioset: error setting the GPIO line values: No such file or directory" >&2; exit 1; }
echo "$1 $2$low" >> ${log}; cat > /dev/null; echo "end $2" >> ${log}`,
  2: (log: string) => `
case "$1" in --version) echo "gpioset (libgpiod) v2.2.1"; exit 0;; esac
[ "$1" = "--chip" ] || { echo "gpioset: unrecognized option" >&2; exit 1; }
chip=$2; shift 2; [ "$1" = "--active-low" ] && { low=" low"; shift; }
[ "$chip" = gpiochip9 ] && { echo "gpioset: cannot find GPIO chip character device 'gpiochip9'" >&2; exit 1; }
echo "$chip $1$low" >> ${log}; trap 'echo "end $1" >> ${log}; exit' TERM
while :; do sleep 0.05; done`,
};

describe.each([1, 2] as const)('a GPIO line, set by gpioset of libgpiod %d', (version) => {
  beforeEach(() => program('gpioset', gpiosets[version](join(folder, 'log'))));

  it('is active while the label matches, and is released at the end', async () => {
    const sink = await openSink('gpio://gpiochip0/17?on=walking,running');
    const levels = async () => (await log()).split('\n').filter((line) => line.startsWith('gpiochip0'));
    // A claim counts as successful after a tenth of a second, which may be before this gpioset has written its line.
    await expect.poll(levels).toEqual(['gpiochip0 17=0']);
    await sink.write([text('{"voted":"walking"}')]);
    await expect.poll(levels).toEqual(['gpiochip0 17=0', 'gpiochip0 17=1']);
    await sink.write([text('running')]);
    // Only the last of several labels matters.
    await sink.write([text('resting'), text('walking'), text('resting')]);
    await sink.write([text('{"voted":null,"label":null}')]);
    await expect.poll(levels).toEqual(['gpiochip0 17=0', 'gpiochip0 17=1', 'gpiochip0 17=0']);
    await sink.close();
    if (version === 2) expect((await log()).trim().split('\n').at(-1)).toBe('end 17=0');
  });

  it('is claimed again if gpioset is killed', async () => {
    const sink = await openSink('gpio://gpiochip0/4?on=walking&active=low');
    await sink.write([text('walking')]);
    await expect.poll(async () => (await log()).trim().split('\n').at(-1)).toBe('gpiochip0 4=1 low');
    const pid = await childRunning('gpioset');
    process.kill(pid, 'SIGKILL');
    await until(
      async () =>
        (await log())
          .trim()
          .split('\n')
          .filter((line) => line.includes(' 4=1')).length === 2,
    );
    await sink.close();
  });

  it('reports why it cannot be claimed', async () => {
    await expect(openSink('gpio://gpiochip9/17')).rejects.toMatchObject({
      code: 'AIOT_PROGRAM_FAILED',
      retryable: true,
    });
    await expect(openSink('gpio://gpiochip9/17')).rejects.toThrow('gpiochip9');
  });
});

describe('the address of a GPIO line', () => {
  it.each([
    'gpio://17',
    'gpio://gpiochip0/x',
    'gpio://gpiochip0/1?on=',
    'gpio://gpiochip0/1?active=up',
    'gpio:///17',
  ])('is rejected: %s', async (url) => {
    await expect(openSink(url)).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
  });

  it.each([
    [
      'echo "gpioset: error while loading libgpiod.so.2" >&2; echo more >&2',
      'gpioset: error while loading libgpiod.so.2',
    ],
    ['', 'gpioset --version exited with 127'],
  ])('is rejected with the reason if gpioset cannot print its version: %s', async (told, reason) => {
    await program('gpioset', `echo "gpioset (libgpiod) v2.2.1"; ${told}\nexit 127`);
    await expect(openSink('gpio://gpiochip0/17')).rejects.toMatchObject({
      code: 'AIOT_PROGRAM_FAILED',
      message: `gpio://gpiochip0/17: ${reason}`,
    });
  });

  it('is rejected with installation advice if gpioset is missing', async () => {
    process.env.PATH = folder;
    await expect(openSink('gpio://gpiochip0/17')).rejects.toMatchObject({
      code: 'AIOT_PROGRAM_NOT_FOUND',
      next: 'Install it with `sudo apt install gpiod`.',
    });
  });
});
