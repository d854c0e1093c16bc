// A rollout over simulated devices: the platform and the fleet run in separate processes, and this process starts and monitors the rollout.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '../../src/lib/api/client.js';
import { contextFor } from '../../src/lib/api/context.js';
import { type Rollout, rolloutHasEnded } from '../../src/lib/api/rollouts/schema.js';
import { release } from '../../src/lib/model/publish/push.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { tinyBundle } from '../../test/support/bundle.js';
import { cpuSeconds, mostMemoryOf } from '../harness/process.js';
import { startPlatformProcess } from '../platform/process.js';
import { startFleetProcess } from './fleet.js';

export interface RolloutFigures {
  devices: number;
  mutual: number;
  /** Seconds until all devices are registered and until all are connected, and the duration of the rollout. */
  enlist: number;
  connect: number;
  seconds: number;
  state: Rollout['state'];
  waves: Rollout['waves'];
  /** Messages in both directions between fleet and broker during the rollout. */
  messages: number;
  /** Peak resident memory, MB, and CPU seconds during the rollout. */
  memory: { platform: number; fleet: number };
  cpu: { platform: number; fleet: number };
  /** Devices that report the new version at the end, and devices that lost their connection. */
  running: number;
  lost: number;
  /** Number of devices rigged to fail, all in wave two. */
  rigged: number;
}

/** Cumulative sizes of the first four of five waves. */
export const waves = ['1%', '5%', '20%', '50%'] as const;

/** @param options.rigged number of devices in the second wave whose trial fails */
export async function rolloutFigures(options: {
  folder: string;
  devices: number;
  rigged: number;
  platformArgs?: readonly string[];
}): Promise<RolloutFigures> {
  const { folder, devices } = options;
  const platform = await startPlatformProcess(folder, options.platformArgs);
  const client = createClient({
    url: platform.urls.http,
    ca: readFileSync(platform.ca, 'utf8'),
    token: platform.token,
  });
  try {
    // On its first start, the platform saved the operator's key next to the context.
    process.env.AIOT_CONFIG_DIR = join(folder, 'config');
    const key = await operatorKey((await contextFor()).name);
    const signed = { name: 'tiny', issued: Date.now(), expires: null, deviceTypes: ['esp32'] };
    const { version, sequence } = await release(client, tinyBundle(), signed, key);
    const request = {
      releases: [{ kind: 'model' as const, name: 'tiny', version, sequence }],
      rollback: null,
      selector: 'type=esp32',
      policy: { waves: [...waves], maxFailures: '1%', minSuccess: '90%', attempts: 1 },
    };
    const faults = join(folder, 'faults.json');
    writeFileSync(faults, '{"devices":{}}');
    const args = ['--count', String(devices), '--mtls', '10%'];
    let rigged: string[] = [];
    if (options.rigged > 0) {
      // The devices must exist before a plan can show which of them are in wave two.
      const first = await startFleetProcess(folder, args);
      await first.stop();
      const second = (await client.rollouts.plan(request)).waves[1] ?? [];
      rigged = second.slice(0, Math.ceil(second.length * options.rigged));
      const all = Object.fromEntries(rigged.map((name) => [name, 'golden']));
      writeFileSync(faults, JSON.stringify({ devices: all }));
    }
    const fleet = await startFleetProcess(folder, [...args, '--faults', faults]);
    try {
      const total = () => {
        const { sent, heard } = fleet.last()?.messages ?? { sent: 0, heard: 0 };
        return sent + heard;
      };
      const pids = [platform.child.pid!, fleet.child.pid!] as const;
      const [before, cpuBefore] = [total(), pids.map(cpuSeconds)];
      const begun = performance.now();
      let last = await client.rollouts.start(request);
      for await (const { rollout } of client.rollouts.watch(last.id)) {
        last = rollout;
        if (rolloutHasEnded(last) || last.state === 'paused') break;
      }
      const seconds = (performance.now() - begun) / 1000;
      const cpu = pids.map((pid, i) => cpuSeconds(pid) - cpuBefore[i]!);
      const memory = { platform: mostMemoryOf(pids[0]), fleet: mostMemoryOf(pids[1]) };
      // In a stopped rollout, devices that have started still finish.
      while (
        last.state === 'paused' &&
        last.waves.some(({ updating, recalled }) => updating + recalled > 0)
      ) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        last = await client.rollouts.get(last.id);
      }
      const end = await fleet.stop();
      return {
        ...{ devices, mutual: fleet.enlisted.mutual, rigged: rigged.length },
        ...{ enlist: fleet.enlisted.seconds, connect: fleet.connected.seconds, seconds },
        ...{
          state: last.state,
          waves: last.waves,
          messages: end.messages.sent + end.messages.heard - before,
        },
        ...{ memory, cpu: { platform: cpu[0]!, fleet: cpu[1]! } },
        ...{ running: end.models[`tiny@${version}`] ?? 0, lost: devices - end.online },
      };
    } finally {
      if (fleet.child.exitCode === null) await fleet.stop();
    }
  } finally {
    await client.close();
    await platform.stop();
  }
}
