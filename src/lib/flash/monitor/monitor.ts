import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError } from '../../core/errors.js';
import { onAbort, untilAborted } from '../../core/tasks.js';
import { resetBoard } from '../loader/reset.js';
import { holdersOf } from '../port/holders.js';
import type { SerialLine, UsbIdentity } from '../port/line.js';
import { choosePort, listPorts } from '../port/list.js';
import { openLine } from '../port/open-line.js';
import { BoardText } from './board-text.js';
import { type CrashDecoder, noDecoder } from './crashes.js';
import type { Level, MonitorEnd, MonitorEvent } from './events.js';
import { Recorder } from './recorder.js';

export interface MonitorOptions {
  /** Port or address; undefined = the only board, once there is one. */
  port?: string | undefined;
  baud: number;
  /** Reset the board once it is there; never otherwise. */
  reset?: boolean;
  /** Ends well when a line matches. */
  until?: RegExp | undefined;
  /** Ends badly when a line matches. */
  fail?: RegExp | undefined;
  /** Fails after this time, ms. */
  timeoutMs?: number | undefined;
  /** Ends well after this time, ms. */
  forMs?: number | undefined;
  /** Neither wait for the port nor for it to come back. */
  once?: boolean;
  /** What is shown: lines that match this, and not that, and are at least as grave. */
  filter?: RegExp | undefined;
  exclude?: RegExp | undefined;
  level?: Level | undefined;
  /** ELF file of the program, for crashes. */
  elf?: string | undefined;
  /** Tell numbers of lines as values. */
  values?: boolean;
  /** File that gets everything: bytes, or with `.jsonl` events. */
  record?: string | undefined;
  /** Texts sent once the board is there, each as a line. */
  send?: readonly string[] | undefined;
  /** What is sent on; ends when it likes. */
  input?: AsyncIterable<Uint8Array> | undefined;
  /** What ends a sent line. */
  eol?: 'lf' | 'cr' | 'crlf';
  /** Gets every byte as it comes. */
  onBytes?: ((bytes: Uint8Array) => void) | undefined;
  onEvent: (event: MonitorEvent) => void;
  /** Once, before the port is opened: what may be done meanwhile. */
  onStart?: ((control: MonitorControl) => void) | undefined;
  signal: AbortSignal;
  /** For tests: instead of a port of this machine. */
  open?: (address: string, options: { baud: number; signal: AbortSignal }) => Promise<SerialLine>;
}

export const lineEnds = { lf: '\n', cr: '\r', crlf: '\r\n' } as const;

/**
 * Shows what a board says on its serial line until something ends it: waits for the port, and for it to come back. Resets
 * nothing unless told to, and sends nothing unless given something.
 *
 * @throws AIOT_TIMEOUT, AIOT_MONITOR_FAILED (`fail` came), AIOT_INTERRUPTED, AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED,
 * AIOT_FILE_NOT_WRITABLE, AIOT_SERIAL_LOST with `once`, and what opening the port throws where waiting cannot help
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

/** The reader of ELF files is loaded where there is one. */
async function decoderOf(elf: string | undefined): Promise<CrashDecoder> {
  if (elf === undefined) return noDecoder;
  const { openDecoder } = await import('./crash-decoder.js');
  return openDecoder(elf);
}

/** What may be done with a running monitor. */
export interface MonitorControl {
  quit(): void;
  /** False when the port has no DTR and RTS, or is not there. */
  reset(mode: 'hard-reset' | 'download'): Promise<boolean>;
}

/** One monitor from its first port to its end. */
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
  /** What the line had kept before it was opened. */
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
      // Not awaited: an input that waits for a key does not answer.
      void input?.return?.();
    }
    return this.conclude();
  }

  quit(): void {
    // Whoever waits for a line is not served by an end without it.
    this.finish(this.options.until ? { why: 'interrupted' } : { why: 'quit', matched: null });
  }

  async reset(mode: 'hard-reset' | 'download'): Promise<boolean> {
    const done = this.line !== null && (await resetBoard(this.line, mode));
    this.emit({ event: 'reset', t: Date.now(), done });
    return done;
  }

  /** The first ending counts. */
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

  /** Follows one line to its end; why it ended, null when it is us. */
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
      // A line lost while something is sent tells so here and to its listener: one of them is enough.
      if (this.ending || error instanceof AiotError) return this.ending ? null : (error as Error);
      throw error;
    } finally {
      unlisten();
      this.line = null;
      await line.close();
    }
  }

  private async begin(): Promise<void> {
    const { reset, send = [], eol = 'lf' } = this.options;
    if (reset) await this.reset('hard-reset');
    for (const text of send) await this.line?.write(new TextEncoder().encode(text + lineEnds[eol]));
  }

  private async pump(input: AsyncIterator<Uint8Array>): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await input.next();
        if (done || this.ending) return;
        // What is typed while no board is there is for nobody.
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
  /** Undefined: the only board, once there is one. */
  port: string | undefined;
  /** Neither wait for the port nor for it to come back. */
  once: boolean;
  open: (address: string) => Promise<SerialLine>;
  /** Told once for each new reason to wait. */
  onWait: (port: string | null, why: string) => void;
  signal: AbortSignal;
}

const pollMs = 250;

/** So long after a board came back others may still hold its port, or the system has not set who may open it. */
const settlingMs = 5000;

/**
 * Opens a port again and again: each line is given once it is there, the next one after the one before has ended. A board
 * that comes back under another name is known by its USB serial number.
 *
 * @throws what opening it throws, where waiting cannot help: AIOT_SERIAL_BUSY, AIOT_SERIAL_DENIED, AIOT_SERIAL_AMBIGUOUS, …
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

/** Whether the same call may succeed by waiting alone. */
async function mayCome(error: unknown, port: string | null, settlingNow: boolean): Promise<boolean> {
  if (!(error instanceof AiotError)) return false;
  if (settling.includes(error.code)) return settlingNow;
  if (!absent.includes(error.code)) return false;
  const file = port === null ? null : await stat(port).catch(() => null);
  // What is no serial port does not become one.
  return file === null || file.isCharacterDevice();
}

/** The port's name now: as it was, or the one that the same board has got instead. */
async function whereIs(port: string | undefined, board: UsbIdentity | null): Promise<string> {
  if (port === undefined) return choosePort();
  if (!board?.serialNumber || (await stat(port).catch(() => null))) return port;
  const same = (await listPorts()).find(
    ({ usb }) =>
      usb?.serialNumber === board.serialNumber &&
      Number.parseInt(usb.vendorId, 16) === board.vendorId &&
      Number.parseInt(usb.productId, 16) === board.productId,
  );
  return same?.path ?? port;
}

/** Why a monitor ended. */
type Ending =
  | { why: 'until' | 'for' | 'quit'; matched: string | null }
  | { why: 'timeout' | 'interrupted' }
  | { why: 'fail'; text: string }
  | { why: 'error'; error: unknown };

interface Heard {
  options: Pick<MonitorOptions, 'until' | 'timeoutMs' | 'port'>;
  /** Why the port is not there; null when it is. */
  waitingFor: string | null;
  bytes: number;
  lines: number;
  /** The last line that was not empty. */
  last: string;
}

/** The error of an ending that is none to be glad of, with what was heard until then. */
function failureOf(ending: Ending | null, heard: Heard): unknown {
  switch (ending?.why) {
    case 'error':
      return ending.error;
    case 'fail':
      return new AiotError('AIOT_MONITOR_FAILED', `the board said: ${short(ending.text)}`);
    case 'timeout':
      return late(heard);
    default:
      return new AiotError('AIOT_INTERRUPTED', `stopped after ${heard.lines} lines`);
  }
}

function late({ options, waitingFor, bytes, lines, last }: Heard): AiotError {
  const time = `${(options.timeoutMs ?? 0) / 1000} s`;
  const wanted = options.until ? `${options.until} did not come in ${time}` : `the time of ${time} was over`;
  if (waitingFor !== null)
    return new AiotError('AIOT_TIMEOUT', `${wanted}: ${waitingFor}`, { next: 'aiot device ports' });
  if (bytes === 0)
    return new AiotError('AIOT_TIMEOUT', `${wanted}: nothing came from the board`, {
      next: 'Look at the port, at --baud and at the cable; --reset starts its program anew.',
    });
  if (isNoise(last))
    return new AiotError('AIOT_TIMEOUT', `${wanted}: what came is noise, or text at another speed`, {
      next: 'Try another --baud: 115200 is usual, 74880 with a 26 MHz crystal.',
    });
  return new AiotError('AIOT_TIMEOUT', `${wanted}; ${lines} lines came, the last: ${short(last)}`);
}

/** More than a tenth of it is no text. */
function isNoise(line: string): boolean {
  const odd = [...line].filter(
    (character) => character === '\ufffd' || (character > '~' && character < '\u00a0'),
  );
  return odd.length > line.length / 10;
}

const short = (text: string) => (text.length > 120 ? `${text.slice(0, 119)}…` : text);

interface WaitingText {
  bytes: Uint8Array;
  /** Lets the port go: once it is opened otherwise, as a pty whose last user leaves hangs up. */
  close(): Promise<void>;
}

const none: WaitingText = { bytes: new Uint8Array(0), close: async () => undefined };

/**
 * What a pty has kept for its next reader: a program behind it may have said all it has to say already. Opening it as a
 * serial port throws that away (serialport empties what it opens). Real ports keep nothing, and one that another program
 * reads is left alone.
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

/** Whether a program has a pty's other end, too: who makes one often keeps both, and reads at its own. */
async function madePty(pid: number): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(files.map((file) => readlink(`/proc/${pid}/fd/${file}`).catch(() => '')));
  return targets.some((target) => target.endsWith('/ptmx'));
}

/** To the end, or until a read would wait. */
async function readAll(file: FileHandle): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const buffer = new Uint8Array(4096);
  // The kernel holds at most some kilobytes; who talks without end is read later.
  while (parts.length < 64) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length).catch(() => ({ bytesRead: 0 }));
    if (bytesRead === 0) break;
    parts.push(buffer.slice(0, bytesRead));
  }
  return Buffer.concat(parts);
}
