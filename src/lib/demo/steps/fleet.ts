import { AiotError, plural, thousands } from '../../core/index.js';
import { type Deployed, deploy, type RolloutDeviceState } from '../../registry/index.js';
import { score } from '../text.js';
import type { DemoStep, DemoWork } from '../work.js';
import { replayAll } from './record.js';

export function rolloutStep(work: DemoWork): DemoStep {
  return {
    title: 'Roll out over the air: each device downloads, verifies, tests and commits',
    run: async (report, signal) => {
      const { client, pushed } = work;
      const { name, version, sequence } = pushed;
      const steps = new Map<string, string>();
      work.rollout = await deploy({
        ...{ client, signal, selector: 'all', deadlineMs: 60_000 },
        release: { kind: 'model', name, version, sequence },
        onProgress: ({ changed }) => {
          for (const device of changed) steps.set(device.name, device.step ?? device.state);
          report([...steps].map((step) => step.join(' ')).join(', '));
        },
      });
      const committed = countIn(work.rollout, 'committed');
      if (committed < work.devices.length) throw notCommitted(work.rollout);
      return `${committed} of ${plural(work.devices.length, 'device')} committed in ${work.rollout.seconds.toFixed(1)} s`;
    },
  };
}

function notCommitted(rollout: Deployed): AiotError {
  const told = rollout.devices
    .filter(({ state }) => state !== 'committed')
    .map(({ name, state, error }) => `${name} ${state}${error ? ` (${error.code}: ${error.message})` : ''}`);
  return new AiotError('AIOT_ROLLOUT_FAILED', `not every device committed: ${told.join(', ')}`);
}

export function countIn({ devices }: Deployed, state: RolloutDeviceState): number {
  return devices.filter((device) => device.state === state).length;
}

export function liveStep(work: DemoWork): DemoStep {
  return {
    title: 'Predict on the devices, live, from held-out recordings',
    run: async (report) => {
      const heldOut = new Set(work.split.test);
      const recordings = work.dataset.recordings.filter(({ id }) => heldOut.has(id));
      await replayAll(work, recordings, { predict: true, rename: (id) => `${id}.live` }, (samples) => {
        report(`${thousands(samples)} samples`);
      });
      const { name, version } = work.pushed;
      work.live = await work.client.models.live(name, version);
      const { windows, accuracy, macroF1, latencyMs } = work.live;
      const gate = work.project.config.model.accept.macroF1;
      if (windows === 0 || (gate !== undefined && macroF1 < gate)) {
        throw new AiotError(
          'AIOT_GATE_FAILED',
          `live macro-F1: expected at least ${gate}, got ${score(macroF1)} over ${windows} windows`,
        );
      }
      return `${windows} windows, accuracy ${score(accuracy)}, macro-F1 ${score(macroF1)}, latency p99 ${latencyMs.p99.toFixed(2)} ms`;
    },
  };
}
