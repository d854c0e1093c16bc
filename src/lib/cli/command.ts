import { setMaxListeners } from 'node:events';
import { stripVTControlCharacters } from 'node:util';
import { Command, type Interfaces } from '@oclif/core';
import type { ZodType } from 'zod';
import { AiotError } from '../core/errors.js';
import { letYoungHeapGrow } from '../core/process.js';
import { onAbort } from '../core/tasks.js';
import { jsonLine } from '../core/text.js';
import { showError } from './errors.js';
import { common } from './flags/shared.js';
import { createProgress, type Progress, type ProgressState } from './live/progress.js';
import { drawsOver } from './live/redraw.js';
import { confirm, needsYes } from './questions.js';
import { forTerminal, useColor } from './render/style.js';
import { wrappedLines } from './render/text.js';
import { openFile, type ReportAsked } from './report.js';
import { switchedOn } from './switches.js';

/** Signals that come this soon after the first are that one again, ms. */
const repeatMs = 500;

type Parsed<T extends typeof Command> = Interfaces.InferredFlags<
  (typeof AiotCommand)['baseFlags'] & T['flags']
>;

interface Input<T extends typeof Command> {
  flags: Parsed<T>;
  args: Interfaces.InferredArgs<T['args']>;
  /** All words that are no flags: of a command that takes any number of them (`static strict = false`). */
  words: string[];
  /** Whether a flag stands on the command line itself, and not in the environment or as a default alone. */
  given: (flag: string) => boolean;
}

/**
 * Base of all commands. `run` parses with `this.input()`, calls one function of lib, prints with `this.print` and returns
 * the value; `--json` prints that value as one line instead. What `run` throws becomes a message and an exit code here.
 */
export abstract class AiotCommand extends Command {
  static override enableJsonFlag = true;
  static override baseFlags = common;
  /** Schema of the returned value, for the documentation and the tests. */
  static result: ZodType;

  private readonly interrupted = stopper();
  private outputClosed = false;
  private running: Progress | undefined;

  /** Aborted by Ctrl-C and SIGTERM, and when nobody reads stdout any more: long work stops at it and cleans up. */
  get signal(): AbortSignal {
    return this.interrupted.signal;
  }

  protected async input<T extends typeof Command>(command: T): Promise<Input<T>> {
    const { flags, args, argv, raw } = await this.parse(command as unknown as typeof AiotCommand & T);
    const { NO_COLOR, FORCE_COLOR } = process.env;
    const wanted = drawsOver(process.stdout) || (FORCE_COLOR !== undefined && FORCE_COLOR !== '0');
    useColor(wanted && !NO_COLOR && !flags['no-color'] && !this.jsonEnabled());
    return {
      flags: flags as Parsed<T>,
      args: args as Interfaces.InferredArgs<T['args']>,
      words: argv as string[],
      given: (name) => raw.some((token) => token.type === 'flag' && token.flag === name),
    };
  }

  override jsonEnabled(): boolean {
    return switchedOn('json', this.argv);
  }

  /** True under --quiet: no progress is shown. */
  protected get quiet(): boolean {
    return switchedOn('quiet', this.argv);
  }

  /** The result for people, on stdout; nothing under --json. What others have put into it does nothing to a terminal. */
  protected print(text: string): void {
    this.running?.end();
    if (!this.jsonEnabled())
      process.stdout.write(forTerminal(wrappedLines(text.endsWith('\n') ? text : `${text}\n`)));
  }

  /** A file that goes to stdout, and may go on into another: character by character, but not to a terminal. */
  protected document(text: string): void {
    this.running?.end();
    const whole = text.endsWith('\n') ? text : `${text}\n`;
    if (!this.jsonEnabled()) process.stdout.write(process.stdout.isTTY ? forTerminal(whole) : whole);
  }

  /** A line of progress, on stderr; nothing under --quiet. */
  protected note(text: string): void {
    if (this.quiet) return;
    this.running?.clear();
    const shown = forTerminal(text);
    process.stderr.write(`${process.stderr.isTTY ? shown : plain(shown)}\n`);
  }

  /** One step of long work as a JSON line on stderr, under --json and where it is not quiet: for programs that watch. */
  protected event(value: object): void {
    if (this.jsonEnabled() && !this.quiet) process.stderr.write(`${jsonLine(value)}\n`);
  }

  /**
   * Shows how far long work is: pass `this.progress().update` to lib's callback. A spinner or bar on a terminal, and not
   * before 600 ms; plain lines elsewhere; nothing under --quiet. Ends by itself with the command.
   */
  protected progress(): Progress {
    this.running ??= createProgress({ tty: drawsOver(process.stderr), quiet: this.quiet });
    return this.running;
  }

  /** What somebody may not have meant, on stderr: a line, or JSON (`warning`) under --json. */
  protected caution(text: string): void {
    if (this.jsonEnabled()) this.event({ warning: text });
    else this.note(`! ${text}`);
  }

  /**
   * The same as `progress` for work in stages: under --json each new stage is a line of JSON on stderr (`stage`, and `done` of `total`
   * where it is counted), as of `aiot flash`.
   */
  protected stages(): (stage: ProgressState) => void {
    if (!this.jsonEnabled()) return this.progress().update;
    return ({ text, picture: _, ...counted }) => this.event({ stage: text, ...counted });
  }

  /** One item of an endless output: a JSON line on stdout under --json, the given text otherwise. */
  protected item(value: unknown, text: () => string): void {
    this.running?.clear();
    process.stdout.write(`${this.jsonEnabled() ? jsonLine(value) : forTerminal(text())}\n`);
  }

  /**
   * Text or bytes of an endless output on stdout, many items at once; to be waited for where the reader is slower than this. `--json` is
   * the caller's to honour: what fast streams print is made in batches.
   */
  protected put(chunk: string | Uint8Array): void | Promise<void> {
    if (chunk.length === 0) return;
    this.running?.clear();
    if (process.stdout.write(chunk) || this.signal.aborted) return;
    return new Promise((resolve) => {
      const done = () => {
        process.stdout.off('drain', done);
        leave();
        resolve();
      };
      process.stdout.on('drain', done);
      const leave = onAbort(this.signal, done);
    });
  }

  /** Tells where a report is, and shows it where --open asks for it and there is a desktop. */
  protected async showReport(file: string | undefined, { open }: ReportAsked): Promise<void> {
    if (file === undefined) return;
    const shown = open && (await openFile(file));
    if (this.jsonEnabled()) this.event({ report: file, opened: shown ?? false });
    else this.note(`report: ${file}${open && !shown ? ' (no desktop here to show it on)' : ''}`);
  }

  /**
   * Asks on the terminal; `--yes` has answered. @throws AIOT_USAGE where nobody can be asked: no terminal, or --json
   */
  protected async agreed(question: string, yes: boolean): Promise<boolean> {
    if (yes) return true;
    const dryRun = 'dry-run' in (this.ctor.flags ?? {});
    if (this.jsonEnabled()) throw needsYes(question, dryRun);
    this.running?.clear();
    return confirm(question, this.signal, { dryRun });
  }

  /**
   * What comes before something is lost for good: asks, naming what it is.
   * @throws AIOT_USAGE where nobody can be asked, AIOT_INTERRUPTED where the answer is not yes: nothing was done
   */
  protected async agreeToLose(question: string, yes: boolean): Promise<void> {
    if (!(await this.agreed(question, yes)))
      throw new AiotError('AIOT_INTERRUPTED', 'stopped: nothing was changed');
  }

  /** Exit code for a result that is there but is not good: 1 failed, 3 partly failed, 6 a check or gate said no. */
  protected exitsWith(code: 1 | 3 | 6): void {
    process.exitCode = code;
  }

  protected override async _run<T>(): Promise<T> {
    letYoungHeapGrow();
    const stop = () => this.interrupted.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    const closed = () => {
      this.outputClosed = true;
      stop();
    };
    // Not `once`: the cursor's guard below listr2 (signal-exit) ends the process at a signal that nobody else listens to.
    let first = 0;
    const signalled = (signal: NodeJS.Signals) => {
      first ||= performance.now();
      // npx passes on what the terminal has sent here already: one Ctrl-C comes twice.
      if (performance.now() - first < repeatMs) return stop();
      // Whoever asks again wants it to end now.
      process.off(signal, signalled);
      process.kill(process.pid, signal);
    };
    process.on('SIGINT', signalled);
    process.on('SIGTERM', signalled);
    process.stdout.on('error', closed);
    try {
      return await super._run<T>();
    } finally {
      this.running?.end();
      process.off('SIGINT', signalled);
      process.off('SIGTERM', signalled);
      process.stdout.off('error', closed);
    }
  }

  /** One line. Streams that have printed their items as lines return undefined and get no further one. */
  override logJson(value: unknown): void {
    if (value !== undefined) process.stdout.write(`${jsonLine(value)}\n`);
  }

  override async catch(error: unknown): Promise<void> {
    this.running?.end();
    // Without it oclif warns, in tests, of a command whose command line was refused.
    this.parsed = true;
    // `aiot … | head` has what it wanted: that is no failure.
    if (this.outputClosed) return;
    const style = { json: this.jsonEnabled(), debug: switchedOn('debug', this.argv) };
    showError(error, { ...style, argv: 'project' in (this.ctor.flags ?? {}) ? this.argv : [] });
  }
}

/** Many parts of long work may listen to the one signal: Node's warning of a leak past ten would be wrong. */
function stopper(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

const plain = stripVTControlCharacters;
