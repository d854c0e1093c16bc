import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, type RegistryClient } from '../../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf } from '../../../src/lib/core/crypto.js';
import { readText } from '../../../src/lib/core/files.js';
import { trustRootOf } from '../../../src/lib/formats/manifest/envelope.js';
import type { PlatformOptions } from '../../../src/lib/platform/options.js';
import { root } from '../../support/cli.js';
import { freePort } from '../../support/free-port.js';

/** A platform as seen by its operator. Loads work on it. */
export interface Operated {
  folder: string;
  http: string;
  mqtts: string;
  /** The guide's services, if they are enabled. */
  guide: GuideUrls | undefined;
  /** PEM of the CA. */
  ca: string;
  token: string;
  /** The operator's signing key as PEM, whose public half is the trust root. */
  key: string;
  /** A client for the current process. */
  client: RegistryClient;
}

/** A platform that is killed and restarted at the same addresses. */
export interface Victim extends Operated {
  /** Sends SIGKILL, and waits until the process is gone. */
  kill(): Promise<void>;
  /** The process ID of the last start. */
  pid(): number;
  start(): Promise<void>;
  /** The log since the first start. */
  log(): string;
  stop(): Promise<void>;
}

type GuideUrls = Record<'mqtt' | 'devices' | 'models' | 'datasets', string>;

interface Ready {
  urls: { http: string; mqtts: string; guide?: GuideUrls };
  ca: string;
  token?: string;
}

export async function startVictim(more: Partial<PlatformOptions> = {}): Promise<Victim> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-victim-'));
  const [httpPort, mqttPort] = [await freePort(), await freePort()];
  const compatPorts = [await freePort(), await freePort(), await freePort(), await freePort()];
  const options = { dataDir: join(folder, 'data'), httpPort, mqttPort, compatPorts, ...more };
  let child: ChildProcess | undefined;
  let log = '';
  const run = async (): Promise<Ready> => {
    const args = [join(root, 'test/platform/kills/child.mjs'), JSON.stringify(options)];
    const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    child = started;
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    for await (const line of createInterface({ input: started.stdout })) return JSON.parse(line) as Ready;
    throw new Error(`the platform did not start:\n${log.slice(-3000)}`);
  };
  const kill = async () => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  try {
    const { urls, ca: file, token = '' } = await run();
    const ca = await readText(file);
    const connect = () => createClient({ url: urls.http, ca, token });
    const key = generateKeyPair().privatePem;
    const victim: Victim = {
      ...{ folder, http: urls.http, mqtts: urls.mqtts, guide: urls.guide, ca, token, key },
      client: connect(),
      kill,
      pid: () => child?.pid ?? 0,
      async start() {
        await victim.client.close();
        await run();
        victim.client = connect();
      },
      log: () => log,
      async stop() {
        await victim.client.close();
        await kill();
        await rm(folder, { recursive: true, force: true });
      },
    };
    await victim.client.trust.put(trustRootOf(publicKeyOf(key)));
    return victim;
  } catch (error) {
    await kill();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** One kind of load, with a check of its acknowledged operations. */
export interface Load {
  name: string;
  /** Runs once, before the first kill. */
  prepare?(victim: Operated): Promise<void>;
  /** Runs until `signal` is aborted or the platform is gone, and throws in neither case. A load without this method only verifies. */
  run?(victim: Operated, signal: AbortSignal): Promise<void>;
  /** Runs after each restart. Throws if an acknowledged operation is lost. */
  verify(victim: Operated): Promise<void>;
  /** The number of acknowledged operations so far. */
  acknowledged(): number;
  close?(): Promise<void>;
}

export interface Round {
  waitMs: number;
}

/** How long the last round waits for loads without an acknowledged operation, because the machine may be busy, ms. */
const longestRound = 20_000;

/**
 * In each round, kills the platform after the given time and under all loads, and verifies all loads after the restart. The last kill
 * waits until each load has an acknowledged operation.
 */
export async function killUnder(
  victim: Victim,
  loads: readonly Load[],
  rounds: readonly Round[],
): Promise<void> {
  for (const load of loads) await load.prepare?.(victim);
  const idle = () => loads.some(({ run, acknowledged }) => run && acknowledged() === 0);
  for (const [index, { waitMs }] of rounds.entries()) {
    const stop = new AbortController();
    const running = loads.map((load) => load.run?.(victim, stop.signal));
    await delay(waitMs);
    const last = Date.now() + (index < rounds.length - 1 ? 0 : longestRound);
    while (idle() && Date.now() < last) await delay(50);
    await victim.kill();
    stop.abort();
    await Promise.all(running);
    await victim.start();
    for (const load of loads) await load.verify(victim);
  }
}
