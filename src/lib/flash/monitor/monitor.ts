import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { onAbort, untilAborted } from '../../core/tasks.js';
import { resetBoard } from '../loader/reset.js';
import type { SerialLine, UsbIdentity } from '../port/line.js';
import { choosePort, holdersOf, listPorts } from '../port/list.js';
import { openLine } from '../port/open-line.js';
import { pathOfReturned } from '../port/returning-line.js';
import { BoardText } from './board-text.js';
import { type CrashDecoder, noDecoder } from './crashes.js';
import type { Level, MonitorEnd, MonitorEvent } from './events.js';

export interface MonitorOptions {
  /** Port or address; undefined = the only board, which may be connected later. */
  port?: string | undefined;
  baud: number;
  /** Whether to reset the board once it is connected. By default, only a chip simulated in this process is reset, to start it. */
  reset?: boolean;
  /** The monitor ends successfully when a line matches. */
  until?: RegExp | undefined;
  /** The monitor fails when a line matches. */
  fail?: RegExp | undefined;
  /** The monitor fails after this time, ms. */
  timeoutMs?: number | undefined;
  /** The monitor ends successfully after this time, ms. */
  forMs?: number | undefined;
  /** Whether to fail instead of waiting for the port, initially or after it is lost. */
  once?: boolean;
  /** Filters. Lines are shown if they match `filter`, do not match `exclude`, and have at least this level. */
  filter?: RegExp | undefined;
  exclude?: RegExp | undefined;
  level?: Level | undefined;
  /** ELF file of the program, for crashes. */
  elf?: string | undefined;
  /** Whether to report the numbers in lines as values. */
  values?: boolean;
  /** File that records all bytes or, if its name ends with `.jsonl`, all events. */
  record?: string | undefined;
  /** Lines of text to send once the board is connected. */
  send?: readonly string[] | undefined;
  /** Input that is forwarded to the board. It may end at any time. */
  input?: AsyncIterable<Uint8Array> | undefined;
  /** Line ending of sent lines. */
  eol?: 'lf' | 'cr' | 'crlf';
  /** Called with all bytes as they arrive. */
  onBytes?: ((bytes: Uint8Array) => void) | undefined;
  onEvent: (event: MonitorEvent) => void;
  /** Called once with the controls, before the port is opened. */
  onStart?: ((control: MonitorControl) => void) | undefined;
  signal: AbortSignal;
  /** Replaces opening a port of this machine in tests. */
  open?: (address: string, options: { baud: number; signal: AbortSignal }) => Promise<SerialLine>;
}

export const lineEnds = { lf: '\n', cr: '\r', crlf: '\r\n' } as const;

/**
 * Shows a board's serial output until the monitor ends. Waits until the port appears and, after it is lost, until it returns. Resets a
 * real board or sends text only if requested.
 * @throws AIOT_TIMEOUT, AIOT_MONITOR_FAILED (`fail` matched), AIOT_INTERRUPTED, AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED,
 *   AIOT_FILE_NOT_WRITABLE, AIOT_SERIAL_LOST with `once`, and errors of opening the port that waiting cannot fix
 */
export async function monitor(options: MonitorOptions): Promise<MonitorEnd> {
  options.signal.throwIfAborted();
  const decoder = await decoderOf(options.elf);
  const run = new MonitorRun(options, decoder);
  if (options.record !== undefined)
    run.recorder = await Recorder.open(options.record, (error) => run.finish({ why: 'error', error }));
  try {
    return await run.run();
  } finally {
    await run.recorder?.close();
  }
}

/** Opens the decoder. The ELF reader is loaded only if it is needed. */
async function decoderOf(elf: string | undefined): Promise<CrashDecoder> {
  if (elf === undefined) return noDecoder;
  const { openDecoder } = await import('./crash-decoder.js');
  return openDecoder(elf);
}

/** Controls of a running monitor. */
export interface MonitorControl {
  quit(): void;
  /** Resets the board. Returns false if the port has no DTR and RTS, or is not connected. */
  reset(mode: 'hard-reset' | 'download'): Promise<boolean>;
}

/** One run of the monitor, which may use several serial lines in turn. */
class MonitorRun {
  recorder: Recorder | undefined;
  private readonly stop = new AbortController();
  private readonly text: BoardText;
  private readonly startedAt = Date.now();
  private ending: Ending | null = null;
  private line: SerialLine | null = null;
  private bytes = 0;
  private connections = 0;
  private waitingFor: string | null = null;
  /** Bytes that were buffered before the line was opened. */
  private waiting: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly options: MonitorOptions,
    decoder: CrashDecoder,
  ) {
    const { filter, exclude, level, values = false } = options;
    this.text = new BoardText({
      ...{ filter, exclude, level, values, decoder },
      now: () => Date.now(),
      emit: (event) => this.emit(event),
      onText: (text) => this.judge(text),
      onError: (error) => this.finish({ why: 'error', error }),
    });
  }

  async run(): Promise<MonitorEnd> {
    const { options } = this;
    const timers = [
      this.after(options.timeoutMs, { why: 'timeout' }),
      this.after(options.forMs, { why: 'for', matched: null }),
    ];
    const interrupt = () => this.finish({ why: 'interrupted' });
    const leave = onAbort(options.signal, interrupt);
    const input = options.input?.[Symbol.asyncIterator]();
    try {
      options.onStart?.({ quit: () => this.quit(), reset: (mode) => this.reset(mode) });
      if (input) void this.pump(input);
      await this.follow();
    } catch (error) {
      this.ending ??= { why: 'error', error };
    } finally {
      for (const timer of timers) clearTimeout(timer);
      leave();
      // Not awaited, because an input that waits for a key does not end on its own.
      void input?.return?.();
    }
    return this.conclude();
  }

  quit(): void {
    // If the monitor waits for a matching line, quitting before it arrives counts as an interruption.
    this.finish(this.options.until ? { why: 'interrupted' } : { why: 'quit', matched: null });
  }

  async reset(mode: 'hard-reset' | 'download'): Promise<boolean> {
    const done = this.line !== null && (await resetBoard(this.line, mode));
    this.emit({ event: 'reset', t: Date.now(), done });
    return done;
  }

  /** Ends the monitor. Only the first call counts. */
  finish(ending: Ending): void {
    if (this.ending) return;
    this.ending = ending;
    this.stop.abort();
  }

  private async follow(): Promise<void> {
    const { port, baud, once = false, open = openLine } = this.options;
    const { signal } = this.stop;
    const lines = openings({
      ...{ port, once, signal },
      open: async (address) => {
        const waiting = await waitingText(address);
        try {
          return await open(address, { baud, signal });
        } finally {
          this.waiting = waiting.bytes;
          await waiting.close();
        }
      },
      onWait: (where, why) => {
        this.waitingFor = why;
        this.emit({ event: 'waiting', t: Date.now(), port: where, why });
      },
    });
    for await (const line of lines) {
      const lost = await this.attend(line);
      if (this.ending) return;
      this.emit({
        event: 'lost',
        t: Date.now(),
        port: line.address,
        why: lost?.message ?? 'the port was closed',
      });
      if (once) throw lost ?? new AiotError('AIOT_SERIAL_LOST', `${line.address} was closed`);
    }
  }

  /** Reads one serial line until it ends. Returns the reason, or null if the monitor itself ended it. */
  private async attend(line: SerialLine): Promise<Error | null> {
    this.line = line;
    this.waitingFor = null;
    this.connections++;
    this.emit({ event: 'connected', t: Date.now(), port: line.address, baud: line.baud });
    this.feed(this.waiting);
    let unlisten = () => {};
    const closed = new Promise<Error | null>((resolve) => {
      unlisten = line.listen({ data: (bytes) => this.feed(bytes), closed: resolve });
    });
    try {
      const begun = this.connections === 1 ? this.begin() : Promise.resolve();
      return await untilAborted(Promise.race([begun.then(() => closed), closed]), this.stop.signal);
    } catch (error) {
      // If the line is lost while sending, its listener reports the loss too, and one report is enough.
      if (this.ending || error instanceof AiotError) return this.ending ? null : (error as Error);
      throw error;
    } finally {
      unlisten();
      this.line = null;
      await line.close();
    }
  }

  private async begin(): Promise<void> {
    const { send = [], eol = 'lf' } = this.options;
    // A chip that was created with the line is in download mode, and its program starts only with a reset.
    const reset = this.options.reset || this.line?.address.startsWith('simulated:') === true;
    if (reset) await this.reset('hard-reset');
    for (const text of send) await this.line?.write(new TextEncoder().encode(text + lineEnds[eol]));
  }

  private async pump(input: AsyncIterator<Uint8Array>): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await input.next();
        if (done || this.ending) return;
        // Input typed while no board is connected is discarded.
        await this.line?.write(value).catch(() => undefined);
      }
    } catch (error) {
      this.finish({ why: 'error', error });
    }
  }

  private feed(bytes: Uint8Array): void {
    if (this.ending || bytes.length === 0) return;
    this.bytes += bytes.length;
    this.recorder?.bytes(bytes);
    this.options.onBytes?.(bytes);
    this.text.feed(bytes);
  }

  private judge(text: string): void {
    const { fail, until } = this.options;
    if (fail?.test(text)) this.finish({ why: 'fail', text });
    else if (until?.test(text)) this.finish({ why: 'until', matched: text });
  }

  private after(ms: number | undefined, ending: Ending): NodeJS.Timeout | undefined {
    return ms === undefined ? undefined : setTimeout(() => this.finish(ending), ms);
  }

  private emit(event: MonitorEvent): void {
    this.recorder?.event(event);
    this.options.onEvent(event);
  }

  private conclude(): MonitorEnd {
    this.text.end();
    const { ending, bytes, connections } = this;
    const { lines, last } = this.text;
    const seconds = Math.round((Date.now() - this.startedAt) / 100) / 10;
    if (ending?.why !== 'until' && ending?.why !== 'for' && ending?.why !== 'quit')
      throw failureOf(ending, { options: this.options, waitingFor: this.waitingFor, bytes, lines, last });
    const { why, matched } = ending;
    const end: MonitorEnd = {
      event: 'ended',
      t: Date.now(),
      why,
      matched,
      seconds,
      lines,
      bytes,
      connections,
    };
    this.emit(end);
    return end;
  }
}

interface OpeningsOptions {
  /** Port that is opened; undefined = the only board, which may be connected later. */
  port: string | undefined;
  /** Whether to fail instead of waiting for the port, initially or after it is lost. */
  once: boolean;
  open: (address: string) => Promise<SerialLine>;
  /** Called once for each new reason to wait. */
  onWait: (port: string | null, why: string) => void;
  signal: AbortSignal;
}

const pollMs = 250;

/** Time after a loss during which a port that has returned may be open in another program, or may not have its permissions yet, ms. */
const settlingMs = 5000;

/**
 * Opens a port repeatedly. Yields each line once it is open, and the next one after the previous line has ended. A board that returns
 * under another name is recognized by its USB serial number.
 * @throws errors of opening the port that waiting cannot fix: AIOT_SERIAL_BUSY, AIOT_SERIAL_DENIED, AIOT_SERIAL_AMBIGUOUS, …
 */
async function* openings(options: OpeningsOptions): AsyncGenerator<SerialLine> {
  let { port } = options;
  let board: UsbIdentity | null = null;
  for (let lostAt = 0; ; lostAt = Date.now()) {
    const line: SerialLine = await nextLine(options, () => whereIs(port, board), lostAt);
    board = line.usb ?? board;
    port ??= line.address;
    yield line;
  }
}

async function nextLine(
  options: OpeningsOptions,
  address: () => Promise<string>,
  lostAt: number,
): Promise<SerialLine> {
  let told = '';
  for (;;) {
    options.signal.throwIfAborted();
    let port: string | null = options.port ?? null;
    try {
      port = await address();
      return await options.open(port);
    } catch (error) {
      options.signal.throwIfAborted();
      if (options.once || !(await mayCome(error, port, Date.now() - lostAt < settlingMs))) throw error;
      const why = error instanceof Error ? error.message : String(error);
      if (why !== told) options.onWait(port, why);
      told = why;
    }
    await delay(pollMs, undefined, { signal: options.signal });
  }
}

const absent: ErrorCode[] = ['AIOT_SERIAL_NOT_FOUND', 'AIOT_SERIAL_LOST'];

const settling: ErrorCode[] = ['AIOT_SERIAL_BUSY', 'AIOT_SERIAL_DENIED'];

/** Whether opening the port may succeed later. */
async function mayCome(error: unknown, port: string | null, settlingNow: boolean): Promise<boolean> {
  if (!(error instanceof AiotError)) return false;
  if (settling.includes(error.code)) return settlingNow;
  if (!absent.includes(error.code)) return false;
  const file = port === null ? null : await stat(port).catch(() => null);
  // A regular file never turns into a serial port.
  return file === null || file.isCharacterDevice();
}

/** The port's current name. The board may have returned under another name. */
async function whereIs(port: string | undefined, board: UsbIdentity | null): Promise<string> {
  if (port === undefined) return choosePort();
  if (!board?.serialNumber || (await stat(port).catch(() => null))) return port;
  return pathOfReturned(port, board, await listPorts()) ?? port;
}

/** The reason why a monitor ended. */
type Ending =
  | { why: 'until' | 'for' | 'quit'; matched: string | null }
  | { why: 'timeout' | 'interrupted' }
  | { why: 'fail'; text: string }
  | { why: 'error'; error: unknown };

interface Heard {
  options: Pick<MonitorOptions, 'until' | 'timeoutMs' | 'port'>;
  /** The reason why the port is not connected; null if it is. */
  waitingFor: string | null;
  bytes: number;
  lines: number;
  /** The last line that was not empty. */
  last: string;
}

/** The error for an unsuccessful ending, with the output that was received before it. */
function failureOf(ending: Ending | null, heard: Heard): unknown {
  switch (ending?.why) {
    case 'error':
      return ending.error;
    case 'fail':
      return new AiotError('AIOT_MONITOR_FAILED', `the board's output matched: ${short(ending.text)}`);
    case 'timeout':
      return late(heard);
    default:
      return new AiotError('AIOT_INTERRUPTED', `stopped after ${heard.lines} lines`);
  }
}

function late({ options, waitingFor, bytes, lines, last }: Heard): AiotError {
  const time = `${(options.timeoutMs ?? 0) / 1000} s`;
  const wanted = options.until
    ? `no line matched ${options.until} within ${time}`
    : `the time limit of ${time} was reached`;
  if (waitingFor !== null)
    return new AiotError('AIOT_TIMEOUT', `${wanted}: ${waitingFor}`, {
      next: 'To see the connected ports, run `aiot board ports`. To try without a board, run `aiot board simulate`.',
    });
  if (bytes === 0)
    return new AiotError('AIOT_TIMEOUT', `${wanted}: the board sent no data`, {
      next: "Check the port, --baud and the cable. To restart the board's program, add --reset.",
    });
  if (isNoise(last))
    return new AiotError(
      'AIOT_TIMEOUT',
      `${wanted}: the received data is noise, or text at a different baud rate`,
      {
        next: 'Try another --baud: 115200 is common; boards with a 26 MHz crystal use 74880.',
      },
    );
  return new AiotError(
    'AIOT_TIMEOUT',
    `${wanted}; ${lines} lines were received. The last one: ${short(last)}`,
  );
}

/** Whether more than a tenth of the line's characters are unreadable. */
function isNoise(line: string): boolean {
  const odd = [...line].filter(
    (character) => character === '\ufffd' || (character > '~' && character < '\u00a0'),
  );
  return odd.length > line.length / 10;
}

const short = (text: string) => (text.length > 120 ? `${text.slice(0, 119)}…` : text);

interface WaitingText {
  bytes: Uint8Array;
  /** Closes the pty. Must be called after the port is opened, because a pty hangs up when its last user closes it. */
  close(): Promise<void>;
}

const none: WaitingText = { bytes: new Uint8Array(0), close: async () => undefined };

/**
 * Reads the bytes that a pty has buffered for its next reader, because the program behind it may already have sent all its output. Opening
 * the pty as a serial port would discard them (serialport flushes on opening). Real ports buffer nothing. A port that another program reads
 * is left unchanged.
 */
async function waitingText(path: string): Promise<WaitingText> {
  const real = await realpath(path).catch(() => '');
  if (!/^\/dev\/pts\/\d+$/.test(real)) return none;
  const readers = await Promise.all((await holdersOf(real)).map(async ({ pid }) => !(await madePty(pid))));
  if (readers.includes(true)) return none;
  const file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY).catch(
    () => null,
  );
  if (!file) return none;
  return { bytes: await readAll(file), close: () => file.close() };
}

/**
 * Whether a process has a pty's master open. A pty's creator often keeps both ends open but reads only the master, so the creator
 * does not count as a reader.
 */
async function madePty(pid: number): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(files.map((file) => readlink(`/proc/${pid}/fd/${file}`).catch(() => '')));
  return targets.some((target) => target.endsWith('/ptmx'));
}

/** Reads to the end, or until a read would block. */
async function readAll(file: FileHandle): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const buffer = new Uint8Array(4096);
  // The limit is sufficient, because the kernel buffers only a few kilobytes. If the program sends continuously, further data is read
  // later.
  while (parts.length < 64) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length).catch(() => ({ bytesRead: 0 }));
    if (bytesRead === 0) break;
    parts.push(buffer.slice(0, bytesRead));
  }
  return Buffer.concat(parts);
}

/**
 * Records a board's output by appending to a file: all bytes as they arrive or, if the file's name ends with `.jsonl`, each event as a
 * line.
 */
class Recorder {
  private queue: Promise<unknown> = Promise.resolve();
  private failure: AiotError | undefined;

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly onFailure: (error: AiotError) => void,
  ) {}

  /** @throws AIOT_FILE_NOT_WRITABLE */
  static async open(path: string, onFailure: (error: AiotError) => void): Promise<Recorder> {
    try {
      return new Recorder(await open(path, 'a'), path, onFailure);
    } catch (error) {
      throw notWritable(path, error);
    }
  }

  bytes(bytes: Uint8Array): void {
    if (!this.wantsEvents) this.write(Uint8Array.from(bytes));
  }

  event(event: MonitorEvent): void {
    if (this.wantsEvents) this.write(`${JSON.stringify(event)}\n`);
  }

  /** Resolves once everything is on disk. */
  async close(): Promise<void> {
    await this.queue;
    await this.file.sync().catch(() => undefined);
    await this.file.close();
  }

  private get wantsEvents(): boolean {
    return this.path.endsWith('.jsonl');
  }

  private write(data: Uint8Array | string): void {
    this.queue = this.queue.then(async () => {
      if (this.failure) return;
      try {
        await this.file.writeFile(data);
      } catch (error) {
        this.failure = notWritable(this.path, error);
        this.onFailure(this.failure);
      }
    });
  }
}

function notWritable(path: string, cause: unknown): AiotError {
  return new AiotError(
    'AIOT_FILE_NOT_WRITABLE',
    `cannot write ${path} (${systemCode(cause) ?? 'unknown error'})`,
    {
      cause,
      endpoint: path,
    },
  );
}
