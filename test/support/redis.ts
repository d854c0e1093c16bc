import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.js';
import { listening } from './mosquitto.js';

export interface Redis {
  port: number;
  /** Returns redis-cli's output for a command, without the newline. */
  cli(...words: string[]): Promise<string>;
  /** Ends the server with SIGKILL, so that its data is lost. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a real redis-server on a free loopback port. @param flags additional configuration @param cliFlags flags for
 * redis-cli
 */
export async function startRedis(
  flags: readonly string[] = [],
  cliFlags: readonly string[] = [],
): Promise<Redis> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-redis-'));
  const port = await freePort();
  const tls = flags.includes('--tls-cert-file');
  const ports = tls ? ['--port', '0', '--tls-port', String(port)] : ['--port', String(port)];
  let server: ChildProcess | undefined;
  const start = async () => {
    server = spawn(
      'redis-server',
      [...ports, '--bind', '127.0.0.1', '--dir', folder, '--save', '', ...flags],
      {
        stdio: 'ignore',
      },
    );
    await listening(port);
  };
  const kill = async () => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill('SIGKILL');
    await exited;
  };
  await start();
  return {
    port,
    start,
    kill,
    async cli(...words) {
      const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(port), ...cliFlags, ...words]);
      return stdout.trimEnd();
    },
    async stop() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
