import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient } from '../api/client.js';
import { type Deployed, deploy } from '../api/rollouts/deploy.js';
import type { RolloutDeviceState } from '../api/rollouts/schema.js';
import { publicKeyOf } from '../core/crypto.js';
import { AiotError, hasCode } from '../core/errors.js';
import { plural, thousands } from '../core/figures.js';
import { readText } from '../core/files.js';
import { loadProject } from '../core/project.js';
import { checkDataset } from '../data/check/check.js';
import { rangesOf } from '../data/check/recordings.js';
import { findingCounts } from '../data/check/report.js';
import { openDataset, sampleCount } from '../data/dataset/open.js';
import { pullDataset } from '../data/dataset/pull.js';
import { splitDataset } from '../data/split.js';
import type { Finding, Recording } from '../data/types.js';
import { createNativeDevice } from '../device/native/device.js';
import { createVirtualDevice } from '../device/virtual/device.js';
import { trustRootOf } from '../formats/manifest/envelope.js';
import { evaluateProject } from '../model/evaluate/evaluate-project.js';
import { gateError } from '../model/evaluate/gates.js';
import { classifierFigures } from '../model/evaluate/verdict.js';
import { pushModel } from '../model/publish/push.js';
import { quantizeProject } from '../model/quantize/quantize-project.js';
import { trainProject } from '../model/train/train-project.js';
import { startPlatform } from '../platform/start.js';
import { initProject } from '../project/init.js';
import { ensureOperatorKey } from '../provision/operator-key.js';
import { provisionDevice } from '../provision/provision.js';
import { signalSpecOf } from '../signal/spec.js';
import { type DemoStep, type DemoWork, readOriginals, score } from './work.js';

/** Starts a platform with the template's project, but without its recordings, because the data must arrive over the network. */
export function platformStep(work: DemoWork): DemoStep {
  return {
    title: 'Start a platform: API, MQTT broker, database, file store and CA',
    run: async (_report) => {
      const { folder, recordings, httpPort, mqttPort } = work.options;
      const dir = join(folder, 'project');
      await initProject({ dir, template: 'har-imu', name: 'har-imu' });
      work.project = await loadProject(dir);
      const replayed = join(folder, 'recordings');
      await rename(join(dir, 'data'), replayed);
      await mkdir(join(dir, 'data'));
      work.originals = recordings === undefined ? await readOriginals(work.project, replayed) : null;
      // The recordings are read before anything is started, so that invalid ones are rejected while there is nothing to clean up.
      work.source = await openDataset(work.project, recordings ?? replayed);
      work.platform = await startPlatform({
        dataDir: join(folder, 'platform'),
        host: '127.0.0.1',
        httpPort,
        mqttPort,
      });
      work.closers.push(() => work.platform.stop());
      const ca = await readText(work.platform.ca);
      work.client = createClient({ url: work.platform.urls.http, ca, token: work.platform.token });
      work.closers.push(() => work.client.close());
      work.operatorKey = await ensureOperatorKey('demo', join(folder, 'operator'));
      await work.client.trust.put(trustRootOf(publicKeyOf(work.operatorKey)));
      return `${work.platform.urls.http}, ${work.platform.urls.mqtts}`;
    },
  };
}

export function provisionStep(work: DemoWork): DemoStep {
  const { native = false } = work.options;
  return {
    title: `Provision ${work.options.devices} ${native ? 'native' : 'virtual'} devices, each with its own key and certificate`,
    run: async (report) => {
      const names = Array.from({ length: work.options.devices }, (_, i) => `wearable-${i + 1}`);
      for (const name of names) {
        const out = join(work.options.folder, 'devices', name);
        await provisionDevice({ client: work.client, name, type: 'virtual', out });
        const device = native
          ? await createNativeDevice({
              identityDir: out,
              onBuild: () => report('building the native device'),
            })
          : await createVirtualDevice({ identityDir: out });
        work.devices.push(device);
        work.closers.push(() => device.stop());
        await device.connect();
        report(`${name} is online`);
      }
      return `${names.length} online over mTLS${native ? ', each in its own process' : ''}`;
    },
  };
}

/** Replays every recording on its assigned device. The operator then labels the recording. */
async function replayAll(
  work: DemoWork,
  recordings: Recording[],
  options: { predict: boolean; rename: (id: string) => string },
  done: (samples: number) => void,
): Promise<void> {
  const stream = work.project.config.stream.topic;
  let samples = 0;
  await Promise.all(
    shares(recordings, work.devices.length).map(async (share, i) => {
      const device = work.devices[i];
      if (!device) return;
      for (const recording of share) {
        const id = options.rename(recording.id);
        const { messages, inferences } = await device.replay(recording, {
          stream,
          speed: 'max',
          predict: options.predict,
          recordingId: id,
          signal: work.options.signal,
        });
        // A recording that is shorter than a window contains no data to label.
        if (recording.label !== null && messages + inferences > 0) {
          await work.client.labels.post({
            stream,
            device: device.name,
            recording: id,
            label: recording.label,
          });
        }
        samples += sampleCount([recording]);
        done(samples);
      }
    }),
  );
}

/** Distributes the items over `count` groups in rotation, so that each group gets items from all parts of a sorted list. */
function shares<T>(items: readonly T[], count: number): T[][] {
  return Array.from({ length: count }, (_, hand) => items.filter((_item, i) => i % count === hand));
}

export function recordStep(work: DemoWork): DemoStep {
  return {
    title: 'Stream recordings of real motion from the devices to the platform',
    run: async (report) => {
      const { recordings } = work.source;
      await replayAll(work, recordings, { predict: false, rename: (id) => id }, (samples) => {
        report(`${thousands(samples)} samples`);
      });
      const { project, client } = work;
      await pullDataset({ client, stream: project.config.stream.topic, dir: join(project.dir, 'data') });
      work.dataset = await openDataset(project);
      const pulled = work.dataset.recordings;
      return `${pulled.length} recordings, ${thousands(sampleCount(pulled))} samples`;
    },
  };
}

const findingTopics: Record<Finding['kind'], string> = {
  leak: 'leaks',
  repeats: 'repeated rows',
  rate: 'sample rates',
  shortcut: 'shortcuts to the label',
  imbalance: 'class imbalance',
  stuck: 'stuck fields',
  swapped: 'swapped axes',
  unit: 'units',
  offset: 'offsets',
  spikes: 'spikes',
  saturation: 'saturation',
  band: 'ignored frequencies',
  gap: 'gaps',
  time: 'timestamps',
  range: 'values out of range',
  short: 'short recordings',
  'not-a-number': 'missing numbers',
  label: 'labels',
  objects: 'objects',
  identifier: 'identifiers',
  duplicate: 'duplicate columns',
  outliers: 'outliers',
};

export function checkStep(work: DemoWork): DemoStep {
  return {
    title: 'Check the data for gaps, repeated rows, artifacts and leaks',
    run: async () => {
      const { config } = work.project;
      work.split = splitDataset(work.dataset, config.model);
      work.findings = checkDataset(work.dataset, signalSpecOf(config), work.split, {
        ranges: rangesOf(config),
        labels: config.model.labels,
      });
      const counts = new Map<Finding['kind'], number>();
      for (const { kind } of work.findings) counts.set(kind, (counts.get(kind) ?? 0) + 1);
      const topics = [...counts].map(([kind, count]) => `${findingTopics[kind]} (${count})`).join(', ');
      return topics ? `${findingCounts(work.findings)}: ${topics}` : 'no findings';
    },
  };
}

export function trainStep(work: DemoWork): DemoStep {
  return {
    title: 'Train, and cross-validate by recording in 5 folds',
    run: async (report, signal) => {
      const train = (folds?: { folds: number }) =>
        trainProject({
          ...{ project: work.project, dataset: work.dataset, folds, signal, record: true },
          onStep: report,
          onEpoch: ({ epoch, epochs, loss, valAccuracy }) => {
            report(
              `epoch ${epoch}/${epochs}  loss ${score(loss)}  validation accuracy ${score(valAccuracy ?? 0)}`,
            );
          },
        });
      // Datasets with too few recordings for cross-validation can still be used for training.
      work.trained = await train({ folds: 5 }).catch((error: unknown) => {
        if (!hasCode(error, 'AIOT_DATA_TOO_FEW')) throw error;
        return train();
      });
      const { epochs, folds } = work.trained;
      const { macroF1, voted } = folds?.together ?? { macroF1: null, voted: null };
      return macroF1 === null
        ? `${epochs} epochs; too few recordings for folds`
        : `${epochs} epochs; folds: macro-F1 ${score(macroF1)}, ${score(voted?.macroF1 ?? macroF1)} smoothed`;
    },
  };
}

export function quantizeStep(work: DemoWork): DemoStep {
  return {
    title: 'Quantize to int8 and evaluate on held-out recordings',
    run: async (report, signal) => {
      work.quantized = await quantizeProject({ project: work.project, dataset: work.dataset, signal });
      report('quantized');
      work.evaluated = await evaluateProject({ project: work.project, dataset: work.dataset, signal });
      // Nothing is pushed if the project's gates fail.
      const refused = gateError(work.evaluated.gates);
      if (refused) throw refused;
      const { float, int8, voted } = classifierFigures(work.evaluated);
      return `macro-F1: float ${score(float.macroF1)}, int8 ${score(int8.macroF1)}, ${score(voted.macroF1)} smoothed`;
    },
  };
}

export function pushStep(work: DemoWork): DemoStep {
  return {
    title: 'Bundle the model, sign it and push it',
    run: async () => {
      const { project, client, operatorKey } = work;
      work.pushed = await pushModel({ project, client, privatePem: operatorKey });
      const { name, version, digest } = work.pushed;
      return `${name}@${version}, ${digest.slice(0, 19)}…`;
    },
  };
}

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
