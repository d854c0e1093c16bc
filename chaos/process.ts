import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Report } from './types.js';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Exit codes of aiot, according to docs/reference/cli. */
const documented = new Set([0, 1, 2, 3, 4, 5, 6, 124, 130]);
/** Delay between an exit and the next start, as with a service manager. */
const restartMs = 150;
/** Time limit for a process to end after SIGTERM, ms; a platform gives pending requests 6 s. */
const stopMs = 15_000;

export interface ProgramOptions {
  name: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd?: string;
  /** Exit codes after SIGTERM. */
  stopped: readonly number[];
  /** Whether to restart it after every exit, like a service manager, or only until it exits with 0. */
  again: 'always' | 'until done';
  report: Report;
}

/** The built `aiot` as the leader of its own process group, restarted as by a service manager. */
export class Program {
  private child: ChildProcess | undefined;
  private wanted = false;
  private looking: Promise<void> = Promise.resolve();
  private stdout = '';
  private readonly outputs: string[] = [];
  private readonly killed = new Set<ChildProcess>();
  private hold: Promise<void> = Promise.resolve();
  /** Number of starts. */
  starts = 0;
  /** Times when its processes ended, ms since the epoch. */
  readonly ends: number[] = [];
  /** Whether its memory is currently limited; any exit is acceptable then. */
  starved = false;
  /** Whether it has exited on its own with code 0. */
  done = false;

  constructor(private readonly options: ProgramOptions) {}

  get name(): string {
    return this.options.name;
  }

  get pid(): number | undefined {
    return this.runs(this.child) ? this.child?.pid : undefined;
  }

  start(): void {
    this.wanted = true;
    this.done = false;
    this.looking = this.look();
  }

  /** The first line on stdout of the current process, as soon as it is available. */
  async said(timeoutMs: number): Promise<string> {
    for (const until = Date.now() + timeoutMs; Date.now() < until; await delay(20)) {
      const end = this.stdout.indexOf('\n');
      if (end >= 0) return this.stdout.slice(0, end);
    }
    throw new Error(
      `${this.options.name} printed nothing within ${timeoutMs} ms:\n${this.printed().slice(-2000)}`,
    );
  }

  /** Resolves when it has exited on its own, or was stopped. */
  finished(): Promise<void> {
    return this.looking;
  }

  /** Its complete output, except stdout of the first start, where a new platform prints its token. */
  printed(): string {
    return this.outputs.join('');
  }

  /** Kills the process with SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.child;
    if (!child || !this.runs(child)) return;
    this.killed.add(child);
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.child && this.runs(this.child)) this.child.kill(signal);
  }

  /** Keeps the program from being started until the given promise settles. */
  held(body: Promise<void>): Promise<void> {
    this.hold = body.catch(() => {});
    return body;
  }

  /** Waits for the next process after `starts`. */
  async startedAfter(starts: number): Promise<void> {
    for (let waited = 0; this.starts <= starts && waited < 5000; waited += 5) await delay(5);
  }

  /** Stops the process with `signal`, and does not restart it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.wanted = false;
    const child = this.child;
    if (child && this.runs(child)) {
      const gone = once(child, 'exit') as Promise<[number | null, string | null]>;
      child.kill(signal);
      const timer = setTimeout(() => {
        this.killed.add(child);
        const late = `${this.options.name} did not exit within ${stopMs} ms after ${signal}`;
        this.options.report('stops', `${late}: ${this.tail()}`);
        child.kill('SIGKILL');
      }, stopMs);
      const [code] = await gone;
      clearTimeout(timer);
      if (!this.killed.has(child) && !this.options.stopped.includes(code ?? -1))
        this.options.report(
          'exit codes',
          `${this.options.name} exited with ${code} after ${signal}: ${this.tail()}`,
        );
    }
    await this.looking;
  }

  private runs(child: ChildProcess | undefined): boolean {
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  private tail(): string {
    return this.printed().slice(-600).trim();
  }

  private async look(): Promise<void> {
    do {
      const child = this.spawn();
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      this.ends.push(Date.now());
      if (!this.killed.has(child)) this.judge(code, signal);
      await this.hold;
      this.done = this.options.again === 'until done' && code === 0;
      if (this.wanted && !this.done) await delay(restartMs);
    } while (this.wanted && !this.done);
  }

  private judge(code: number | null, signal: NodeJS.Signals | null): void {
    // V8 terminates the program if an allocation fails.
    if (this.starved && (signal !== null || (code ?? 0) > 128)) return;
    if (signal !== null && signal !== 'SIGTERM')
      this.options.report('exit codes', `${this.options.name} was killed by ${signal}: ${this.tail()}`);
    else if (code !== null && !documented.has(code))
      this.options.report('exit codes', `${this.options.name} exited with ${code}: ${this.tail()}`);
  }

  private spawn(): ChildProcess {
    const { args, env, cwd } = this.options;
    const first = this.starts === 0;
    const child = spawn(process.execPath, [join(root, 'bin', 'run.js'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env,
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.child = child;
    this.stdout = '';
    this.starts++;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (this.child === child) this.stdout += text;
      if (!first) this.outputs.push(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => void this.outputs.push(text));
    return child;
  }
}
