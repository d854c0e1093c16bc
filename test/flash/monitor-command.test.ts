import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { KeyReader } from '../../src/lib/cli/live/monitor-screen.js';
import { LivePlot } from '../../src/lib/cli/live/plot.js';
import { plotText } from '../../src/lib/cli/render/chart.js';
import { monitorEventSchema } from '../../src/lib/flash/monitor/events.js';
import { openChipLine } from '../../src/lib/flash/rom/simulate.js';
import { runCli } from '../support/cli.js';
import { elfOf } from '../support/elf-file.js';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A board at a socket that sends output to every client, and echoes what it receives. */
async function board(says: string | Uint8Array, later?: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    ends.push(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => socket.write(bytes));
    socket.write(says);
    later?.(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => server.close());
  const address = server.address();
  return `socket://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

const boot = '\x1b[0;32mI (10) boot: up\x1b[0m\r\nW (11) net: slow\r\nready\r\n';

describe('aiot board monitor', () => {
  it('prints lines to stdout and notes to stderr until the pattern matches', async () => {
    const port = await board(boot);
    expect(
      await runCli(['board', 'monitor', '--port', port, '--until', 'ready', '--timeout', '10s']),
    ).toEqual({
      stdout: 'I (10) boot: up\nW (11) net: slow\nready\n',
      stderr: `· ${port} at 115200\n`,
      json: undefined,
      code: 0,
    });
  });

  it('counts repeated lines, and prints each one with its time if asked to', async () => {
    const port = await board('a\r\na\r\n\r\n\r\nb\r\nb\r\nb\r\nready\r\n');
    const argv = ['board', 'monitor', '--port', port, '--until', 'ready'];
    const { stdout } = await runCli(argv);
    expect(stdout).toBe('a\n(repeated 1 time)\n\n\nb\n(repeated 2 times)\nready\n');
    const timed = (await runCli([...argv, '--timestamps'])).stdout.trimEnd().split('\n');
    expect(timed.map((line) => line.replace(/^\S+ {2}/, ''))).toEqual([...'aa', '', '', ...'bbb', 'ready']);
  });

  it('starts a chip that is simulated in the same process', async () => {
    const argv = ['board', 'monitor', '--port', 'simulated:esp32', '--until', 'invalid header'];
    const { stdout, stderr, code } = await runCli([...argv, '--timeout', '20s']);
    expect([code, stderr]).toEqual([0, expect.stringContaining('board reset')]);
    expect(stdout).toMatch(/rst:0x[\s\S]*invalid header: 0xffffffff\n/);
  });

  it('keeps the process alive while a simulated chip is open', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    const line = await openChipLine('simulated:esp32c3', 115_200);
    expect(timers()).toBe(before + 1);
    await line.close();
    expect(timers()).toBe(before);
  });

  it('explains once why a board without a program prints invalid headers', async () => {
    const port = await board(`${'invalid header: 0xffffffff\r\n'.repeat(3)}ready\r\n`);
    const { stdout, stderr } = await runCli(['board', 'monitor', '--port', port, '--until', 'ready']);
    expect(stdout).toBe('invalid header: 0xffffffff\n(repeated 2 times)\nready\n');
    expect(
      stderr.match(/there is no program in the board's flash; .*aiot flash --project FIRMWARE_DIR/g),
    ).toHaveLength(1);
  });

  it('prints events as JSON lines', async () => {
    const port = await board(boot);
    const { stdout, code } = await runCli(['board', 'monitor', '--port', port, '--until', 'ready', '--json']);
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => monitorEventSchema.parse(JSON.parse(line)));
    expect(events.map(({ event }) => event)).toEqual(['connected', 'line', 'line', 'line', 'ended']);
    expect(code).toBe(0);
  });

  it.each([
    ['it times out', ['--until', 'never', '--timeout', '200ms'], 124, 'AIOT_TIMEOUT'],
    ['the board fails', ['--fail', 'slow', '--until', 'ready'], 6, 'AIOT_MONITOR_FAILED'],
    ['the pattern is invalid', ['--until', '('], 2, 'AIOT_USAGE'],
    ['the time has no unit', ['--timeout', '10'], 2, 'AIOT_USAGE'],
    ['the ELF file is missing', ['--elf', '/nowhere.elf'], 4, 'AIOT_FILE_NOT_FOUND'],
    ['--raw is combined with --plot', ['--raw', '--plot'], 2, 'AIOT_USAGE'],
  ])('has its own exit code if %s', async (_, argv, code, error) => {
    const port = await board(boot);
    const result = await runCli(['board', 'monitor', '--port', port, ...argv]);
    expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(error)]);
  });

  it.each([
    ['simulated:esp32-s3', 'Did you mean esp32s3?'],
    ['simulated:esp32s3?flsh=board.bin', 'Did you mean flash?'],
  ])('suggests the similar name for a mistyped simulated chip: %s', async (port, suggestion) => {
    const { stderr, code } = await runCli(['board', 'monitor', '--port', port]);
    expect(stderr.replace(/\s+/g, ' ')).toContain(suggestion);
    expect(code).toBe(2);
  });

  it('has its own exit code if nothing serves the port and --once is given', async () => {
    const result = await runCli(['board', 'monitor', '--port', 'socket://127.0.0.1:9', '--once', '--json']);
    expect(result).toMatchObject({ code: 4, json: { error: { code: 'AIOT_SERIAL_NOT_FOUND' } } });
  });

  it('suggests --elf after a crash, or reports that the given ELF file has no names', async () => {
    const crash =
      "Guru Meditation Error: Core  0 panic'ed (Store access fault). Exception was unhandled.\nMEPC    : 0x42000010  RA      : 0x42000020\nRebooting...\n";
    const shown = async (...more: string[]) => {
      const argv = ['--port', await board(crash), '--until', 'Rebooting', '--timeout', '10s', ...more];
      const { stdout, code } = await runCli(['board', 'monitor', ...argv]);
      expect(code).toBe(0);
      return stdout;
    };
    const file = join(await mkdtemp(join(tmpdir(), 'aiot-elf-')), 'stripped.elf');
    ends.push(() => void rm(dirname(file), { recursive: true }));
    const code = { name: '.flash.text', address: 0x42000000, data: new Uint8Array(256) };
    const elf = Buffer.from(elfOf('esp32c3', 0x42000000, [code]));
    // Sets the flags of the first section to allocated and executable.
    elf.writeUInt32LE(6, elf.readUInt32LE(32) + 40 + 8);
    await writeFile(file, elf);
    expect(await shown()).toContain('use --elf FILE to show source locations');
    const stripped = await shown('--elf', file);
    expect(stripped).toContain('it is stripped or belongs to another program');
    expect(stripped).not.toContain('--elf');
  });

  it('sends lines and prints the responses', async () => {
    const port = await board('');
    const argv = ['--send', 'first', '--send', 'second', '--until', 'second', '--timeout', '10s'];
    const { stdout, code } = await runCli(['board', 'monitor', '--port', port, ...argv]);
    expect([stdout, code]).toEqual(['first\nsecond\n', 0]);
  });

  it('prefixes lines with timestamps and omits excluded lines', async () => {
    const port = await board(boot);
    const argv = ['--timestamps', '--level', 'warn', '--exclude', 'ready', '--until', 'ready'];
    const { stdout } = await runCli(['board', 'monitor', '--port', port, ...argv]);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}W \(11\) net: slow\n$/);
  });

  it('prints bytes unchanged in raw mode', async () => {
    const port = await board('\x1b[2Jno end: ');
    const { stdout } = await runCli(['board', 'monitor', '--port', port, '--raw', '--until', 'no end']);
    expect(stdout).toBe('\x1b[2Jno end: ');
  });

  it('plots numbers at the end if there is no terminal', async () => {
    const port = await board('a:1 b:5\na:2 b:5\na:3 b:5\nstop\n');
    const { stdout } = await runCli(['board', 'monitor', '--port', port, '--plot', '--until', 'stop']);
    const lines = stdout.split('\n');
    expect(lines.slice(0, 5)).toEqual(['a:1 b:5', 'a:2 b:5', 'a:3 b:5', 'stop', 'a  3  1 … 3']);
    expect(lines).toContain('b  5  5 … 5');
  });
});

describe('a plot', () => {
  it('draws each series separately, with two values per character', () => {
    const text = plotText(
      [
        { name: 'up', values: [0, 1, 2, 3] },
        { name: 'flat', values: [7, 7] },
        { name: 'gap', values: [Number.NaN, 0, Number.NaN, 1] },
      ],
      10,
      1,
    );
    expect(text.split('\n')).toEqual(['up    3  0 … 3', '⣠⠞', 'flat  7  7 … 7', '⠒', 'gap   1  0 … 1', '⢀⠈']);
  });

  it('keeps the newest values that fit', () => {
    const [head, curve] = plotText(
      [{ name: 'x', values: Array.from({ length: 100 }, (_, i) => i) }],
      5,
      1,
    ).split('\n');
    expect([head, curve?.length]).toEqual(['x  99  90 … 99', 5]);
  });

  it('stays below the output lines in a terminal', async () => {
    let screen = '';
    const plot = new LivePlot({ columns: 20, rows: 10, write: (text) => (screen += text) });
    plot.add({ a: 1 });
    plot.add({ a: 2 });
    await vi.waitFor(() => expect(screen).toContain('a  2  1 … 2\x1b[K\n'), 10_000);
    const drawn = screen;
    plot.line('hello');
    expect(screen.slice(drawn.length)).toBe(`\x1b[${drawn.split('\n').length - 1}A\r\x1b[Jhello\n`);
    plot.end();
    expect(screen.split('a  2  1 … 2')).toHaveLength(3);
  });
});

describe('keys typed in a monitor', () => {
  it.each([
    ['hello\r', 'hello\r\n', []],
    ['\x14r\x14\x12', '', ['reset', 'reset']],
    ['a\x14bc', 'ac', ['download']],
    ['\x14\x14', '\x14', []],
    ['\x14x', '', ['help']],
    ['\x03\x1d', '', ['interrupt', 'quit']],
    ['\x1b[A', '\x1b[A', []],
  ])('%j', (typed, sent, actions) => {
    const got = new KeyReader('\r\n').read(new TextEncoder().encode(typed));
    expect([Buffer.from(got.send).toString(), got.actions]).toEqual([sent, actions]);
  });

  it('are handled the same if they arrive one by one', () => {
    const reader = new KeyReader('\n');
    const actions = [0x14, 0x72].flatMap((byte) => reader.read(Uint8Array.of(byte)).actions);
    expect(actions).toEqual(['reset']);
  });
});
