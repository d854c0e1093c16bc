import { guideUploadLoad } from '../../test/platform/kills/guide-loads.js';
import type { Load } from '../../test/platform/kills/harness.js';
import { pieceLoad, recordLoad } from '../../test/platform/kills/piece-loads.js';
import { freePort } from '../../test/support/free-port.js';
import { damagedDatabases, halves } from '../invariants/files.js';
import { keepGoing, verifyLoads } from '../load.js';
import { startChaosPlatform } from '../platform.js';
import { Program } from '../process.js';
import { datasetPushLoad, largeUploadLoad, modelPusher } from '../pushes.js';
import { committedIn, rollOutToAll, type Started } from '../releases.js';
import type { Round, Scenario, World } from '../types.js';
import { connected } from './rollout.js';

const devices = 6;

/** Covers the whole chain from the first request to the last. The only faults are kills, several per round. */
export const delivery: Scenario = {
  name: 'delivery',
  about: 'rollouts, pushes of models and datasets, and uploads in pieces, under SIGKILL at random moments',
  needs: [],
  faults: {
    platform: ['kill', 'kill-starting', 'kill-stopping'],
    pusher: ['kill'],
    fleet: ['kill'],
  },
  count: [2, 5],
  withinMs: 6000,
  start: deliveryWorld,
};

async function deliveryWorld(round: Round): Promise<World> {
  const { report, mark } = round;
  const ports = [await freePort(), await freePort(), await freePort(), await freePort()];
  const own = await startChaosPlatform(round, [
    ...['--compat', 'architects-guide', '--compat-ports', ports.join(',')],
  ]);
  const fleet = new Program({
    name: 'the fleet',
    args: [...['fleet', 'simulate', '--count', String(devices), '--template', 'good-##,site=good', '--json']],
    env: { ...own.env, AIOT_CHAOS: mark },
    stopped: [0],
    again: 'always',
    report,
  });
  fleet.start();
  await connected(own, devices);
  const pusher = modelPusher(round, own);
  const loads: Load[] = [
    ...[pieceLoad(2), largeUploadLoad(4), guideUploadLoad(), datasetPushLoad(20), recordLoad()],
  ];
  for (const load of loads) await load.prepare?.(own);
  const ended: Started[] = [];
  const next = async () => void ended.push(await rollOutToAll(own, 'site=good', ended.length + 1, report));
  return {
    targets: {
      platform: { ...own.targets.platform },
      pusher: { kill: () => pusher.program.kill() },
      fleet: { kill: () => fleet.kill() },
    },
    async load(signal) {
      const rollouts = async () => {
        do await next();
        while (!signal.aborted);
      };
      await Promise.all([rollouts(), pusher.run(signal), keepGoing(loads, own, signal, report)]);
    },
    recover: own.recover,
    async check() {
      await connected(own, devices);
      await next();
      // Completed rollouts remain complete, on every device.
      for (const { id, version } of ended) {
        const status = await own.client.rollouts.get(id);
        if (status.state !== 'done' || committedIn(status) < devices)
          report('rollouts continue', `the rollout of version ${version} is ${status.state} again`);
      }
      const last = ended.at(-1)?.version;
      for (const { name, model } of await own.client.devices.list())
        if (name.startsWith('good') && model?.version !== last)
          report('every device works', `${name} runs ${model?.version}, not ${last}`);
      await verifyLoads(loads, own, report);
      await pusher
        .verify()
        .catch((error: Error) => report('no acknowledged data is lost', `model pushes: ${error.message}`));
    },
    async stop() {
      await pusher.program.stop();
      await fleet.stop();
      await own.program.stop();
      halves(own.data, report);
      damagedDatabases(own.data, report);
      await own.close();
    },
    acknowledged: () =>
      loads.reduce((sum, load) => sum + load.acknowledged(), ended.length + pusher.pushed.length),
    printed: () => [own.program, fleet, pusher.program].map((program) => program.printed()).join(''),
    secrets: own.secrets,
    // Removes the first acknowledged push.
    async sabotage() {
      const [first] = pusher.pushed;
      if (first) await own.client.models.remove('pushed', first.version);
    },
  };
}
