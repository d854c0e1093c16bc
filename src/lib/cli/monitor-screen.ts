import type { ReadStream } from 'node:tty';
import type { MonitorControl, MonitorOptions } from '../flash/monitor/monitor.js';
import type { MonitorEvent } from '../flash/monitor/events.js';
import { keysHelp } from './keys.js';
import { LivePlot, screenOf } from './live-plot.js';
import { monitorText } from './render/monitor.js';
import { forTerminal } from './render/style.js';
import { type Typed, typedKeys } from './typed.js';

export interface MonitorScreenOptions {
  timestamps: boolean;
  /** An ELF file was given, to name the places of a crash. */
  hasElf: boolean;
  plot: boolean;
  /** Bytes as they come instead of lines. */
  raw: boolean;
  /** What a pressed Return sends. */
  eol: string;
  /** A terminal to type at, or what is sent on as it is; null: nothing. */
  stdin: ReadStream | null;
  stdout: NodeJS.WriteStream;
  note: (text: string) => void;
}

/** A monitor as people see it: lines and notes, a plot at the end, keys. */
export class MonitorScreen {
  private readonly plot: LivePlot | null;
  private readonly typed: Typed | null = null;
  private control: MonitorControl | null = null;

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

  /** What goes into the options of a monitor. */
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
    this.plot?.end();
    this.typed?.close();
    if (!this.typed) this.options.stdin?.destroy();
  }

  private show(event: MonitorEvent): void {
    const { timestamps, hasElf, raw, stdout, note } = this.options;
    if (event.event === 'values') this.plot?.add(event.values);
    const shown = monitorText(event, timestamps, hasElf);
    if (!shown || (raw && shown.kind === 'line')) return;
    if (shown.kind === 'note') note(shown.text);
    else if (this.plot) this.plot.line(shown.text);
    else stdout.write(forTerminal(`${shown.text}\n`));
  }
}
