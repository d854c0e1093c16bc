import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readlink, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { MonitorEvent } from '../../src/lib/flash/monitor/events.js';
import { monitor } from '../../src/lib/flash/monitor/monitor.js';
import { SimulatedChip } from '../../src/lib/flash/rom/chip.js';
import { serveChip } from '../../src/lib/flash/rom/serve.js';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

describe('a monitor on a simulated chip', () => {
  it('does not disturb a running board: DTR and RTS do not change over RFC 2217', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const served = await serveChip(chip, { rfc2217: 0 });
    ends.push(() => served.close());
    let heard = 0;
    chip.onOutput((bytes) => {
      heard += bytes.length;
    });
    const signal = AbortSignal.timeout(60_000);
    const options = { port: served.address, baud: 115_200, onEvent: () => undefined, signal };
    await monitor({ ...options, forMs: 300 });
    const untouched = heard;
    const texts: string[] = [];
    await monitor({
      ...options,
      ...{ reset: true, until: /rst:0x/ },
      onEvent: (event) => event.event === 'line' && texts.push(event.text),
    });
    expect(untouched).toBe(0);
    // The ROM's boot message shows that the board was reset.
    expect(texts.join('\n')).toMatch(/rst:0x/);
  });
});

describeReal('socat', 'a monitor on a local port', () => {
  it('follows a board that disconnects and reconnects, and releases the port', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-monitor-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    const link = join(folder, 'port');
    const plug = () => {
      const board = spawn('socat', [`PTY,raw,echo=0,ignoreeof,link=${link}`, 'STDIO'], {
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      ends.push(() => unplug(board));
      return board;
    };
    const unplug = async (board: ChildProcess) => {
      if (board.exitCode !== null || board.signalCode !== null) return;
      const gone = once(board, 'exit');
      board.kill();
      await gone;
    };
    const events: MonitorEvent[] = [];
    const connected = (times: number) =>
      vi.waitFor(() => expect(events.filter(({ event }) => event === 'connected')).toHaveLength(times), {
        timeout: 10_000,
      });
    const done = monitor({
      ...{ port: link, baud: 115_200, until: /^second$/ },
      onEvent: (event) => events.push(event),
      signal: AbortSignal.timeout(60_000),
    });
    const first = plug();
    await connected(1);
    first.stdin?.write('first\n');
    await vi.waitFor(() => expect(events.at(-1)).toMatchObject({ event: 'line', text: 'first' }), {
      timeout: 20_000,
    });
    await unplug(first);
    const second = plug();
    await connected(2);
    second.stdin?.write('second\n');
    expect(await done).toMatchObject({ why: 'until', connections: 2, lines: 2 });
    // The port is available again, so another monitor can open it immediately.
    const again = monitor({
      ...{ port: link, baud: 115_200, until: /third/, once: true },
      onEvent: ({ event }) => event === 'connected' && second.stdin?.write('third\n'),
      signal: AbortSignal.timeout(10_000),
    });
    expect(await again).toMatchObject({ matched: 'third' });
  });
});

describeReal('socat', 'a monitor on a pty', () => {
  it('prints output sent before it connected', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-monitor-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    const link = join(folder, 'port');
    const board = spawn('socat', [`PTY,raw,echo=0,link=${link}`, 'STDIO'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    ends.push(() => board.kill());
    await vi.waitFor(() => readlink(link), { timeout: 20_000 });
    board.stdin?.write('early\n');
    await new Promise((resolve) => setTimeout(resolve, 300));
    const done = monitor({
      ...{ port: link, baud: 115_200, until: /late/, once: true },
      onEvent: (event) => event.event === 'line' && event.text === 'early' && board.stdin?.write('late\n'),
      signal: AbortSignal.timeout(10_000),
    });
    expect(await done).toMatchObject({ matched: 'late', lines: 2 });
  });
});

describeReal('python3', 'a monitor in a terminal', () => {
  it('prints lines, restores the terminal on Ctrl-C, and exits with 130', async () => {
    const server = createServer((socket) => {
      ends.push(() => socket.destroy());
      socket.on('error', () => undefined);
      socket.write('I (1) app: hello\r\nready\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ends.push(() => server.close());
    const address = server.address();
    const port = `socket://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    const terminal = join(root, 'test', 'support', 'python', 'terminal.py');
    const command = [process.execPath, join(root, 'bin', 'dev.js'), 'board', 'monitor', '--port', port];
    const { stdout } = await promisify(execFile)(
      'python3',
      [terminal, JSON.stringify([['ready', '\u0003']]), ...command],
      {
        timeout: 60_000,
      },
    );
    const { code, signal, screen } = JSON.parse(stdout);
    expect([code, signal]).toEqual([130, null]);
    expect(screen).toContain('\u001b[32mI (1) app: hello\u001b[39m');
    expect(stripVTControlCharacters(screen)).toContain('AIOT_INTERRUPTED: stopped after 2 lines');
  });
});
