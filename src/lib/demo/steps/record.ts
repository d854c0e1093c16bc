import { join } from 'node:path';
import { plural, thousands } from '../../core/index.js';
import {
  checkDataset,
  type Finding,
  openDataset,
  pullDataset,
  type Recording,
  rangesOf,
  sampleCount,
  splitDataset,
} from '../../data/index.js';
import { signalSpecOf } from '../../signal/index.js';
import type { DemoStep, DemoWork } from '../work.js';

/** Sends every recording through the device that it falls to; the operator says what each shows. */
export async function replayAll(
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
        // One that is too short for a window leaves nothing to label.
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

/** Deals the items out to `count` hands in turn, so that each hand gets some of every kind of a sorted list. */
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
  saturation: 'saturation',
  gap: 'gaps',
  range: 'values out of range',
  short: 'short recordings',
  'not-a-number': 'missing numbers',
  label: 'labels',
};

export function checkStep(work: DemoWork): DemoStep {
  return {
    title: 'Check the data for gaps, repeated rows, artefacts and leaks',
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
      return topics ? `${plural(work.findings.length, 'finding')}: ${topics}` : 'no findings';
    },
  };
}
