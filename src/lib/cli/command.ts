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
import { stepProgress } from './live/steps.js';
import { confirm, needsYes } from './questions.js';
import { drawsOver, forTerminal, shownPath, useColor, wrappedLines } from './render/text.js';
import { openFile, type ReportAsked } from './report.js';
import { switchedOn } from './switches.js';

/** Time within which a repeated signal is considered the same one, ms. */
const repeatMs = 500;

type Parsed<T extends typeof Command> = Interfaces.InferredFlags<
  (typeof AiotCommand)['baseFlags'] & T['flags']
>;

interface Input<T extends typeof Command> {
  flags: Parsed<T>;
  args: Interfaces.InferredArgs<T['args']>;
  /** All positional words, for commands that accept any number of them (`static strict = false`). */
  words: string[];
  /** Whether a flag was typed on the command line. False if its value comes from the environment or a default. */
  given: (flag: string) => boolean;
}

/**
 * Base of all commands. `run` parses with `this.input()`, calls one function of lib, prints with `this.print` and returns the value. With
 * `--json`, that value is printed as one line instead. Errors thrown by `run` become a message and an exit code here.
 */
/**
 * Turns values of repeatable flags from environment variables into lists. oclif 4 splits values only on the command line, although the type of
 * the flag promises a list.
 */
function listsFromEnvironment(declared: Interfaces.FlagInput, flags: Record<string, unknown>): void {
  for (const [name, flag] of Object.entries(declared)) {
    const value = flags[name];
    if (flag.type !== 'option' || !flag.multiple || value === undefined || Array.isArray(value)) continue;
    flags[name] = typeof value === 'string' && flag.delimiter ? value.split(flag.delimiter) : [value];
  }
}

export abstract class AiotCommand extends Command {
  static override enableJsonFlag = true;
  static override baseFlags = common;
  /** Schema of the returned value, for the documentation and the tests. */
  static result: ZodType;

  private readonly interrupted = stopper();
  private outputClosed = false;
  private running: Progress | undefined;

  /**
   * Aborted by Ctrl-C and SIGTERM, and by the reader of stdout if it closes the pipe. Long-running work then stops and cleans up.
   */
  get signal(): AbortSignal {
    return this.interrupted.signal;
  }

  protected async input<T extends typeof Command>(command: T): Promise<Input<T>> {
    // oclif reads only a class's own members, but the commands of a family inherit some members.
    const { args: ownArgs, flags: ownFlags, baseFlags, enableJsonFlag, strict } = command as typeof Command;
    const declared = { ...command, args: ownArgs, flags: ownFlags, baseFlags, enableJsonFlag, strict };
    const { flags, args, argv, raw } = await this.parse(declared as unknown as typeof AiotCommand & T);
    listsFromEnvironment({ ...baseFlags, ...ownFlags }, flags);
    const { NO_COLOR, FORCE_COLOR } = process.env;
    const wanted = drawsOver(process.stdout) || (FORCE_COLOR !== undefined && FORCE_COLOR !== '0');
    await useColor(wanted && !NO_COLOR && !flags['no-color'] && !this.jsonEnabled());
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

  /** Whether --quiet is given, so that no progress is shown. */
  protected get quiet(): boolean {
    return switchedOn('quiet', this.argv);
  }

  /** Prints the result for people on stdout; nothing under --json. Text from other sources is sanitized for the terminal. */
  protected print(text: string): void {
    this.running?.end();
    if (!this.jsonEnabled())
      process.stdout.write(forTerminal(wrappedLines(text.endsWith('\n') ? text : `${text}\n`)));
  }

  /** Prints the next commands (see `next`); nothing under --quiet. */
  protected suggest(steps: string): void {
    if (!this.quiet) this.print(steps);
  }

  /** Prints a document to stdout, which may be redirected to a file. The text is not changed, except on a terminal. */
  protected document(text: string): void {
    this.running?.end();
    const whole = text.endsWith('\n') ? text : `${text}\n`;
    if (!this.jsonEnabled()) process.stdout.write(process.stdout.isTTY ? forTerminal(whole) : whole);
  }

  /** Prints a line of progress on stderr; nothing under --quiet. */
  protected note(text: string): void {
    if (this.quiet) return;
    this.running?.clear();
    const shown = forTerminal(text);
    process.stderr.write(`${process.stderr.isTTY ? shown : plain(shown)}\n`);
  }

  /** Prints one step of long work as a JSON line on stderr, for monitoring programs. Printed only under --json, and not under --quiet. */
  protected event(value: object): void {
    if (this.jsonEnabled() && !this.quiet) process.stderr.write(`${jsonLine(value)}\n`);
  }

  /**
   * Shows the progress of long work: pass `this.progress().update` to lib's callback. Draws a spinner or bar on a terminal, after 600 ms at
   * the earliest. Prints plain lines elsewhere, and nothing under --quiet. The display ends automatically with the command.
   */
  protected progress(): Progress {
    this.running ??= createProgress({ tty: drawsOver(process.stderr), quiet: this.quiet });
    return this.running;
  }

  /**
   * Like `progress`, for a sequence of steps: a live list on a terminal. `keep: false` clears the list at the end, for commands
   * whose result repeats the whole list. `lines: false` shows nothing without a terminal, for commands that take only seconds.
   */
  protected steps({ keep = true, lines = true } = {}): Progress {
    const draws = drawsOver(process.stderr) && !this.jsonEnabled();
    if (!draws && !lines) return createProgress({ tty: false, quiet: true });
    if (!draws || this.quiet) return this.progress();
    this.running ??= stepProgress({ keep });
    return this.running;
  }

  /** Prints a warning about something that may be unintended on stderr: a line, or JSON (`warning`) under --json. */
  protected caution(text: string): void {
    if (this.jsonEnabled()) this.event({ warning: text });
    else this.note(`! ${text}`);
  }

  /**
   * Like `progress`, but for work in stages. Under --json, each new stage is a line of JSON on stderr: `stage`, and `done` of `total` if
   * the stage is counted. With `list`, each stage remains as a line of a list of steps.
   */
  protected stages({ list = false } = {}): (stage: ProgressState) => void {
    if (!this.jsonEnabled()) return (list ? this.steps() : this.progress()).update;
    return ({ text, done, total }) => this.event({ stage: text, done, total });
  }

  /** Prints one item of an endless output on stdout: a JSON line under --json, otherwise the given text. */
  protected item(value: unknown, text: () => string): void {
    this.running?.clear();
    process.stdout.write(`${this.jsonEnabled() ? jsonLine(value) : forTerminal(text())}\n`);
  }

  /**
   * Writes text or bytes of an endless output to stdout, many items at once. Returns a promise if the reader is slower. The caller must
   * handle `--json` itself, because the output of fast streams is created in batches.
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

  /** Prints the path of a report. Opens the report if --open is given and there is a desktop. */
  protected async showReport(file: string | undefined, { open }: ReportAsked): Promise<void> {
    if (file === undefined) return;
    const shown = open && (await openFile(file));
    if (this.jsonEnabled()) this.event({ report: file, opened: shown ?? false });
    else
      this.note(`report: ${shownPath(file)}${open && !shown ? ' (no desktop is available to open it)' : ''}`);
  }

  /** Asks a question on the terminal; `--yes` answers it in advance. @throws AIOT_USAGE without a terminal, or with --json */
  protected async agreed(question: string, yes: boolean): Promise<boolean> {
    if (yes) return true;
    const dryRun = 'dry-run' in (this.ctor.flags ?? {});
    if (this.jsonEnabled()) throw needsYes(question, dryRun, 'with --json');
    this.running?.clear();
    return confirm(question, this.signal, { dryRun });
  }

  /**
   * Asks for confirmation before an irreversible loss of data. The question names the data.
   * @throws AIOT_USAGE if there is no terminal, AIOT_INTERRUPTED if the answer is not yes, before anything was changed
   */
  protected async agreeToLose(question: string, yes: boolean): Promise<void> {
    if (!(await this.agreed(question, yes)))
      throw new AiotError('AIOT_INTERRUPTED', 'canceled: nothing was changed');
  }

  /**
   * Sets the exit code of a command that has a result but did not succeed: 1 failed, 3 partly failed, 6 a check or gate failed, 130
   * interrupted.
   */
  protected exitsWith(code: 1 | 3 | 6 | 130): void {
    process.exitCode = code;
  }

  protected override async _run<T>(): Promise<T> {
    letYoungHeapGrow();
    const stop = () => this.interrupted.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    const closed = () => {
      this.outputClosed = true;
      stop();
    };
    // `once` is not used here, because listr2's cursor guard (signal-exit) ends the process on a signal that has no other listener.
    let first = 0;
    const signalled = (signal: NodeJS.Signals) => {
      first ||= performance.now();
      // npx passes on signals that the terminal has already sent here, so one Ctrl-C arrives twice.
      if (performance.now() - first < repeatMs) return stop();
      // A second signal ends the process immediately.
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

  /** Prints the result as one line. Commands that print a stream of items return undefined, and nothing more is printed. */
  override logJson(value: unknown): void {
    if (value !== undefined) process.stdout.write(`${jsonLine(value)}\n`);
  }

  override async catch(error: unknown): Promise<void> {
    this.running?.end(true);
    // Without this assignment, oclif prints a warning in tests if a command line was rejected.
    this.parsed = true;
    // The reader closed stdout because it needs no further output, as in `aiot … | head`. That is not a failure.
    if (this.outputClosed) return;
    const style = { json: this.jsonEnabled(), debug: switchedOn('debug', this.argv) };
    showError(error, { ...style, argv: 'project' in (this.ctor.flags ?? {}) ? this.argv : [] });
  }
}

/** A controller without Node's leak warning, because long-running work may attach more than ten listeners to its signal. */
function stopper(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

const plain = stripVTControlCharacters;
