import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { runCli } from '../../support/cli.js';
import { describeReal } from '../../support/real.js';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Creates a pty at `path` whose other end is the child's stdin and stdout. */
async function board(path: string): Promise<ChildProcess> {
  const child = spawn('socat', [`PTY,raw,echo=0,link=${path}`, 'STDIO'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  closing.push(() => void child.kill());
  for (let tries = 0; tries < 2000 && !existsSync(path); tries++) await delay(10);
  return child;
}

function port(): string {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-serial-'));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'ttyUSB0');
}

describeReal('socat', 'a serial: stream on a pty', () => {
  it('delivers lines as messages, without line endings or empty lines', async () => {
    const path = port();
    const child = await board(path);
    const source = await openSource(`serial://${path}?baud=9600`);
    closing.push(() => source.close());
    child.stdin?.write('{"t": 2');
    await delay(50);
    child.stdin?.write('1}\r\n\nsecond\nthi');
    const iterator = deliveriesOf(source);
    const first = (await iterator.next()).value;
    expect(first?.message).toMatchObject({ topic: 'ttyUSB0', source: `serial:${path}` });
    expect(String(first?.message.payload)).toBe('{"t": 21}');
    expect(String((await iterator.next()).value?.message.payload)).toBe('second');
    child.stdin?.write('rd\n');
    expect(String((await iterator.next()).value?.message.payload)).toBe('third');
  });

  it('reopens the port after it is unplugged and plugged in again', { timeout: 60_000 }, async () => {
    const path = port();
    const child = await board(path);
    const states: string[] = [];
    const source = await openSource(`serial://${path}?topic=board`, {
      onState: (state) => states.push(state),
    });
    closing.push(() => source.close());
    child.stdin?.write('before\ncut off');
    const iterator = deliveriesOf(source);
    expect(String((await iterator.next()).value?.message.payload)).toBe('before');
    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect.poll(() => states, { timeout: 20_000 }).toEqual(['disconnected']);
    rmSync(path, { force: true });
    const again = await board(path);
    await expect.poll(() => states, { timeout: 20_000 }).toEqual(['disconnected', 'connected']);
    again.stdin?.write('after\n');
    const { value } = await iterator.next();
    expect(value?.message).toMatchObject({ topic: 'board' });
    expect(String(value?.message.payload)).toBe('after');
  });

  it('writes each payload as a line, and rejects a payload of several lines', async () => {
    const path = port();
    const child = await board(path);
    let heard = '';
    child.stdout?.on('data', (chunk) => {
      heard += chunk;
    });
    const sink = await openSink(`serial://${path}`);
    closing.push(() => sink.close());
    const message = (text: string) => ({ topic: '', payload: Buffer.from(text) });
    await sink.write([message('one'), message('two\n')]);
    await expect.poll(() => heard).toBe('one\ntwo\n');
    await expect(sink.write([message('a\nb')])).rejects.toMatchObject({
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
    });
  });

  it('can be followed with aiot stream tail', async () => {
    const path = port();
    const child = await board(path);
    const timer = setInterval(() => child.stdin?.write('26.31,41.2\n'), 50);
    closing.push(() => clearInterval(timer));
    const { code, stdout } = await runCli([
      'stream',
      'tail',
      `serial://${path}`,
      '--count',
      '2',
      '--format',
      'raw',
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '26.31,41.2\n26.31,41.2\n' });
  });
});
