import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Command, Config } from '@oclif/core';
import * as z from 'zod';
import type { CommandInfo } from '../api/contract/commands.js';
import { AiotError, systemCode } from '../core/errors.js';
import { runProgram } from '../core/process.js';
import { onAbort } from '../core/tasks.js';
import { askFor, redeem } from './approvals.js';
import type { AiotCommand } from './command.js';
import { asAiotError } from './errors.js';
import { common } from './flags/shared.js';
import { callLine, definitionsIn, describe, toolNameOf } from './mcp-device-commands.js';

/** Supported protocol versions, newest first. The requested version is used if it is supported, otherwise the newest. */
const versions = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'];

/** Maximum length of an input line, bytes. */
const mostLine = 1 << 20;

/** Maximum number of concurrent calls; others wait their turn. */
const mostCalls = 4;

/** Maximum time to read the platform's own commands of devices, ms. Without them, the list has only aiot's commands. */
const definitionsMs = 15_000;

/** Error codes of JSON-RPC 2.0 (section 5.1). */
const [parseError, invalidRequest, noMethod, invalidParams] = [-32700, -32600, -32601, -32602];

interface Message {
  id?: string | number | null;
  method?: string;
  params?: Record<string, unknown>;
}

interface ServeOptions extends Pick<CallOptions, 'timeoutMs' | 'signal'> {
  config: Config;
  input: Readable;
  output: Writable;
  /** Working folder of the commands. */
  folder: string;
  log: (text: string) => void;
}

class RpcError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Implements the Model Context Protocol over two streams, with one JSON line per message, until the input ends or `signal` is aborted.
 * Calls in progress are then stopped. Returns the number of calls.
 */
export async function serveMcp(options: ServeOptions): Promise<{ calls: number }> {
  const server = new Server(options);
  const { input, signal } = options;
  const stop = () => input.destroy();
  const leave = onAbort(signal, stop);
  let rest = '';
  try {
    input.setEncoding('utf8');
    for await (const part of input) {
      const lines = (rest + part).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') server.take(line);
      if (rest.length <= mostLine) continue;
      server.refuse(null, invalidRequest, `a message is longer than ${mostLine} bytes`);
      rest = '';
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    leave();
    await server.end();
  }
  return { calls: server.calls };
}

class Server {
  calls = 0;
  private readonly running = new Map<string | number, AbortController>();
  private readonly pending = new Set<Promise<void>>();
  private readonly waiting: (() => void)[] = [];
  private busy = 0;
  private tools: Promise<Map<string, Callable>> | undefined;
  /** The newest list of the devices' own commands, by tool name. */
  private defined = new Map<string, Callable>();
  /** The list that is being read; several requests share it. */
  private reading: Promise<Map<string, Callable>> | undefined;
  private readonly ending = new AbortController();

  constructor(private readonly options: ServeOptions) {}

  /** Handles one line. Each request is answered when it is done, so short requests need not wait for long ones. */
  take(line: string): void {
    const wrong = this.begin(line);
    if (wrong) this.refuse(wrong.id ?? null, wrong.code, wrong.why);
  }

  private begin(line: string): { id?: Message['id']; code: number; why: string } | undefined {
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      return { code: parseError, why: 'not JSON' };
    }
    if (typeof message !== 'object' || message === null || Array.isArray(message))
      return { code: invalidRequest, why: 'expected one request per line' };
    const { id, method, params = {} } = message;
    if (typeof method !== 'string') {
      // A message with a result or an error is a response. This server sends no requests, so the message is ignored.
      if ('result' in message || 'error' in message) return undefined;
      return { id, code: invalidRequest, why: 'expected a method' };
    }
    if (id === undefined || id === null) {
      if (method === 'notifications/cancelled') this.running.get(params.requestId as string)?.abort();
      return undefined;
    }
    const done = this.answer(id, method, params).finally(() => this.pending.delete(done));
    this.pending.add(done);
    return undefined;
  }

  refuse(id: string | number | null, code: number, message: string): void {
    this.send({ id, error: { code, message } });
  }

  async end(): Promise<void> {
    this.ending.abort();
    for (const call of this.running.values()) call.abort();
    await Promise.all(this.pending);
  }

  private send(message: object): void {
    this.options.output.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  private async answer(id: string | number, method: string, params: Record<string, unknown>): Promise<void> {
    const call = new AbortController();
    this.running.set(id, call);
    try {
      const result = await this.resultOf(method, params, call.signal);
      if (!call.signal.aborted) this.send({ id, result });
    } catch (error) {
      if (call.signal.aborted) return;
      this.refuse(id, error instanceof RpcError ? error.code : -32603, (error as Error).message);
    } finally {
      this.running.delete(id);
    }
  }

  private async resultOf(
    method: string,
    params: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<object> {
    if (method === 'ping') return {};
    if (method === 'initialize') return this.hello(String(params.protocolVersion));
    if (method === 'tools/list') {
      const tools = [...(await this.all()).values(), ...(await this.deviceCommands()).values()];
      return { tools: tools.map(({ tool }) => tool) };
    }
    if (method !== 'tools/call') throw new RpcError(noMethod, `unknown method ${method}`);
    const callable = await this.named(String(params.name));
    if (!callable) throw new RpcError(invalidParams, `unknown tool ${String(params.name)}`);
    this.calls++;
    const given = params.arguments ?? {};
    if (typeof given !== 'object' || Array.isArray(given))
      throw new RpcError(invalidParams, 'arguments: expected an object');
    return await this.inTurn(() => this.call(callable, given as Record<string, unknown>, signal));
  }

  private hello(asked: string): object {
    const { version } = this.options.config;
    return {
      protocolVersion: versions.includes(asked) ? asked : versions[0],
      capabilities: { tools: {} },
      serverInfo: { name: 'aiot', version },
      instructions:
        'Each tool is an aiot command, or calls a command of the devices of one type (call_TYPE_COMMAND). A tool that changes something returns the command that the user must run to approve this one call.',
    };
  }

  private all(): Promise<Map<string, Callable>> {
    this.tools ??= callables(this.options.config);
    return this.tools;
  }

  private async named(name: string): Promise<Callable | undefined> {
    const own = (await this.all()).get(name);
    if (own || !name.startsWith('call_')) return own;
    return this.defined.get(name) ?? (await this.deviceCommands()).get(name);
  }

  /** Commands that projects define for their types of devices, as the current platform knows them now; none without a platform. */
  private deviceCommands(): Promise<Map<string, Callable>> {
    this.reading ??= this.readDeviceCommands().finally(() => {
      this.reading = undefined;
    });
    return this.reading;
  }

  private async readDeviceCommands(): Promise<Map<string, Callable>> {
    const all = await this.all();
    const [list, call] = [all.get('device_commands_list')!, all.get('device_call')!];
    const { config, folder } = this.options;
    const called = await runCommand(wordsOf(list, {}), list, {
      ...{ root: config.root, folder, timeoutMs: definitionsMs, signal: this.ending.signal },
    });
    const definitions = 'failed' in called ? [] : definitionsIn(called.result);
    this.defined = new Map(
      definitions.map((definition) => {
        const { outputSchema } = call.tool;
        const annotations = { ...call.tool.annotations, idempotentHint: definition.repeatable };
        const tool = { name: toolNameOf(definition), ...describe(definition), outputSchema, annotations };
        return [tool.name, { ...call, tool, definition }];
      }),
    );
    return this.defined;
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.busy >= mostCalls) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.busy++;
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.busy--;
    }
  }

  private async call(
    callable: Callable,
    given: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<object> {
    const { folder, timeoutMs, log, config } = this.options;
    try {
      const { definition } = callable;
      const argv = definition ? callLine(definition, given) : wordsOf(callable, given);
      if (callable.kind === 'write') await this.requireApproval(argv, given.approval_token);
      log(`aiot ${callable.id}`);
      const called = await runCommand(argv, callable, { root: config.root, folder, timeoutMs, signal });
      if ('failed' in called) return failure(called.failed);
      return { content: text(JSON.stringify(called.result)), structuredContent: called };
    } catch (error) {
      return failure(JSON.stringify({ error: asAiotError(error) }));
    }
  }

  /** @throws AIOT_APPROVAL_NEEDED, with the command line to type */
  private async requireApproval(argv: string[], token: unknown): Promise<void> {
    const { folder } = this.options;
    if (typeof token === 'string' && (await redeem(token, { argv, folder }))) return;
    const { id } = await askFor(argv, folder);
    throw new AiotError(
      'AIOT_APPROVAL_NEEDED',
      token === undefined
        ? 'this call changes something and has not been approved'
        : 'this approval has already been used, has expired, or is for another call',
      {
        next: `Ask the user to run \`aiot mcp approve ${id}\`. Then repeat the same call with approval_token set to the printed token.`,
      },
    );
  }
}

const text = (content: string) => [{ type: 'text', text: content }];
const failure = (why: string) => ({ content: text(why), isError: true });

/** A command in the protocol's form. */
interface Tool {
  name: string;
  title: string;
  description: string;
  inputSchema: object;
  outputSchema: object;
  annotations: { readOnlyHint: boolean; openWorldHint: boolean; idempotentHint?: boolean };
}

/** A command that an agent may call. */
interface Callable {
  tool: Tool;
  /** Words of the command, separated by spaces. */
  id: string;
  kind: Exclude<ToolClass, 'never'>;
  /** Names of the flags that are available here. */
  flags: readonly string[];
  command: Command.Loadable;
  /** Present if the tool calls this command of a type of devices. */
  definition?: CommandInfo;
}

type FlagLike = Command.Flag.Cached & { multiple?: boolean; options?: readonly string[] };

/** Name of a tool: `model inspect` becomes `model_inspect`, because all clients allow letters, digits and `_` in names. */
const nameOf = (id: string) => id.replaceAll(' ', '_');

/** All commands that an agent may call, by tool name; their schemas are those of `--json`. */
async function callables(config: Config): Promise<Map<string, Callable>> {
  const found = new Map<string, Callable>();
  for (const command of config.commands) {
    const id = command.id.replaceAll(':', ' ');
    const kind = classOf(id);
    if (kind === 'never') continue;
    const flags = Object.keys(command.flags).filter(
      (name) =>
        !(name in common) &&
        !(kind === 'read' && withheld.has(name)) &&
        !command.flags[name]?.hidden &&
        name !== 'yes',
    );
    const { result } = (await command.load()) as unknown as typeof AiotCommand;
    const approval = kind === 'write' ? " Requires the user's approval for each call." : '';
    const tool: Tool = {
      name: nameOf(id),
      title: `aiot ${id}`,
      description: [`${command.summary ?? id}${approval}`, command.description].filter(Boolean).join('\n\n'),
      inputSchema: inputOf(command, flags, kind),
      outputSchema: outputOf(result),
      annotations: { readOnlyHint: kind === 'read', openWorldHint: false },
    };
    found.set(tool.name, { tool, id, kind, flags, command });
  }
  return found;
}

/** Schema of a tool's output, `{exit, result}`. The protocol requires an object, but the result of many commands is a list. */
function outputOf(result: z.ZodType): object {
  const exit = z.int().describe('0 done; 1 failed, 3 partly failed, 6 a check or gate failed');
  return z.toJSONSchema(z.object({ exit, result }), {
    ...{ target: 'draft-7', unrepresentable: 'any' },
    // JSON Schema does not define this format, and clients that check formats would print a warning.
    override: ({ jsonSchema }) => {
      if (jsonSchema.format === 'base64') delete jsonSchema.format;
    },
  });
}

function inputOf(command: Command.Loadable, flags: readonly string[], kind: ToolClass): object {
  const args = Object.entries(command.args);
  const one = (description?: string) => ({ type: 'string', ...(description ? { description } : {}) });
  const properties: Record<string, object> = {};
  for (const [i, [name, { description, options }]] of args.entries()) {
    const word = { ...one(description), ...(options ? { enum: options } : {}) };
    // If the command accepts any number of words, its last argument takes all remaining ones.
    const isLast = i === args.length - 1;
    properties[name] = command.strict === false && isLast ? { type: 'array', items: word } : word;
  }
  for (const name of flags) properties[name] = flagSchema(command.flags[name] as FlagLike);
  if (kind === 'write')
    properties.approval_token = one('Token printed by aiot mcp approve for exactly this call.');
  const required = [
    ...args.filter(([, { required }]) => required).map(([name]) => name),
    ...flags.filter((name) => command.flags[name]?.required),
  ];
  return { type: 'object', properties, required, additionalProperties: false };
}

function flagSchema(flag: FlagLike): object {
  const description = flag.summary ?? flag.description ?? '';
  if (flag.type === 'boolean') return { type: 'boolean', description };
  const value = { type: ['string', 'number'], ...(flag.options ? { enum: flag.options } : {}) };
  return flag.multiple ? { type: 'array', items: value, description } : { ...value, description };
}

/**
 * The command line for these arguments. Each flag and its value form one word, and positional arguments follow `--`, so that no value can
 * become a flag.
 * @throws AIOT_USAGE for an unknown argument, or one of the wrong type
 */
function wordsOf({ id, flags, command, kind }: Callable, given: Record<string, unknown>): string[] {
  const named: string[] = [];
  const known = [...Object.keys(command.args), ...flags, ...(kind === 'write' ? ['approval_token'] : [])];
  for (const [name, value] of Object.entries(given)) {
    if (!known.includes(name))
      throw new AiotError(
        'AIOT_USAGE',
        `${nameOf(id)} has no argument ${name}: expected one of ${known.join(', ')}`,
      );
    const flag = command.flags[name] as FlagLike | undefined;
    if (!flags.includes(name) || flag === undefined) continue;
    if (flag.type === 'boolean') {
      if (typeof value !== 'boolean')
        throw new AiotError('AIOT_USAGE', `${name}: expected true or false, got ${JSON.stringify(value)}`);
      if (value) named.push(`--${name}`);
      else if (flag.allowNo) named.push(`--no-${name}`);
    } else for (const one of listOf(name, value)) named.push(`--${name}=${one}`);
  }
  const [first, second] = Object.keys(command.args);
  const inOrder = command.strict !== false;
  if (inOrder && first && second && given[first] === undefined && given[second] !== undefined)
    throw new AiotError('AIOT_USAGE', `expected ${first} before ${second}`);
  const words = [first, second].flatMap((name) =>
    name === undefined || given[name] === undefined ? [] : listOf(name, given[name]),
  );
  return [
    ...id.split(' '),
    '--json',
    '--quiet',
    // An approval also answers the command's confirmation question.
    ...(kind === 'write' && 'yes' in command.flags ? ['--yes'] : []),
    ...named.sort(),
    ...(words.length > 0 ? ['--', ...words] : []),
  ];
}

function listOf(name: string, value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map((one) => {
    if (typeof one === 'string' && !one.includes('\0')) return one;
    if (typeof one === 'number') return String(one);
    throw new AiotError('AIOT_USAGE', `${name}: expected text or a number, got ${JSON.stringify(one)}`);
  });
}

/**
 * Permission class of a command. `read`: reads files of this machine and the current platform, and changes nothing. `never`: asks
 * questions, never ends, prints a secret, or opens a remote session. All others are `write` and require an approval, because they
 * change something, contact an address given in the arguments, access a board, or start programs.
 */
type ToolClass = 'read' | 'write' | 'never';

const read = `
audit list, board ports, config show, context list, data check, data drift, data features, data list, data schema, data show, data stats, data streams, data suggest,
deploy check, device batch list, device batch show, device commands list, device config list, device config show, device crashes list, device crashes show, device history, device list, device logs, device sessions list, device settings show, device show, device waiting list, docs, doctor, error, examples, fleet history,
firmware image info, firmware inspect, firmware list, firmware nvs read, firmware otadata read, firmware partitions read, firmware show, firmware verify,
alarm list, alarm show, alarm target list, alarm test, job list, job show, job wait, loop status, model compare, model evaluate, model explain, model fit, model inspect, model lineage,
model list, model runs best, model runs compare, model runs list, model runs show, model show, model verify, pipeline graph, pipeline history, pipeline status, rollout list, rollout plan, rollout rehearse,
rollout report, rollout show, rollout watch, session list, status, stream route list, stream schema check, stream schema list, stream schema show, token list, tools burden-resistor, trust status, user list,
webhook list, webhook show
`;

const never = `
board image follow, board lock, board monitor, board share, board simulate, completion, dashboard, device agent, device batch create, device claim, device copy, device forward, device secret, device shell, device simulate,
events tail,
fleet simulate, login, logout, loop run, mcp, mcp approve, pipeline runner, pipeline watch, platform logs, stream bridge, stream login, stream route run, stream tail,
token create, token rotate, trust init, trust rotate, up, user add, webhook add, webhook rotate
`;

const write = `
audit export, audit verify, backup create, backup restore, board dump, board erase, board image confirm, board image erase, board image install, board image list, board image test, board image upload, board info, board load-ram, board read, board reset, board run, board security, board shell, board statistics, context add, context remove, context use, data export, data extract, data import, data label,
data record, data remove, data retention, data synthesize, demo, deploy apply, deploy diff, deploy render, deploy status, device activate, device approve, device batch provision, device batch revoke, device call, device commands apply, device log-level,
alarm ack, alarm apply, alarm create, alarm remove, alarm silence, alarm target add, alarm target remove, alarm target test, device ack, device config deploy, device config push, device conform, device group, device labels, device onboard, device provision, device reject, device remove, device replace, device snooze,
device resume, device revoke, device rotate, device sessions close, device sessions recording, device settings apply, device settings deploy, device settings set, device suspend, device tag, device verify, down, firmware build, firmware deploy,
firmware decrypt, firmware encrypt, firmware image create, firmware image patch, firmware key digest, firmware init, firmware library, firmware merge, firmware nvs create, firmware otadata create,
firmware mcuboot sign, firmware partitions create, firmware pull, firmware push, firmware sign, firmware symbols, firmware test, firmware web-installer, flash, flash verify, init, job cancel,
job start, loop check, loop install, model deploy, model import, model promote, model pull, model push, model quantize, model remove,
model runs export, model runs push, model runs remove, model sign, model train, pipeline cancel, pipeline render, pipeline resume, pipeline run, pipeline start, platform acknowledge, platform pki,
platform service install, platform service uninstall, platform verify, rollout abort, rollout approve, rollout pause, rollout resume,
rollout retry, rollout rollback, rollout start, session revoke, stream bench, stream check, stream create, stream lag, stream list, stream logout,
stream publish, stream record, stream replay, stream route import, stream route test, stream schema level, stream schema register, stream schema remove, token revoke, trust revoke, trust sign, user disable,
user enable, user remove, user update, version, vision faces, webhook enable, webhook remove, webhook test
`;

const classes = new Map<string, ToolClass>(
  Object.entries({ read, never, write }).flatMap(([kind, text]) =>
    text
      .trim()
      .split(/,\s+/)
      .map((id): [string, ToolClass] => [id, kind as ToolClass]),
  ),
);

export const classified: readonly string[] = [...classes.keys()];

/** The class of a command, by its words. Unclassified commands are never called. */
export function classOf(id: string): ToolClass {
  return classes.get(id) ?? 'never';
}

/** Flags with which a `read` command would write or open a file, print a secret, or never end. Agents cannot use these flags. */
const withheld: ReadonlySet<string> = new Set([
  'follow',
  'integers',
  'junit',
  'open',
  'out',
  'outputs',
  'report',
  'save',
  'show-secrets',
]);

/** Maximum size of a response, bytes; a language model cannot read more. */
export const mostBytes = 262_144;

/** Delay between SIGTERM and SIGKILL, ms. */
const graceMs = 3000;

interface CallOptions {
  /** Folder of the package. */
  root: string;
  folder: string;
  timeoutMs: number;
  signal: AbortSignal;
}

/** Outcome of a call: the result of `--json` with its exit code, or a sentence that explains why there is no result. */
type Called = { exit: number; result: unknown } | { failed: string };

/** Runs a command line in a separate process and process group, without a shell and with empty input. */
export async function runCommand(
  argv: readonly string[],
  { kind, command }: Callable,
  { root, folder, timeoutMs, signal }: CallOptions,
): Promise<Called> {
  const env = { ...process.env };
  // Otherwise, an environment variable could set a withheld flag.
  if (kind === 'read') for (const name of withheld) delete env[command.flags[name]?.env ?? ''];
  const tooLong = new AbortController();
  let bytes = 0;
  const end = await runProgram(process.execPath, [join(root, 'bin/run.js'), ...argv], {
    ...{ cwd: folder, env, timeoutMs, graceMs, group: true, reads: ['stdout'] },
    signal: AbortSignal.any([signal, tooLong.signal]),
    onOutput: (text) => {
      bytes += Buffer.byteLength(text);
      if (bytes > mostBytes) tooLong.abort();
    },
  }).catch((error: unknown) => {
    if (signal.aborted) return { failed: 'the call was canceled' };
    if (tooLong.signal.aborted)
      return {
        failed: `the output is longer than ${mostBytes} bytes: request less, with limit and after or a selector`,
      };
    return { failed: `the command could not be started (${systemCode(error) ?? String(error)})` };
  });
  if ('failed' in end) return end;
  if (end.timedOut)
    return { failed: `timed out after ${timeoutMs / 1000} s and was stopped (see aiot mcp --timeout)` };
  return answerOf(end.stdout, end.code);
}

function answerOf(text: string, code: number | null): Called {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  try {
    const result = JSON.parse(line) as unknown;
    if (typeof result === 'object' && result !== null && 'error' in result && code !== 0)
      return { failed: line };
    return { exit: code ?? 1, result };
  } catch {
    return { failed: `the command ended with ${code ?? 'a signal'} and without a result` };
  }
}
