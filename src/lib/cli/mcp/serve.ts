import type { Readable, Writable } from 'node:stream';
import type { Config } from '@oclif/core';
import { AiotError, onAbort } from '../../core/index.js';
import { asAiotError } from '../errors.js';
import { askFor, redeem } from './approvals.js';
import { type CallOptions, runCommand } from './call.js';
import { type Callable, callables, wordsOf } from './tools.js';

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

export interface ServeOptions extends Pick<CallOptions, 'timeoutMs' | 'signal'> {
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
