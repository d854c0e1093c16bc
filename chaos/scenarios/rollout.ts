import { setTimeout as delay } from 'node:timers/promises';
import { handles, memory, signals } from '../faults/process.js';
import { damagedDatabases, halves } from '../invariants/files.js';
import { type ChaosPlatform, startChaosPlatform } from '../platform.js';
import { Program } from '../process.js';
import { giveUp, insist, rollOut, rollOutToAll, type Started, settled } from '../releases.js';
import type { Round, Scenario, World } from '../types.js';

const devices = 6;
/** Maximum number of devices that may try a release that fails on every device. */
const firstWave = 2;

/** A fleet that accepts every release, and one where every device fails. */
export const rollout: Scenario = {
  name: 'rollout',
  about: 'rollouts to a simulated fleet that accepts them, and to one on which they fail',
  needs: [],
  faults: {
    platform: ['kill', 'kill-starting', 'kill-stopping', 'pause', 'handles', 'memory'],
    network: ['delay', 'cut', 'reset', 'truncate', 'blackhole'],
    fleet: ['kill', 'kill-starting', 'kill-stopping', 'pause', 'handles'],
    disk: ['disk-full', 'read-only'],
  },
  start: rolloutWorld,
};

async function rolloutWorld(round: Round): Promise<World> {
  const { report, mark } = round;
  const own = await startChaosPlatform(round);
  const fleetOf = (site: string, ...more: string[]) =>
    new Program({
      name: `the fleet ${site}`,
      args: [
        ...['fleet', 'simulate', '--count', String(devices), '--template', `${site}-##,site=${site}`],
        ...['--json', ...more],
      ],
      env: { ...own.env, AIOT_CHAOS: mark },
      stopped: [0],
      again: 'always',
      report,
    });
  const fleets: [Program, ...Program[]] = [fleetOf('good'), fleetOf('bad', '--fail-rate', '100%')];
  for (const fleet of fleets) fleet.start();
  await connected(own, 2 * devices);
  const ended: Started[] = [];
  const halted: Started[] = [];
  let seed = 0;
  const good = async () => void ended.push(await rollOutToAll(own, 'site=good', ++seed, report));
  const bad = async () => {
    const one = await rollOut(own, 'site=bad', [firstWave, '50%'], ++seed, report);
    halted.push(one);
    await isHalted(own, one, report);
    await giveUp(own, one, report);
  };
  return {
    targets: {
      platform: own.targets.platform,
      network: own.targets.network,
      disk: own.targets.disk,
      fleet: { ...signals(fleets[0]), ...handles(fleets[0]), ...memory(fleets[0]) },
    },
    async load(signal) {
      await bad();
      do await good();
      while (!signal.aborted);
    },
    recover: own.recover,
    async check() {
      await connected(own, 2 * devices);
      // Once all faults are over, every device installs the next release.
      await good();
      const last = ended.at(-1)?.version;
      for (const { name, model, updateState } of await own.client.devices.list()) {
        const version = name.startsWith('good') ? last : undefined;
        if (model?.version !== version)
          report('every device works', `${name} runs ${model?.version} (${updateState}), not ${version}`);
      }
    },
    async stop() {
      for (const fleet of fleets) await fleet.stop();
      await own.program.stop();
      halves(own.data, report);
      damagedDatabases(own.data, report);
      await own.close();
    },
    acknowledged: () => ended.length + halted.length,
    printed: () => [own.program, ...fleets].map((program) => program.printed()).join(''),
    secrets: own.secrets,
    // From now on, every device of the fleet that accepts everything fails each release.
    async sabotage() {
      await fleets[0].stop();
      const failing = fleetOf('good', '--fail-rate', '100%');
      failing.start();
      fleets.push(failing);
    },
  };
}

/**
 * Reports a rollout that continued after its first wave failed, and devices that were nevertheless offered
 * the release.
 */
async function isHalted(own: ChaosPlatform, one: Started, report: Round['report']): Promise<void> {
  const { state, waves } = await settled(own, one, report);
  if (state !== 'paused')
    report('rollouts stop', `the rollout of version ${one.version} is ${state}: ${JSON.stringify(waves)}`);
  const { client } = own;
  const devices = await insist(
    'list the devices of a rollout',
    () => client.rollouts.devices(one.id),
    report,
  );
  const tried = devices.filter(({ offers }) => offers > 0);
  if (tried.length > firstWave)
    report(
      'rollouts stop',
      `${tried.length} devices were offered a release that failed in a wave of ${firstWave}`,
    );
}

/** Waits until this many devices are connected. */
export async function connected({ client }: ChaosPlatform, count: number): Promise<void> {
  let online = 0;
  for (const until = Date.now() + 60_000; Date.now() < until; await delay(100)) {
    const devices = await client.devices.list().catch(() => []);
    online = devices.filter((device) => device.online).length;
    if (online >= count) return;
  }
  throw new Error(`${online} of ${count} devices are connected after 60 s`);
}
