import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { LineReader, numbersOf, plainText } from '../../src/lib/flash/monitor/board-text.js';
import { CrashWatch } from '../../src/lib/flash/monitor/crashes.js';
import { logHead, type MonitorEvent, monitorEventSchema } from '../../src/lib/flash/monitor/events.js';
import { type MonitorOptions, monitor } from '../../src/lib/flash/monitor/monitor.js';
import { parsePattern } from '../../src/lib/flash/monitor/pattern.js';
import { fc } from '../support/property.js';
import { FakeLine } from './fake-line.js';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/**
 * A monitor of in-memory boards. Each time a port is opened, the next of `lines` is used; null means that the port
 * does not exist yet.
 */
function watch(lines: (FakeLine | null | AiotError)[], more: Partial<MonitorOptions> = {}) {
  const events: MonitorEvent[] = [];
  const stop = new AbortController();
  ends.push(() => stop.abort());
  const done = monitor({
    port: '/dev/ttyTEST',
    baud: 115_200,
    open: async () => {
      const next = lines.length > 1 ? lines.shift() : lines[0];
      if (next instanceof FakeLine) return next;
      throw next ?? new AiotError('AIOT_SERIAL_NOT_FOUND', 'no serial port at /dev/ttyTEST');
    },
    onEvent: (event) => {
      expect(monitorEventSchema.parse(event)).toEqual(event);
      events.push(event);
    },
    signal: stop.signal,
    ...more,
  });
  done.catch(() => undefined);
  const texts = () => events.flatMap((event) => (event.event === 'line' ? [event.text] : []));
  const came = (what: MonitorEvent['event']) =>
    vi.waitFor(() => expect(events.map(({ event }) => event)).toContain(what), { timeout: 20_000 });
  return { events, done, stop, texts, came };
}

describe('lines from a board', () => {
  it('are the same however their bytes are split', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 30 }).map((text) => text.replace(/[\r\n]/g, ''));
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(20)), (lines, cuts) => {
        const bytes = new TextEncoder().encode(lines.map((text) => `${text}\r\n`).join(''));
        const reader = new LineReader();
        const got: string[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          got.push(...reader.read(bytes.subarray(at, at + cut)));
          at += cut;
        }
        expect(got).toEqual(lines);
      }),
    );
  });

  it('are split at a maximum length if noise has no line endings', () => {
    const reader = new LineReader();
    const got = reader.read(new Uint8Array(20_000).fill(0x41));
    expect(got.map(({ length }) => length)).toEqual([8192, 8192]);
    expect(reader.partial).toHaveLength(20_000 - 2 * 8192);
  });

  it('are stripped of colors, cursor movements and titles', () => {
    expect(plainText('\x1b[0;32mI (312) main: up\x1b[0m')).toBe('I (312) main: up');
    expect(plainText('\x1b]0;title\x07a\x1b[2Jb\x00c\td')).toBe('abc\td');
  });

  it.each([
    ['I (312) wifi:mode : sta', { level: 'info', tag: 'wifi', message: 'mode : sta' }],
    ['E (12:34:56.789) app: no', { level: 'error', tag: 'app', message: 'no' }],
    ['[  1234][W][main.cpp:42] setup(): hm', { level: 'warn', tag: 'main.cpp', message: 'setup(): hm' }],
    ['[00:00:01.123,000] <err> net: down', { level: 'error', tag: 'net', message: 'down' }],
    ['V (1) a: b', { level: 'verbose', tag: 'a', message: 'b' }],
    ['I think (so): no', null],
    ['hello', null],
  ])('are parsed for level, tag and message: %s', (line, head) => {
    expect(logHead(line)).toEqual(head);
  });
});

describe('numbers in a line', () => {
  it.each([
    ['1.5', { 1: 1.5 }],
    ['1, -2.5;3e2', { 1: 1, 2: -2.5, 3: 300 }],
    ['current:1.25 temperature=23.5 C', { current: 1.25, temperature: 23.5 }],
    ['a=1,b=2', { a: 1, b: 2 }],
    ['I (512) motor: rms=0.25 g, peak=1.5 m/s²', { rms: 0.25, peak: 1.5 }],
    ['{"t": 3, "acc": {"x": 0.1, "y": -1}, "ok": true}', { t: 3, 'acc.x': 0.1, 'acc.y': -1 }],
    ['[1,2] is no measurement', null],
    ['rst:0x1 (POWERON_RESET),boot:0x13', null],
    ['cpu freq: 160000000 Hz', null],
    ['1 error', null],
    ['{"broken": ', null],
    ['', null],
  ])('%s', (line, values) => {
    expect(numbersOf(line)).toEqual(values);
  });
});

describe('the crash parser', () => {
  const parts = (text: string) => {
    const watching = new CrashWatch();
    return [...text.split('\n').flatMap((line) => watching.read(line)), ...watching.end()].map((part) => ({
      ...part,
      addresses: part.addresses.map(({ address, from }) => `${from} ${address.toString(16)}`),
    }));
  };

  it('reads the registers, backtrace and program hash of an Xtensa crash', () => {
    const text = `I (300) main: going
Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.

Core  0 register dump:
PC      : 0x400d1f22  PS      : 0x00060330  A0      : 0x800d1ff8  A1      : 0x3ffb5f10
A2      : 0x00000000  A3      : 0x3f402f48  A4      : 0x00000003  A5      : 0x00000001
EXCVADDR: 0x00000000  LBEG    : 0x400014fd  LEND    : 0x4000150d  LCOUNT  : 0xffffffff

Backtrace: 0x400d1f1f:0x3ffb5f10 0x400d1ff5:0x3ffb5f30 |<-CORRUPTED

ELF file SHA256: 0a1b2c3d4e5f6071

Rebooting...`;
    const reason = "Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.";
    expect(parts(text)).toEqual([
      { reason, addresses: ['PC 400d1f22', 'A0 400d1ff8'], elfHash: null },
      { reason, addresses: ['backtrace 400d1f1f', 'backtrace 400d1ff5'], elfHash: null },
      { reason, addresses: [], elfHash: '0a1b2c3d4e5f6071' },
    ]);
  });

  it('reads MEPC, RA and the stack of a RISC-V crash', () => {
    const text = `Guru Meditation Error: Core  0 panic'ed (Store access fault). Exception was unhandled.
Core  0 register dump:
MEPC    : 0x42005b4a  RA      : 0x42005b48  SP      : 0x3fc92f60  GP      : 0x3fc8b600
A0      : 0x00000001  A1      : 0x42001111  A2      : 0x00000000  A3      : 0x00000000
Stack memory:
3fc92f60: 0x00000000 0x42005c10 0x3fc90000 0xa5a5a5a5
3fc92f70: 0x42006d20 0x00000000 0x00000000 0x00000000

`;
    expect(parts(text).map(({ addresses }) => addresses)).toEqual([
      ['MEPC 42005b4a', 'RA 42005b48'],
      [
        'stack 0',
        'stack 42005c10',
        'stack 3fc90000',
        'stack a5a5a5a5',
        'stack 42006d20',
        'stack 0',
        'stack 0',
        'stack 0',
      ],
    ]);
  });

  it('recognizes abort() and esp-backtrace, and reports no crash in other text', () => {
    expect(parts('abort() was called at PC 0x400d2b3c on core 1')[0]?.addresses).toEqual(['abort 400d2b3c']);
    expect(
      parts('====================== PANIC ======================\n0x42001234 - main').at(-1)?.addresses,
    ).toEqual(['backtrace 42001234']);
    expect(
      parts('0x42001234 - main\n3fc92f60: 0x42005c10\nload:0x3fff0030,len:1184\nentry 0x400805f0'),
    ).toEqual([]);
  });
});

describe('a monitor', () => {
  it('prints a board’s output without touching the board', async () => {
    const line = new FakeLine();
    const { events, done, came } = watch([line], { until: /ready/ });
    await came('connected');
    line.say('\x1b[0;33mW (12) net: slow\x1b[0m\r\nI (13) app: rea');
    line.say('dy\r\n');
    expect(await done).toMatchObject({
      why: 'until',
      matched: 'I (13) app: ready',
      lines: 2,
      connections: 1,
    });
    expect(events.map(({ t, ...event }) => event)).toEqual([
      { event: 'connected', port: 'simulated', baud: 115_200 },
      { event: 'line', text: 'W (12) net: slow', level: 'warn', tag: 'net', partial: false },
      { event: 'line', text: 'I (13) app: ready', level: 'info', tag: 'app', partial: false },
      expect.objectContaining({ event: 'ended', why: 'until' }),
    ]);
    expect([line.log, line.sent, line.closed]).toEqual([[], [], true]);
  });

  it('matches a prompt without a line ending', async () => {
    const line = new FakeLine();
    const { done, came } = watch([line], { until: /login: $/ });
    await came('connected');
    line.say('login: ');
    expect(await done).toMatchObject({ matched: 'login: ' });
  });

  it('reports a line without an ending after a delay', async () => {
    const line = new FakeLine();
    const { events, came } = watch([line]);
    await came('connected');
    line.say('> ');
    await came('line');
    expect(events.at(-1)).toMatchObject({ text: '> ', partial: true });
  });

  it('waits for the port and for the board to reconnect', async () => {
    const [first, second] = [new FakeLine(), new FakeLine()];
    const { events, done, came } = watch([null, null, first, null, second], { until: /second/ });
    await came('connected');
    first.say('first\n');
    first.pull();
    await came('lost');
    await vi.waitFor(
      () => expect(events.filter(({ event }) => event === 'connected')).toHaveLength(2),
      20_000,
    );
    second.say('second\n');
    expect(await done).toMatchObject({ connections: 2, lines: 2 });
    expect(events.map(({ event }) => event)).toEqual([
      ...['waiting', 'connected', 'line', 'lost', 'waiting', 'connected', 'line', 'ended'],
    ]);
    expect(first.closed).toBe(true);
  });

  it('does not wait for a missing port or a lost board if it should connect only once', async () => {
    await expect(watch([null], { once: true }).done).rejects.toMatchObject({ code: 'AIOT_SERIAL_NOT_FOUND' });
    const line = new FakeLine();
    const { done, came } = watch([line], { once: true });
    await came('connected');
    line.pull();
    await expect(done).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
  });

  it.each(['AIOT_SERIAL_BUSY', 'AIOT_SERIAL_DENIED', 'AIOT_SERIAL_AMBIGUOUS', 'AIOT_USAGE'] as const)(
    'does not wait if waiting cannot help: %s',
    async (code) => {
      await expect(watch([new AiotError(code, 'no')]).done).rejects.toMatchObject({ code });
    },
  );

  it('waits for another program to release a reconnected board', async () => {
    const [first, second] = [new FakeLine(), new FakeLine()];
    const busy = new AiotError('AIOT_SERIAL_BUSY', 'in use');
    const { done, came } = watch([first, busy, second], { until: /up/ });
    await came('connected');
    first.pull();
    await came('waiting');
    await vi.waitFor(() => {
      second.say('up\n');
      expect(second.closed).toBe(true);
    }, 20_000);
    expect(await done).toMatchObject({ connections: 2 });
  });

  it.each([
    ['the port is missing', [null], '', /within 0\.3 s: no serial port at \/dev\/ttyTEST/],
    ['no data arrives', [new FakeLine()], '', /the board sent no data/],
    [
      'only noise arrives',
      [new FakeLine()],
      '\x80\xfe\xfc\x80\xe0',
      /noise, or text at a different baud rate/,
    ],
    [
      'only other lines arrive',
      [new FakeLine()],
      'I (1) a: b\n',
      /1 lines were received\. The last one: I \(1\) a: b/,
    ],
  ])('reports why it timed out: %s', async (_, lines, text, message) => {
    const { done } = watch(lines, { until: /ready/, timeoutMs: 300 });
    lines[0]?.say(Buffer.from(text, 'latin1'));
    await expect(done).rejects.toMatchObject({
      code: 'AIOT_TIMEOUT',
      exit: 124,
      message: expect.stringMatching(message),
    });
    if (lines[0]) expect(lines[0].closed).toBe(true);
  });

  it('fails on forbidden output even if the expected line follows', async () => {
    const line = new FakeLine();
    const { done, came } = watch([line], { until: /ready/, fail: /panic'ed/ });
    await came('connected');
    line.say("Core 0 panic'ed\nready\n");
    await expect(done).rejects.toMatchObject({ code: 'AIOT_MONITOR_FAILED', exit: 6 });
  });

  it('ends after its duration, when it quits, and when it is interrupted', async () => {
    expect(await watch([new FakeLine()], { forMs: 50 }).done).toMatchObject({ why: 'for' });
    expect(
      await watch([new FakeLine()], { onStart: ({ quit }) => void setTimeout(quit, 20) }).done,
    ).toMatchObject({
      why: 'quit',
    });
    const { done, stop, came } = watch([new FakeLine()]);
    await came('connected');
    stop.abort();
    await expect(done).rejects.toMatchObject({ code: 'AIOT_INTERRUPTED', exit: 130 });
  });

  it('resets the board once if requested', async () => {
    const [first, second] = [new FakeLine(), new FakeLine()];
    const { events, came } = watch([first, second], { reset: true });
    await came('reset');
    expect(first.log).toEqual(['lines:0,1', 'lines:0,0']);
    expect(events.find(({ event }) => event === 'reset')).toMatchObject({ done: true });
    first.pull();
    await vi.waitFor(
      () => expect(events.filter(({ event }) => event === 'connected')).toHaveLength(2),
      20_000,
    );
    expect(second.log).toEqual([]);
  });

  it('reports that a port without DTR and RTS cannot reset the board', async () => {
    const line = new FakeLine();
    Object.defineProperty(line, 'hasControlLines', { value: false });
    const { events, came } = watch([line], { reset: true });
    await came('reset');
    expect(events.at(-1)).toMatchObject({ event: 'reset', done: false });
  });

  it('sends lines and forwards input', async () => {
    const line = new FakeLine();
    async function* input() {
      yield new TextEncoder().encode('typed');
    }
    const { came } = watch([line], { send: ['version'], eol: 'crlf' });
    await came('connected');
    await vi.waitFor(() => expect(Buffer.from(line.sent).toString()).toBe('version\r\n'), 20_000);
    const other = new FakeLine();
    watch([other], {
      input: (async function* () {
        await vi.waitFor(() => expect(other.listens).toBe(true), 20_000);
        yield* input();
      })(),
    });
    await vi.waitFor(() => expect(Buffer.from(other.sent).toString()).toBe('typed'), 20_000);
  });

  it('prints only lines that pass the filters, but matches against all lines', async () => {
    const line = new FakeLine();
    const { done, texts, came } = watch([line], {
      level: 'warn',
      filter: /net|plain/,
      exclude: /quiet/,
      until: /end/,
    });
    await came('connected');
    line.say('W (1) net: a\nI (2) net: b\nE (3) net: quiet\nW (4) app: c\nplain\nother\nI (5) app: end\n');
    await done;
    expect(texts()).toEqual(['W (1) net: a', 'plain']);
  });

  it('reports numbers as values', async () => {
    const line = new FakeLine();
    const { done, events, came } = watch([line], { values: true, until: /stop/ });
    await came('connected');
    line.say('a:1 b:2\nhello\na:3 b:4\nstop\n');
    await done;
    expect(events.flatMap((event) => (event.event === 'values' ? [event.values] : []))).toEqual([
      { a: 1, b: 2 },
      { a: 3, b: 4 },
    ]);
  });

  it('records bytes or events in a file, appending to existing data', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-monitor-'));
    ends.push(() => rm(folder, { recursive: true }));
    for (const [name, times] of [
      ['log.bin', 2],
      ['log.jsonl', 1],
    ] as const) {
      for (let i = 0; i < times; i++) {
        const line = new FakeLine();
        const { done, came } = watch([line], { record: join(folder, name), until: /end/, filter: /nothing/ });
        await came('connected');
        line.say(Uint8Array.of(0xff, 0x00, 0x0a));
        line.say('end\n');
        await done;
      }
    }
    expect([...(await readFile(join(folder, 'log.bin')))]).toEqual([
      ...[0xff, 0, 0x0a, 0x65, 0x6e, 0x64, 0x0a],
      ...[0xff, 0, 0x0a, 0x65, 0x6e, 0x64, 0x0a],
    ]);
    const events = (await readFile(join(folder, 'log.jsonl'), 'utf8')).trim().split('\n');
    expect(events.map((text) => monitorEventSchema.parse(JSON.parse(text)).event)).toEqual([
      'connected',
      'ended',
    ]);
  });

  it('rejects an unwritable record file before opening the port', async () => {
    let opened = false;
    const { done } = watch([new FakeLine()], {
      record: '/nowhere/at/all.log',
      open: async () => {
        opened = true;
        return new FakeLine();
      },
    });
    await expect(done).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_WRITABLE' });
    expect(opened).toBe(false);
  });

  it('reports the addresses of a crash without an ELF file', async () => {
    const line = new FakeLine();
    const { done, events, came } = watch([line], { until: /Rebooting/ });
    await came('connected');
    line.say("Guru Meditation Error: Core  0 panic'ed (X)\nBacktrace: 0x400d1f1f:0x3ffb5f10\nRebooting...\n");
    await done;
    expect(events.find(({ event }) => event === 'crash')).toMatchObject({
      reason: "Guru Meditation Error: Core  0 panic'ed (X)",
      elfMatches: null,
      frames: [{ address: '0x400d1f1f', from: 'backtrace', function: null, file: null, line: null }],
    });
  });
});

describe('a pattern', () => {
  it('is a regular expression, optionally with slashes and flags', () => {
    expect(parsePattern('^a.c')).toEqual(/^a.c/);
    expect(parsePattern('/ready/i')).toEqual(/ready/i);
    expect(parsePattern('/dev/tty')).toEqual(/\/dev\/tty/);
  });

  it('is limited to half a second per line, after which the monitor fails', async () => {
    for (const more of [{ until: parsePattern('(a+)+$') }, { filter: parsePattern('(a+)+$') }]) {
      const line = new FakeLine();
      const { done, came } = watch([line], more);
      await came('connected');
      const began = performance.now();
      // With many lines in one chunk, matching stops after the first line that takes too long.
      line.say(`${'a'.repeat(40)}b\n`.repeat(200));
      await expect(done).rejects.toMatchObject({
        code: 'AIOT_USAGE',
        message: expect.stringContaining('/(a+)+$/ took more than 500 ms for 41 characters'),
      });
      expect(performance.now() - began).toBeLessThan(10_000);
    }
    const found = parsePattern('/r(e+)dy/i').exec('is REEdy');
    expect([found?.[0], found?.[1], found?.index]).toEqual(['REEdy', 'EE', 3]);
  });

  it('is rejected if invalid', () => {
    expect(() => parsePattern('a(')).toThrow(expect.objectContaining({ code: 'AIOT_USAGE' }));
  });
});
