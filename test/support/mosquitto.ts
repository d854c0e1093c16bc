import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.js';

export interface Mosquitto {
  port: number;
  /** Stops the broker, until `start`. */
  end(): Promise<void>;
  start(): Promise<void>;
  /** Stops the broker and restarts it after a while. With SIGKILL, it loses data that was not stored. */
  restart(options?: { signal?: NodeJS.Signals; downMs?: number }): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a real Mosquitto on a free port, in its own folder, with default settings plus the given ones. */
export async function startMosquitto(options: { settings?: readonly string[] } = {}): Promise<Mosquitto> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-mosquitto-'));
  // When started as root, Mosquitto switches to a separate user, which must be able to write its database here.
  await chmod(folder, 0o777);
  const port = await freePort();
  const config = join(folder, 'mosquitto.conf');
  const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'max_queued_messages 0'];
  const kept = [`persistence_location ${folder}/`, ...(options.settings ?? [])];
  await writeFile(config, `${[...lines, ...kept].join('\n')}\n`);
  let broker: ChildProcess | undefined;
  const start = async () => {
    broker = spawn('mosquitto', ['-c', config], {
      stdio: 'ignore',
      // Debian installs daemons in a folder that is not in a user's PATH.
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    await listening(port);
  };
  const end = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (!broker || broker.exitCode !== null || broker.signalCode !== null) return;
    const exited = once(broker, 'exit');
    broker.kill(signal);
    await exited;
  };
  await start();
  return {
    port,
    end: () => end(),
    start,
    async restart({ signal, downMs = 0 } = {}) {
      await end(signal);
      await delay(downMs);
      await start();
    },
    async stop() {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Publishes with mosquitto_pub at QoS 1. */
export function mosquittoPub(
  port: number,
  topic: string,
  payload: Buffer | string,
  ...flags: string[]
): void {
  const result = spawnSync(
    'mosquitto_pub',
    ['-h', '127.0.0.1', '-p', String(port), '-q', '1', '-t', topic, '-s', ...flags],
    { input: payload },
  );
  if (result.status !== 0) throw new Error(`mosquitto_pub: ${result.stderr}`);
}

/**
 * Returns the output of mosquitto_sub for `count` messages, one `topic payload` per line. mosquitto_sub does not
 * report that it has subscribed, so messages must be retained.
 */
export async function mosquittoSub(port: number, topic: string, count: number): Promise<string> {
  const child = spawn('mosquitto_sub', [
    ...['-h', '127.0.0.1', '-p', String(port), '-q', '1', '-t', topic],
    ...['-v', '-C', String(count), '-W', '60'],
  ]);
  let printed = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  await once(child, 'close');
  return printed;
}

/** Resolves when a server listens on the port. */
export async function listening(port: number): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    const socket = connect(port, '127.0.0.1');
    const open = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (open) return;
    await delay(25);
  }
  throw new Error(`nothing listens on port ${port}`);
}
