import { Command, Errors, type Interfaces } from '@oclif/core';
import type { ZodType } from 'zod';
import { AiotError } from '../core/index.js';
import { common } from './flags.js';
import { bold, dim, red, useColor } from './render/style.js';

type Parsed<T extends typeof Command> = Interfaces.InferredFlags<
  (typeof AiotCommand)['baseFlags'] & T['flags']
>;

/**
 * Base of all commands. `run` parses with `this.input()`, calls one function of lib, prints with `this.print` and returns
 * the value; `--json` prints that value as one line instead. What `run` throws becomes a message and an exit code here.
 */
export abstract class AiotCommand extends Command {
  static override enableJsonFlag = true;
  static override baseFlags = common;
  /** Schema of the returned value, for the documentation and the tests. */
  static result: ZodType;

  private readonly interrupted = new AbortController();

  /** Aborted by Ctrl-C and SIGTERM: long work stops at it and cleans up. */
  get signal(): AbortSignal {
    return this.interrupted.signal;
  }

  protected async input<T extends typeof Command>(
    command: T,
  ): Promise<{ flags: Parsed<T>; args: Interfaces.InferredArgs<T['args']> }> {
    const { flags, args } = await this.parse(command as unknown as typeof AiotCommand & T);
    useColor(!flags['no-color'] && !this.jsonEnabled() && process.stdout.isTTY === true);
    return { flags: flags as Parsed<T>, args: args as Interfaces.InferredArgs<T['args']> };
  }

  /** The result for people, on stdout; nothing under --json. */
  protected print(text: string): void {
    if (!this.jsonEnabled()) process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** Progress, on stderr; nothing under --quiet. */
  protected note(text: string): void {
    if (!this.argv.includes('--quiet') && !this.argv.includes('-q')) process.stderr.write(`${text}\n`);
  }

  /** One item of an endless output: a JSON line on stdout under --json, the given text otherwise. */
  protected item(value: unknown, text: () => string): void {
    process.stdout.write(`${this.jsonEnabled() ? JSON.stringify(value) : text()}\n`);
  }

  protected override async _run<T>(): Promise<T> {
    const stop = () => this.interrupted.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    try {
      return await super._run<T>();
    } finally {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    }
  }

  /** One line. Streams that have printed their items as lines return undefined and get no further one. */
  override logJson(value: unknown): void {
    if (value !== undefined) process.stdout.write(`${JSON.stringify(value)}\n`);
  }

  override async catch(error: unknown): Promise<void> {
    const shown = asAiotError(error);
    if (this.jsonEnabled() || this.argv.includes('--json')) {
      this.logJson({ error: shown.toJSON() });
    } else {
      process.stderr.write(renderError(shown));
    }
    if (this.argv.includes('--debug') || shown.family === 'bug')
      process.stderr.write(`${dim(stackOf(error))}\n`);
    process.exitCode = shown.exit;
  }
}

/** oclif's own errors are usage errors; anything else unknown is a bug of ours. */
export function asAiotError(error: unknown): AiotError {
  if (error instanceof AiotError) return error;
  if (error instanceof Errors.CLIError) {
    const [message = ''] = error.message.split('\nSee more help');
    return new AiotError('AIOT_USAGE', message.trim(), { cause: error });
  }
  if (error instanceof Error && error.name === 'AbortError' && error.cause instanceof AiotError)
    return error.cause;
  const message = error instanceof Error ? error.message : String(error);
  return new AiotError('AIOT_BUG', message, { cause: error });
}

export function renderError(error: AiotError): string {
  return `${red('✗')} ${bold(`${error.code}:`)} ${error.message}\n  ${dim('Try:')} ${error.next}\n`;
}

function stackOf(error: unknown): string {
  const parts: string[] = [];
  for (let e = error; e instanceof Error; e = e.cause) parts.push(e.stack ?? e.message);
  return parts.join('\ncaused by: ');
}
