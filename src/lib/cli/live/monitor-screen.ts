import type { ReadStream } from 'node:tty';
import { plural } from '../../core/figures.js';
import type { CrashFrame } from '../../flash/monitor/crashes.js';
import type { Level, MonitorEvent } from '../../flash/monitor/events.js';
import type { MonitorControl, MonitorOptions } from '../../flash/monitor/monitor.js';
import { bold, cyan, dim, forTerminal, green, red, timeOfDay, yellow } from '../render/text.js';
import { LivePlot, screenOf } from './plot.js';

interface MonitorScreenOptions {
  timestamps: boolean;
  /** Whether an ELF file was given, to resolve the addresses of a crash. */
  hasElf: boolean;
  plot: boolean;
  /** Whether to show raw bytes instead of lines. */
  raw: boolean;
  /** Line ending that is sent for the Return key. */
  eol: string;
  /** A terminal for typing, or a stream that is forwarded unchanged; null = no input. */
  stdin: ReadStream | null;
  stdout: NodeJS.WriteStream;
  note: (text: string) => void;
}

/** The display of a monitor: lines, notes, a plot below them, and key commands. */
export class MonitorScreen {
  private readonly plot: LivePlot | null;
  private readonly typed: Typed | null = null;
  private control: MonitorControl | null = null;
  private hasExplainedEmpty = false;
  /** The last complete line, and how often it has been repeated since it was shown. */
  private last: { text: string; repeats: number } | null = null;

  constructor(private readonly options: MonitorScreenOptions) {
    const { stdin, stdout, eol, plot } = options;
    this.plot = plot ? new LivePlot(screenOf(stdout, (text) => stdout.write(text))) : null;
    if (!stdin?.isTTY) return;
    this.typed = typedKeys(stdin, eol, (action) => {
      if (action === 'quit') this.control?.quit();
      else if (action === 'interrupt') process.kill(process.pid, 'SIGINT');
      else if (action === 'help') options.note(keysHelp);
      else void this.control?.reset(action === 'reset' ? 'hard-reset' : 'download').catch(() => undefined);
    });
    options.note(keysHelp);
  }

  /** Callbacks for the options of a monitor. */
  get wiring(): Pick<MonitorOptions, 'input' | 'onBytes' | 'onEvent' | 'onStart'> {
    const { stdin, stdout, raw } = this.options;
    return {
      input: this.typed?.bytes ?? stdin ?? undefined,
      onBytes: raw ? (bytes) => void stdout.write(bytes) : undefined,
      onEvent: (event) => this.show(event),
      onStart: (control) => {
        this.control = control;
      },
    };
  }

  close(): void {
    this.endRepeats();
    this.plot?.end();
    this.typed?.close();
    if (!this.typed) this.options.stdin?.destroy();
  }

  private show(event: MonitorEvent): void {
    const { timestamps, hasElf, raw, note } = this.options;
    if (event.event === 'values') this.plot?.add(event.values);
    const shown = monitorText(event, timestamps, hasElf);
    if (!shown || (raw && shown.kind === 'line') || this.repeats(event)) return;
    this.endRepeats();
    if (event.event === 'line' && !event.partial) this.last = { text: event.text, repeats: 0 };
    if (shown.kind === 'note') note(shown.text);
    else this.line(shown.text);
    if (event.event === 'line') this.explainEmpty(event.text);
  }

  private line(text: string): void {
    if (this.plot) this.plot.line(text);
    else this.options.stdout.write(forTerminal(`${text}\n`));
  }

  /** Whether the event repeats the last line, in which case it is only counted. With timestamps, each line has its own time. */
  private repeats(event: MonitorEvent): boolean {
    const { last } = this;
    if (event.event !== 'line' || event.partial || this.options.timestamps) return false;
    if (last === null || event.text === '' || event.text !== last.text) return false;
    last.repeats++;
    return true;
  }

  /** Shows how often the last line was repeated, once another one follows. */
  private endRepeats(): void {
    const { last } = this;
    this.last = null;
    if (last !== null && last.repeats > 0) this.line(dim(`(repeated ${plural(last.repeats, 'time')})`));
  }

  /** Reports once that the flash is empty. Boards without a program print the same line several times a second. */
  private explainEmpty(text: string): void {
    if (this.hasExplainedEmpty || !emptyFlash.test(text)) return;
    this.hasExplainedEmpty = true;
    this.options.note(dim(`· ${noProgram}`));
  }
}

/** Printed by the chip's ROM if the flash is erased at the address of the bootloader. */
const emptyFlash = /^invalid header: 0xffffffff/;

const noProgram =
  "there is no program in the board's flash; to write one, use aiot flash FILE or aiot flash --project FIRMWARE_DIR";

const ofLevel: Record<Level, (text: string) => string> = {
  error: red,
  warn: yellow,
  info: green,
  debug: dim,
  verbose: dim,
};

/** Text of an event: the board's output, or a note about it; null if the output line already shows it. */
function monitorText(
  event: MonitorEvent,
  timestamps: boolean,
  hasElf: boolean,
): { kind: 'line' | 'note'; text: string } | null {
  const at = timestamps ? `${dim(timeOfDay(event.t))}  ` : '';
  switch (event.event) {
    case 'line':
      return { kind: 'line', text: at + (event.level ? ofLevel[event.level](event.text) : event.text) };
    case 'crash':
      return crash(event, hasElf);
    case 'values':
    case 'ended':
      return null;
    case 'waiting':
      return note(`waiting: ${event.why}`);
    case 'connected':
      return note(`${event.port} at ${event.baud}`);
    case 'lost':
      return note(`${event.why}; waiting to reconnect`);
    case 'reset':
      return note(event.done ? 'board reset' : 'not reset: this port has no DTR and RTS');
  }
}

const note = (text: string) => ({ kind: 'note' as const, text: dim(`· ${text}`) });

function crash(event: Extract<MonitorEvent, { event: 'crash' }>, hasElf: boolean) {
  const lines = event.frames.map((frame) => `    ${cyan(frame.address)}  ${place(frame)}`);
  if (event.elfMatches === false)
    lines.push(
      `    ${yellow('the board reports a different SHA-256 than this ELF file: the file is from another build or was stripped, so these source locations may be wrong')}`,
    );
  if (event.frames.length > 0 && event.frames.every((frame) => frame.function === null))
    lines.push(dim(`    ${hasElf ? unnamed : 'use --elf FILE to show source locations'}`));
  return lines.length > 0 ? { kind: 'line' as const, text: lines.join('\n') } : null;
}

const unnamed =
  "the ELF file has no names for these addresses: it is stripped or belongs to another program; use the linker's output file";

/** A location in the source code, such as `app_main  main.c:42  (PC)`. */
function place({ function: name, file, line, from }: CrashFrame): string {
  const where = file ? `  ${file}${line === null ? '' : `:${line}`}` : '';
  const about = from === 'backtrace' ? '' : dim(`  (${from === 'stack' ? 'possibly on the stack' : from})`);
  return `${name ? bold(name) : '?'}${where}${about}`;
}

/** Meanings of keys that are not forwarded. */
type KeyAction = 'quit' | 'interrupt' | 'reset' | 'download' | 'help';

const code = (letter: string) => letter.charCodeAt(0);

/** Ctrl-C. In raw mode, a terminal does not convert it to a signal. */
const ctrlC = 0x03;

/** Ctrl-], which quits the monitor, as in other monitors. */
const quit = 0x1d;

/** Ctrl-T, after which the next key is a command for the monitor. */
const menu = 0x14;

const actions: ReadonlyMap<number, KeyAction> = new Map([
  [code('r'), 'reset'],
  [code('b'), 'download'],
  [code('h'), 'help'],
]);

const keysHelp =
  'Ctrl-] quit · Ctrl-T r reset the board · Ctrl-T b start the loader · Ctrl-T Ctrl-T send Ctrl-T';

/** Separates typed bytes into commands and bytes to forward. Remembers a trailing Ctrl-T for the next bytes. */
export class KeyReader {
  private afterMenu = false;

  constructor(private readonly eol: string) {}

  read(bytes: Uint8Array): { send: Uint8Array; actions: KeyAction[] } {
    const send: number[] = [];
    const done: KeyAction[] = [];
    for (const byte of bytes) {
      if (this.afterMenu) {
        this.afterMenu = false;
        // The key is recognized even if Ctrl is still pressed.
        const action = actions.get(byte < 0x20 ? byte + 0x60 : byte);
        if (byte === menu) send.push(menu);
        else done.push(action ?? 'help');
      } else if (byte === menu) this.afterMenu = true;
      else if (byte === ctrlC) done.push('interrupt');
      else if (byte === quit) done.push('quit');
      else if (byte === 0x0d) send.push(...new TextEncoder().encode(this.eol));
      else send.push(byte);
    }
    return { send: Uint8Array.from(send), actions: done };
  }
}

interface Typed {
  /** Bytes to forward. */
  bytes: AsyncIterable<Uint8Array>;
  /** Restores the terminal and ends `bytes`. */
  close(): void;
}

/** Keys typed at a terminal, until it is closed. Commands for the monitor go to `onAction`. */
function typedKeys(terminal: ReadStream, eol: string, onAction: (action: KeyAction) => void): Typed {
  const reader = new KeyReader(eol);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(
    undefined,
    undefined,
    new CountQueuingStrategy({ highWaterMark: 1024 }),
  );
  const writer = writable.getWriter();
  const take = (bytes: Uint8Array) => {
    const { send, actions } = reader.read(bytes);
    if (send.length > 0) writer.write(send).catch(() => undefined);
    for (const action of actions) onAction(action);
  };
  terminal.setRawMode(true);
  terminal.on('data', take);
  terminal.resume();
  return {
    bytes: readable,
    close: () => {
      terminal.off('data', take);
      terminal.setRawMode(false);
      terminal.pause();
      terminal.unref();
      writer.close().catch(() => undefined);
    },
  };
}
