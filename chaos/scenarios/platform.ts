import { seededRandom } from '../../src/lib/core/numbers.js';
import { blobLoad, eventLoad, labelLoad, modelLoad, stateLoad } from '../../test/platform/kills/api-loads.js';
import type { Load } from '../../test/platform/kills/harness.js';
import { retainedLoad, sessionLoad, telemetryLoad } from '../../test/platform/kills/mqtt-loads.js';
import { damagedDatabases, halves } from '../invariants/files.js';
import { keepGoing, verifyLoads } from '../load.js';
import { startChaosPlatform } from '../platform.js';
import type { Round, Scenario, World } from '../types.js';

/** Verifies everything that a platform acknowledges: telemetry, sessions, retained messages, blobs, versions, labels, twins, events. */
export const platform: Scenario = {
  name: 'platform',
  about: 'telemetry, sessions, blobs, models, labels, tags and events of one platform on SQLite',
  needs: [],
  faults: {
    platform: [
      ...(['kill', 'kill-starting', 'kill-stopping', 'pause', 'handles', 'memory'] as const),
      ...(['sync-error', 'clock-ahead', 'clock-back'] as const),
    ],
    network: ['delay', 'cut', 'reset', 'truncate', 'blackhole'],
    disk: ['disk-full', 'read-only'],
  },
  start: (round) => platformWorld(round),
};

/** A platform under all loads of `test/platform/kills`. `args` are additional flags of `aiot up`. */
export async function platformWorld(round: Round, args: readonly string[] = []): Promise<World> {
  const { report } = round;
  const own = await startChaosPlatform(round, args);
  const states = stateLoad();
  const all: Load[] = [
    ...[telemetryLoad(2), retainedLoad(), sessionLoad(1), sessionLoad(2), blobLoad(), modelLoad()],
    ...[labelLoad(), states, eventLoad(states.acknowledged)],
  ];
  // The order of operations within a load may vary; the seed of the round determines which loads run.
  const random = seededRandom(Math.floor(round.random() * 2 ** 32));
  const loads = all.filter(({ name }) => name === 'telemetry' || name === 'states' || random() < 0.7);
  for (const load of loads) await load.prepare?.(own);
  return {
    targets: own.targets,
    load: (signal) => keepGoing(loads, own, signal, report),
    recover: own.recover,
    check: () => verifyLoads(loads, own, report),
    async stop() {
      await own.program.stop();
      halves(own.data, report);
      damagedDatabases(own.data, report);
      await own.close();
    },
    acknowledged: () => loads.reduce((sum, load) => sum + load.acknowledged(), 0),
    printed: () => own.program.printed(),
    secrets: own.secrets,
    async sabotage() {
      for (const device of ['kill-0', 'kill-1']) await own.client.datasets.remove('killed', { device });
    },
  };
}
