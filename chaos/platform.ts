import { readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '../src/lib/api/client.js';
import { operatorKey } from '../src/lib/provision/operator-key.js';
import type { Operated } from '../test/platform/kills/harness.js';
import { freePort } from '../test/support/free-port.js';
import { type Disk, mountDisk } from './faults/disk.js';
import { type Link, openLink } from './faults/link.js';
import { handles, memory, signals } from './faults/process.js';
import { shimOf } from './faults/shim.js';
import { Program } from './process.js';
import type { Round, Target } from './types.js';

/** Time limit for a platform to respond again on a busy machine, ms. */
const backMs = 45_000;
const diskMegabytes = 256;

/** `aiot up` in a round: its process, disk and network, and its operator's access, which uses that network. */
export interface ChaosPlatform extends Operated {
  program: Program;
  data: string;
  /** Environment of the operator's commands. */
  env: NodeJS.ProcessEnv;
  targets: Record<'platform' | 'disk' | 'network', Target>;
  /** Resolves when the platform is ready; rejects if it is not ready in time. */
  recover(): Promise<void>;
  secrets(): string[];
  close(): Promise<void>;
}

/** Starts the platform. `args` are additional flags of `aiot up`. */
export async function startChaosPlatform(round: Round, args: readonly string[] = []): Promise<ChaosPlatform> {
  const { folder, report } = round;
  const place = join(folder, 'platform');
  await mkdir(place, { recursive: true });
  let program: Program | undefined;
  const disk: Disk | undefined = round.has('mounts')
    ? mountDisk(place, diskMegabytes, () => program as Program)
    : undefined;
  const data = join(place, 'data');
  const [httpPort, mqttPort] = [await freePort(), await freePort()];
  const links: Link[] = [await openLink(httpPort), await openLink(mqttPort)];
  const env = {
    ...process.env,
    AIOT_CONFIG_DIR: join(folder, 'config'),
    AIOT_CHAOS: round.mark,
    HOME: folder,
  };
  const jumpS = 3600 + Math.floor(round.random() * 10 * 3600);
  const shim = round.shim === undefined ? undefined : shimOf(round.shim, folder, jumpS);
  const ports = ['--http-port', String(httpPort), '--mqtt-port', String(mqttPort)];
  program = new Program({
    name: 'the platform',
    args: ['up', '--data', data, ...ports, '--json', ...args],
    env: { ...env, ...shim?.env },
    stopped: [0],
    again: 'always',
    report,
  });
  program.start();
  const { ca: caFile, token, urls } = await started(program);
  const ca = readFileSync(caFile, 'utf8');
  const [http, mqtts] = links.map(({ port }) => port);
  const key = await operatorKey('local', join(folder, 'config'));
  const url = `https://127.0.0.1:${http}`;
  const client = createClient({ url, ca, token });
  return {
    ...{ folder: place, data, env, program, ca, token, key, client },
    ...{ http: url, mqtts: `mqtts://127.0.0.1:${mqtts}`, guide: urls.guide },
    targets: {
      platform: { ...signals(program), ...handles(program), ...memory(program), ...shim },
      disk: { ...disk },
      network: both(links),
    },
    async recover() {
      let last: unknown;
      for (const until = Date.now() + backMs; Date.now() < until; await delay(100)) {
        const asked = await client.status().catch((error: unknown) => {
          last = error;
        });
        if (asked) return;
      }
      throw new Error(`no response within ${backMs} ms: ${last}; ${program.printed().slice(-1500)}`);
    },
    secrets: () => [token, ...[...privateKeysIn(data), ...privateKeysIn(join(folder, 'config'))].map(body)],
    async close() {
      await client.close();
      for (const link of links) await link.close();
      disk?.remove();
    },
  };
}

/** The first base64 line of a PEM file, which cannot occur in output by coincidence. */
function body(pem: string): string {
  return pem.split('\n')[1] ?? pem;
}

/** The PEM text of each private key below a folder. */
export function privateKeysIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:key|pem)$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .filter((text) => text.includes('PRIVATE KEY'));
}

/** Applies the faults of a link to several links at once. */
export function both(links: readonly Link[]): Target {
  const each = (kind: 'delay' | 'cut' | 'reset' | 'truncate' | 'blackhole') => async (forMs: number) => {
    await Promise.all(links.map((link) => link[kind]?.(forMs)));
  };
  return {
    delay: each('delay'),
    cut: each('cut'),
    reset: each('reset'),
    truncate: each('truncate'),
    blackhole: each('blackhole'),
  };
}

interface Said {
  ca: string;
  token: string;
  urls: { guide?: Operated['guide'] };
}

/**
 * Returns the first output, which the program prints once it is up. A database that is still recovering from the previous round may
 * terminate the first connections.
 */
async function started(program: Program): Promise<Said> {
  for (const until = Date.now() + backMs; Date.now() < until; await delay(50)) {
    const said = JSON.parse(await program.said(backMs)) as Partial<Said>;
    if (said.ca !== undefined) return said as Said;
  }
  await program.stop();
  throw new Error(`the platform did not start within ${backMs} ms: ${program.printed().slice(-1500)}`);
}
