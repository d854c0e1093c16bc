import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect, type NatsConnection } from 'nats';
import type { StageEvent, StageOptions, StageResult } from '../../src/lib/loop/har/layout.js';
import { runStage } from '../../src/lib/loop/har/run-stage.js';
import { type Certificates, makeCertificates } from './certificates.js';
import { root } from './cli.js';
import { type NatsServer, startNats } from './nats.js';
import { python } from './real.js';

export const motionToken = 'motion-token-of-the-tests';

/** The server of the motion system, with TLS for the name `nats`, a token, and JetStream. */
export interface MotionServer extends NatsServer {
  certificates: Certificates;
  env: Record<string, string>;
  credentials: { ca: string };
  /** The client of the nats package. */
  client(): Promise<NatsConnection>;
  /** Starts one role of test/support/python/motion_containers.py. */
  container(role: string, count: number, file?: string): Container;
}

export interface Container {
  /** Resolves when its consumer exists. */
  ready: Promise<void>;
  /** All lines of its output. @throws its stderr if it failed */
  lines: Promise<Record<string, unknown>[]>;
}

/** @param names the subjectAltName of its certificate */
export async function startMotionServer(names = 'DNS:nats'): Promise<MotionServer> {
  const certificates = await makeCertificates(names);
  const tls = `tls { cert_file: "${certificates.path('server.crt')}", key_file: "${certificates.path('server.key')}", ca_file: "${certificates.path('ca.crt')}" }`;
  const server = await startNats(`server_name: nats\n${tls}\nauthorization { token: "${motionToken}" }\n`);
  const env = { NATS_ADDRESS: `127.0.0.1:${server.port}`, NATS_TOKEN: motionToken };
  const ca = await certificates.read('ca.crt');
  return {
    ...server,
    certificates,
    env,
    credentials: { ca },
    client: () =>
      connect({
        servers: env.NATS_ADDRESS,
        token: motionToken,
        tls: { ca, servername: 'nats' } as object,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 100,
      }),
    container: (role, count, file) =>
      startContainer([role, String(count), ...(file ? [file] : [])], {
        ...env,
        NATS_CA: certificates.path('ca.crt'),
      }),
    async stop() {
      await server.stop();
      await certificates.remove();
    },
  };
}

function startContainer(words: string[], env: Record<string, string>): Container {
  const script = join(root, 'test/support/python/motion_containers.py');
  const child = spawn(python('streams'), [script, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 80_000);
  let failure = '';
  child.stderr.on('data', (chunk) => {
    failure += chunk;
  });
  const seen: Record<string, unknown>[] = [];
  let begun = () => {};
  const ready = new Promise<void>((resolve) => {
    begun = resolve;
  });
  createInterface(child.stdout).on('line', (line) => {
    const said = JSON.parse(line) as Record<string, unknown>;
    if (said.ready) begun();
    else seen.push(said);
  });
  const lines = once(child, 'close').then(([code]) => {
    clearTimeout(timer);
    begun();
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${failure}`);
    return seen;
  });
  lines.catch(() => {});
  return { ready, lines };
}

/** A stage that runs in this process, and its events. */
export interface RunningStage {
  events: StageEvent[];
  /** Resolves when an event of this kind has occurred this many times. */
  told(kind: StageEvent['kind'], times?: number): Promise<void>;
  stop(): Promise<StageResult>;
  /** Resolves when the stage has ended. */
  ended: Promise<StageResult>;
}

export function startStage(options: Omit<StageOptions, 'signal' | 'onEvent'>): RunningStage {
  const events: StageEvent[] = [];
  const stopping = new AbortController();
  let look = () => {};
  const ended = runStage({
    ...options,
    signal: stopping.signal,
    onEvent(event) {
      events.push(event);
      look();
    },
  });
  ended.catch(() => {});
  return {
    events,
    ended,
    told: (kind, times = 1) =>
      Promise.race([
        ended.then(() => {}),
        new Promise<void>((resolve) => {
          look = () => {
            if (events.filter((event) => event.kind === kind).length >= times) resolve();
          };
          look();
        }),
      ]),
    async stop() {
      stopping.abort();
      return ended;
    },
  };
}
