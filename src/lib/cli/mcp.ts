import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Command, Config } from '@oclif/core';
import * as z from 'zod';
import { AiotError, systemCode } from '../core/errors.js';
import { startProgram } from '../core/process.js';
import { onAbort } from '../core/tasks.js';
import { askFor, redeem } from './approvals.js';
import type { AiotCommand } from './command.js';
import { asAiotError } from './errors.js';
import { common } from './flags/shared.js';

/** Versions of the protocol, the newest first: what is asked for where it is one of them, else the newest. */
const versions = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'];

/** Longest line that is read, bytes. */
const mostLine = 1 << 20;

/** Calls at a time; others wait their turn. */
const mostCalls = 4;

/** JSON-RPC 2.0 (section 5.1). */
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
  /** Folder that commands run in. */
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
 * Speaks the Model Context Protocol over two streams, a JSON line a message, until the input ends or `signal` is aborted; what is under way
 * is ended then. Returns how many calls there were.
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

  constructor(private readonly options: ServeOptions) {}

  /** One line. Each request is answered when it is done: a short one does not wait for a long one. */
  take(line: string): void {
    const wrong = this.begin(line);
    if (wrong) this.refuse(wrong.id ?? null, wrong.code, wrong.why);
  }

  private begin(line: string): { id?: Message['id']; code: number; why: string } | undefined {
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      return { code: parseError, why: 'no JSON' };
    }
    if (typeof message !== 'object' || message === null || Array.isArray(message))
      return { code: invalidRequest, why: 'expected one request a line' };
    const { id, method, params = {} } = message;
    if (typeof method !== 'string') {
      // An answer to a request of ours, of which there are none.
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
    if (method === 'tools/list') return { tools: [...(await this.all()).values()].map(({ tool }) => tool) };
    if (method !== 'tools/call') throw new RpcError(noMethod, `no method ${method}`);
    const callable = (await this.all()).get(String(params.name));
    if (!callable) throw new RpcError(invalidParams, `no tool ${String(params.name)}`);
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
        'Each tool is a command of aiot. Those that change something answer with the line that the user has to type to approve just that call, once.',
    };
  }

  private all(): Promise<Map<string, Callable>> {
    this.tools ??= callables(this.options.config);
    return this.tools;
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
      const argv = wordsOf(callable, given);
      if (callable.kind === 'write') await this.requireApproval(argv, given.approval_token);
      log(`aiot ${callable.id}`);
      const called = await runCommand(argv, callable, { root: config.root, folder, timeoutMs, signal });
      if ('failed' in called) return failure(called.failed);
      return { content: text(JSON.stringify(called.result)), structuredContent: called };
    } catch (error) {
      return failure(JSON.stringify({ error: asAiotError(error) }));
    }
  }

  /** @throws AIOT_APPROVAL_NEEDED, with the line to type */
  private async requireApproval(argv: string[], token: unknown): Promise<void> {
    const { folder } = this.options;
    if (typeof token === 'string' && (await redeem(token, { argv, folder }))) return;
    const { id } = await askFor(argv, folder);
    throw new AiotError(
      'AIOT_APPROVAL_NEEDED',
      token === undefined
        ? 'this call changes something, and nobody has approved it'
        : 'this approval is used up, too old, or for another call',
      {
        next: `The user types: aiot mcp approve ${id}. Then call again, the same, with approval_token: what it printed.`,
      },
    );
  }
}

const text = (content: string) => [{ type: 'text', text: content }];
const failure = (why: string) => ({ content: text(why), isError: true });

/** A command as the protocol lists it. */
interface Tool {
  name: string;
  title: string;
  description: string;
  inputSchema: object;
  outputSchema: object;
  annotations: { readOnlyHint: boolean; openWorldHint: boolean };
}

/** A command that an agent may call. */
interface Callable {
  tool: Tool;
  /** Its words. */
  id: string;
  kind: Exclude<ToolClass, 'never'>;
  /** Names of flags that it has here. */
  flags: readonly string[];
  command: Command.Loadable;
}

type FlagLike = Command.Flag.Cached & { multiple?: boolean; options?: readonly string[] };

/** `model inspect` → `model_inspect`: clients take letters, digits and `_` everywhere. */
const nameOf = (id: string) => id.replaceAll(' ', '_');

/** All commands that an agent may call, by the name of the tool; their schemas are those of `--json`. */
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
    const approval = kind === 'write' ? ' Wants an approval of the user for each call.' : '';
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

/** `{exit, result}`: the protocol wants an object, and many commands print a list. */
function outputOf(result: z.ZodType): object {
  const exit = z.int().describe('0 done; 1 failed, 3 partly failed, 6 a check or gate said no');
  return z.toJSONSchema(z.object({ exit, result }), {
    ...{ target: 'draft-7', unrepresentable: 'any' },
    // No format of JSON Schema: clients that check formats would warn of it.
    override: ({ jsonSchema }) => {
      if (jsonSchema.format === 'base64') delete jsonSchema.format;
    },
  });
}

function inputOf(command: Command.Loadable, flags: readonly string[], kind: ToolClass): object {
  const args = Object.entries(command.args);
  const one = (description?: string) => ({ type: 'string', ...(description ? { description } : {}) });
  const properties: Record<string, object> = {};
  for (const [name, { description, options }] of args) {
    const word = { ...one(description), ...(options ? { enum: options } : {}) };
    properties[name] = command.strict === false ? { type: 'array', items: word } : word;
  }
  for (const name of flags) properties[name] = flagSchema(command.flags[name] as FlagLike);
  if (kind === 'write') properties.approval_token = one('What aiot mcp approve printed for just this call.');
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
 * The words of the command line for these arguments. Each flag is one word with its value, and what is no flag stands behind `--`:
 * no value can become a flag.
 * @throws AIOT_USAGE for an argument that the tool has not, or of another type
 */
function wordsOf({ id, flags, command, kind }: Callable, given: Record<string, unknown>): string[] {
  const named: string[] = [];
  const known = [...Object.keys(command.args), ...flags, ...(kind === 'write' ? ['approval_token'] : [])];
  for (const [name, value] of Object.entries(given)) {
    if (!known.includes(name))
      throw new AiotError(
        'AIOT_USAGE',
        `${nameOf(id)} has no argument ${name}: expected ${known.join(', ')}`,
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
  if (first && second && given[first] === undefined && given[second] !== undefined)
    throw new AiotError('AIOT_USAGE', `${second}: expected ${first} before it`);
  const words = [first, second].flatMap((name) =>
    name === undefined || given[name] === undefined ? [] : listOf(name, given[name]),
  );
  return [
    ...id.split(' '),
    '--json',
    '--quiet',
    // An approval answers what the command would ask.
    ...(kind === 'write' && 'yes' in command.flags ? ['--yes'] : []),
    ...named.sort(),
    ...(words.length > 0 ? ['--', ...words] : []),
  ];
}

function listOf(name: string, value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map((one) => {
    if (typeof one === 'string' && !one.includes('\0')) return one;
    if (typeof one === 'number') return String(one);
    throw new AiotError('AIOT_USAGE', `${name}: expected a text or a number, got ${JSON.stringify(one)}`);
  });
}

/**
 * What an agent may do with a command. `read`: looks at this machine's files and the platform in use, and changes nothing. `never`: asks, has no
 * end, or prints a secret. All others are `write`: they change something, reach an address that the arguments name, touch a board, or
 * start programs, and want an approval.
 */
type ToolClass = 'read' | 'write' | 'never';

const read = `
cheat, config explain, context list, data check, data drift, data features, data list, data schema, data show, data stats, data streams,
deploy check, device config list, device config show, device history, device list, device messages, device ports, device show, docs, doctor,
explain, firmware burden, firmware image info, firmware inspect, firmware list, firmware nvs read, firmware otadata read,
firmware partitions read, firmware show, job list, job show, job wait, loop status, model compare, model evaluate, model explain, model fit,
model inspect, model list, model show, model verify, model why, ota list, ota plan, ota rehearse, ota report, ota status, ota watch,
pipeline graph, pipeline history, pipeline status, status, stream route list, token list, trust status, user list, webhook list, webhook show
`;

const never = `
completion, dashboard, device claim, device secret, device simulate, events tail, logs, loop run, mcp, mcp approve, monitor,
pipeline watch, serial serve, stream bridge, stream login, stream route run, stream tail, token create, token rotate, trust init,
trust rotate, up, user add, webhook add, webhook rotate
`;

const write = `
backup create, backup restore, context add, context remove, context use, data export, data extract, data import, data label, data record,
data remove, data retention, demo, deploy apply, deploy diff, deploy render, deploy status, device activate, device command,
device config deploy, device config push, device conform, device group, device labels, device provision, device remove, device replace,
device resume, device revoke, device rotate, device suspend, device tag, device verify, down, firmware build, firmware deploy,
firmware image create, firmware image patch, firmware init, firmware merge, firmware nvs create, firmware otadata create,
firmware partitions create, firmware pull, firmware push, firmware test, flash, flash erase, flash info, flash read, flash verify, init,
job cancel, job start, loop check, loop install, model deploy, model import, model promote, model pull, model push, model quantize,
model remove, model sign, model train, ota abort, ota approve, ota pause, ota resume, ota retry, ota rollback, ota start, pipeline cancel,
pipeline render, pipeline resume, pipeline run, platform acknowledge, platform install, platform pki, platform uninstall, platform verify, stream bench, stream check,
stream create, stream lag, stream logout, stream ls, stream pub, stream record, stream replay, stream route import, stream route test,
token revoke, trust revoke, trust sign, update, user disable, user enable, user remove, vision faces, webhook enable, webhook remove,
webhook test
`;

const classes = new Map<string, ToolClass>(
  Object.entries({ read, never, write }).flatMap(([kind, text]) =>
    text
      .trim()
      .split(/,\s+/)
      .map((id): [string, ToolClass] => [id, kind as ToolClass]),
  ),
);

/** All commands that are classified. */
export const classified: readonly string[] = [...classes.keys()];

/** The class of a command, by its words. What nobody has judged is never called. */
export function classOf(id: string): ToolClass {
  return classes.get(id) ?? 'never';
}

/** Flags of reading commands that write a file, show it, or print a secret: an agent does not have them. */
const withheld: ReadonlySet<string> = new Set([
  'integers',
  'junit',
  'open',
  'out',
  'outputs',
  'report',
  'save',
  'show-secrets',
]);

/** Of one answer, bytes: what a model can still read. */
export const mostBytes = 262_144;

/** From SIGTERM to SIGKILL, ms. */
const graceMs = 3000;

interface CallOptions {
  /** Of the package. */
  root: string;
  folder: string;
  timeoutMs: number;
  signal: AbortSignal;
}

/** What came of a call: the result of `--json` and its exit code, or a sentence about why there is none. */
type Called = { exit: number; result: unknown } | { failed: string };

/** Runs a command line in a process of its own, in a group of its own, without a shell and without anything to read. */
export async function runCommand(
  argv: readonly string[],
  { kind, command }: Callable,
  { root, folder, timeoutMs, signal }: CallOptions,
): Promise<Called> {
  const env = { ...process.env };
  // A variable must not give what the arguments may not.
  if (kind === 'read') for (const name of withheld) delete env[command.flags[name]?.env ?? ''];
  const child = startProgram(process.execPath, [join(root, 'bin/run.js'), ...argv], {
    ...{ cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] },
  });
  const kill = (name: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // It has ended by itself.
    }
  };
  const hard: NodeJS.Timeout[] = [];
  const stop = () => {
    kill('SIGTERM');
    hard.push(setTimeout(kill, graceMs, 'SIGKILL'));
  };
  let over: 'time' | 'size' | undefined;
  const timer = setTimeout(() => {
    over = 'time';
    stop();
  }, timeoutMs);
  const leave = onAbort(signal, stop);
  const parts: Buffer[] = [];
  let bytes = 0;
  child.stdout?.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes <= mostBytes) parts.push(part);
    else if (over === undefined) {
      over = 'size';
      stop();
    }
  });
  const code = await once(child, 'close').then(
    ([exit]) => exit as number | null,
    (error: unknown) => ({ failed: `it could not be started (${systemCode(error) ?? String(error)})` }),
  );
  clearTimeout(timer);
  for (const timer of hard) clearTimeout(timer);
  leave();
  if (typeof code === 'object' && code !== null) return code;
  if (over === 'time')
    return { failed: `not done within ${timeoutMs / 1000} s, and ended (aiot mcp --timeout)` };
  if (over === 'size')
    return {
      failed: `the answer is longer than ${mostBytes} bytes: ask for less, by limit and after, or a selector`,
    };
  return answerOf(Buffer.concat(parts).toString('utf8'), code);
}

function answerOf(text: string, code: number | null): Called {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  try {
    const result = JSON.parse(line) as unknown;
    if (typeof result === 'object' && result !== null && 'error' in result && code !== 0)
      return { failed: line };
    return { exit: code ?? 1, result };
  } catch {
    return { failed: `it ended with ${code ?? 'a signal'}, and without a result` };
  }
}
