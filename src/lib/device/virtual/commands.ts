import { AiotError } from '../../core/errors.js';
import { runProgram } from '../../core/process.js';
import { loadProject } from '../../core/project.js';
import type { CommandConfig } from '../../core/project-schema.js';
import { parsedJson } from '../../core/text.js';
import { parseDuration } from '../../core/time.js';
import { parse } from '../../stream/decode/expression.js';
import type { CommandHandler } from './types.js';

/** Time between SIGTERM and SIGKILL of a command's program, ms. */
const graceMs = 2000;
/** Longest run of a program that applies settings, ms. */
const settingsTimeoutMs = 20_000;

/**
 * The commands that a project defines for devices of a type, as handlers of a virtual device. A virtual device does not implement commands
 * without `run` or `simulate`.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_STREAM_EXPRESSION
 */
export async function projectCommands(folder: string, type: string): Promise<Record<string, CommandHandler>> {
  const { config, dir } = await loadProject(folder);
  const own = Object.hasOwn(config.commands ?? {}, type) ? (config.commands?.[type] ?? {}) : {};
  const handlers = Object.entries(own).flatMap(([name, command]): [string, CommandHandler][] => {
    const handler = handlerOf(command, dir);
    return handler ? [[name, handler]] : [];
  });
  return Object.fromEntries(handlers);
}

/**
 * Runs the program that a project defines for applying the settings of a type; undefined = there is none.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID
 */
export async function projectSettings(
  folder: string,
  type: string,
): Promise<((values: Record<string, unknown>) => Promise<void>) | undefined> {
  const { config, dir } = await loadProject(folder);
  const own = Object.hasOwn(config.settings ?? {}, type) ? config.settings?.[type] : undefined;
  const run = own?.run;
  if (!run) return undefined;
  return async (values) => {
    await runCommand(run, values, dir, settingsTimeoutMs).catch((error: unknown) => {
      if (!(error instanceof AiotError)) throw error;
      throw new AiotError('AIOT_SETTINGS_REJECTED', error.message, { cause: error });
    });
  };
}

function handlerOf({ run, simulate, timeout }: CommandConfig, dir: string): CommandHandler | null {
  if (run) return (params) => runCommand(run, params, dir, parseDuration(timeout));
  if (simulate === undefined) return null;
  const expression = parse(simulate);
  return async (params) => objectOf(await expression.evaluate(params), 'simulate');
}

/** Runs a program in the project's folder, without a shell. @throws AIOT_COMMAND_FAILED with the last line of its stderr */
async function runCommand(
  [program = '', ...args]: readonly string[],
  params: object,
  cwd: string,
  timeoutMs: number,
): Promise<Record<string, unknown>> {
  const input = Buffer.from(JSON.stringify(params));
  const end = await runProgram(program, args, { cwd, input, timeoutMs, graceMs, group: true }).catch(
    (error: unknown) => {
      throw failed(
        `${program} could not be started: ${error instanceof Error ? error.message : String(error)}`,
      );
    },
  );
  if (end.timedOut) throw failed(`${program} took more than ${timeoutMs / 1000} s`);
  if (end.code !== 0) {
    const reason = end.stderr.trim().split('\n').at(-1) ?? '';
    throw failed(
      `${program} ended with ${end.code ?? end.endedBy}${reason === '' ? '' : `: ${reason.slice(0, 300)}`}`,
    );
  }
  return objectOf(end.stdout.trim() === '' ? {} : parsedJson(end.stdout), program);
}

function objectOf(value: unknown, from: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw failed(`${from}: expected a JSON object, got ${String(JSON.stringify(value)).slice(0, 80)}`);
}

const failed = (message: string) => new AiotError('AIOT_COMMAND_FAILED', message);
