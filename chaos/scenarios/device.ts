import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { handles, memory, signals } from '../faults/process.js';
import { shimOf } from '../faults/shim.js';
import { halves } from '../invariants/files.js';
import { startChaosPlatform } from '../platform.js';
import { Program } from '../process.js';
import { giveUp, insist, rollOut, settled } from '../releases.js';
import type { Round, Scenario, World } from '../types.js';
import { connected } from './rollout.js';

const name = 'chaos-1';

/** One virtual device with its flash on disk, which receives one release after another. */
export const device: Scenario = {
  name: 'device',
  about: 'releases for one virtual device, which is killed while it installs them',
  needs: [],
  faults: {
    device: ['kill', 'kill-starting', 'kill-stopping', 'pause', 'handles', 'sync-error', 'memory'],
    platform: ['kill', 'pause'],
  },
  start: deviceWorld,
};

async function deviceWorld(round: Round): Promise<World> {
  const { folder, report, mark } = round;
  const own = await startChaosPlatform(round);
  const dir = join(folder, name);
  await provisionDevice({ client: own.client, name, type: 'virtual', out: dir });
  const shim = round.shim === undefined ? undefined : shimOf(round.shim, dir, 7200);
  const program = new Program({
    name: 'the device',
    args: ['device', 'simulate', dir, '--json'],
    env: { ...own.env, AIOT_CHAOS: mark, ...shim?.env },
    stopped: [0],
    again: 'always',
    report,
  });
  program.start();
  await connected(own, 1);
  const offered = new Set<number>();
  let committed = 0;
  let forgetful = false;
  let seed = 0;
  const next = async () => {
    const one = await rollOut(own, `name=${name}`, ['100%'], ++seed, report);
    offered.add(one.version);
    const ended = await settled(own, one, report);
    if (ended.state === 'done') committed++;
    // A device that was repeatedly interrupted during its trial has rolled back, and reported that.
    else if (ended.state !== 'paused')
      report('rollouts complete', `the rollout of version ${one.version} is ${ended.state}`);
    else await giveUp(own, one, report);
    return { ...one, ended };
  };
  const running = async () =>
    (await insist('look', () => own.client.devices.get(name), report)).model?.version;
  return {
    targets: {
      device: { ...signals(program), ...handles(program), ...memory(program), ...shim },
      platform: own.targets.platform,
    },
    async load(signal) {
      do await next();
      while (!signal.aborted);
    },
    recover: own.recover,
    async check() {
      await connected(own, 1);
      const earlier = join(folder, 'earlier');
      if (forgetful) await cp(dir, earlier, { recursive: true });
      const { version, ended } = await next();
      if (ended.state !== 'done')
        report('rollouts complete', `without any fault, the rollout of version ${version} is ${ended.state}`);
      if ((await running()) !== version)
        report('every device works', `it runs ${await running()}, not ${version}`);
      // After a restart, the device must boot the version that it reported.
      await program.held(
        program.kill().then(() => (forgetful ? cp(earlier, dir, { recursive: true }) : undefined)),
      );
      await delay(500);
      await connected(own, 1);
      if (booted(program.printed()) !== version)
        report('every device works', `after a restart it boots ${booted(program.printed())}, not ${version}`);
    },
    async stop() {
      await program.stop();
      await own.program.stop();
      halves(own.data, report);
      halves(dir, report);
      await own.close();
    },
    acknowledged: () => committed,
    printed: () => own.program.printed() + program.printed(),
    secrets: own.secrets,
    // Before the last start, the flash is reset to its state before the last release, which is then offered again.
    async sabotage() {
      forgetful = true;
    },
  };
}

/** The version that a virtual device printed at its last boot. The platform may have an earlier report for a while. */
function booted(printed: string): number | undefined {
  const line = printed.split('\n').findLast((one) => one.includes('"event":"booted"'));
  return line === undefined ? undefined : JSON.parse(line).model?.version;
}
