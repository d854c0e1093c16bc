import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect as connectNats, type NatsConnection } from 'nats';
import { freePort } from './free-port.js';

/**
 * The program built by scripts/parts/nats-server.sh. The path does not come from real.ts, which imports Vitest, because the chaos runs use
 * this file too.
 */
export const natsServerProgram = fileURLToPath(
  new URL('../../.venv/nats-server/bin/nats-server', import.meta.url),
);

export interface NatsServer {
  port: number;
  url: string;
  /** With its process id in nats.pid. */
  folder: string;
  /** Ends the server immediately, like a power cut. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a real nats-server with JetStream on a free port. Its store survives `kill`. `config` is appended to its
 * configuration.
 */
export async function startNats(
  config = '',
  {
    jetstream = true,
    program = 'nats-server',
    sync = '',
    env = {},
  }: { jetstream?: boolean; program?: string; sync?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<NatsServer> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-nats-'));
  const port = await freePort();
  const file = join(folder, 'nats.conf');
  const store = jetstream ? `jetstream { store_dir: "${join(folder, 'store')}"${sync} }\n` : '';
  await writeFile(
    file,
    `listen: "127.0.0.1:${port}"\npid_file: "${join(folder, 'nats.pid')}"\n${store}${config}\n`,
  );
  let server: ChildProcess | undefined;
  const start = async () => {
    server = spawn(program, ['-c', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    let log = '';
    server.stderr?.on('data', (chunk) => {
      log += chunk;
    });
    for (let tries = 0; !log.includes('Server is ready'); tries++) {
      if (tries > 1600 || server.exitCode !== null) throw new Error(`nats-server: ${log}`);
      await delay(25);
    }
  };
  const end = async (signal: NodeJS.Signals) => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill(signal);
    await exited;
  };
  await start();
  return {
    port,
    url: `nats://127.0.0.1:${port}`,
    folder,
    start,
    kill: () => end('SIGKILL'),
    async stop() {
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * Starts the built nats-server, which also listens for MQTT.
 * @param tls PEM files of the MQTT listener's certificate and key; without them, it has no TLS
 * @param sync whether the server syncs each message to disk before it acknowledges it
 * @param config more of the server's configuration
 */
export async function startNatsWithMqtt({
  tls,
  sync = true,
  config = '',
}: {
  tls?: { cert: string; key: string };
  sync?: boolean;
  config?: string;
} = {}): Promise<NatsServer & { mqtt: string; ws: string; broker: string }> {
  const [port, web] = [await freePort(), await freePort()];
  const files = tls ? `, tls { cert_file: "${tls.cert}", key_file: "${tls.key}" }` : '';
  const server = await startNats(
    [
      'server_name: test',
      `mqtt { listen: "127.0.0.1:${port}"${files} }`,
      `websocket { listen: "127.0.0.1:${web}", no_tls: true }`,
      config,
    ].join('\n'),
    { program: natsServerProgram, sync: sync ? ', sync_interval: always' : '' },
  );
  const mqtt = `${tls ? 'mqtts' : 'mqtt'}://127.0.0.1:${port}`;
  const broker = `${server.url}?mqtt=${encodeURIComponent(mqtt)}`;
  return { ...server, mqtt, ws: `ws://127.0.0.1:${web}`, broker };
}

/** The client of the nats package, as an independent check. */
export function natsClient(server: NatsServer): Promise<NatsConnection> {
  return connectNats({ servers: `127.0.0.1:${server.port}` });
}

/** Whether something listens on the port. */
export function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).finally(() => socket.destroy());
}
