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

/** A platform as its operator has it: what a load works on. */
export interface Operated {
  folder: string;
  http: string;
  mqtts: string;
  /** The guide's services, with its compatibility. */
  guide: GuideUrls | undefined;
  /** PEM of the CA. */
  ca: string;
  token: string;
  /** The operator's signing key, PEM; its public half is the trust root. */
  key: string;
  /** Of the process that runs now. */
  client: RegistryClient;
}

/** A platform that is killed and started again, at the same addresses. */
export interface Victim extends Operated {
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** Its process, of the last start. */
  pid(): number;
  start(): Promise<void>;
  /** What it wrote to its log since the first start. */
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

/** One kind of load, and what must hold of what was acknowledged to it. */
export interface Load {
  name: string;
  /** Once, before the first kill. */
  prepare?(victim: Operated): Promise<void>;
  /** Runs until `signal` is aborted or the platform is gone; never throws for that. Absent: it only looks. */
  run?(victim: Operated, signal: AbortSignal): Promise<void>;
  /** After a restart. Throws what was acknowledged and is gone. */
  verify(victim: Operated): Promise<void>;
  /** How much was acknowledged so far. */
  acknowledged(): number;
  close?(): Promise<void>;
}

export interface Round {
  waitMs: number;
}

/** A round is that long at most, where something was acknowledged to no load yet, ms: other work may keep the machine busy. */
const longestRound = 20_000;

/**
 * Kills the platform once in each round, at its moment, under all loads; everything is looked at after each restart. The last
 * kill waits until something was acknowledged to each of them.
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
