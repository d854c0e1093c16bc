import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { FoldsFigures } from '../api/api.js';
import { AiotError } from '../core/errors.js';
import { makeFolder } from '../core/files.js';
import { dataFolder } from '../core/folders.js';
import { sampleCount } from '../data/dataset/open.js';
import { classifierFigures } from '../model/evaluate/verdict.js';
import { writeReport } from '../model/report/write-report.js';
import {
  checkStep,
  countIn,
  liveStep,
  platformStep,
  provisionStep,
  pushStep,
  quantizeStep,
  recordStep,
  rolloutStep,
  trainStep,
} from './steps.js';
import type { DemoOptions, DemoStep, DemoWork } from './work.js';

export interface Demo {
  steps: DemoStep[];
  /** Computes the result, after the last step. */
  result(): DemoResult;
  /** Stops everything that the steps started. Can be called at any time. */
  close(): Promise<void>;
}

/** Creates the main use case, from a sensor stream to predictions on devices, as a list of steps that call the library's modules. */
export function createDemo(options: DemoOptions): Demo {
  // Each member is set by a step before later steps read it.
  const work = { options, started: performance.now(), devices: [], closers: [] } as unknown as DemoWork;
  const steps = [
    platformStep(work),
    provisionStep(work),
    recordStep(work),
    checkStep(work),
    trainStep(work),
    quantizeStep(work),
    pushStep(work),
    rolloutStep(work),
    liveStep(work),
    reportStep(work),
  ];
  return { steps, result: () => resultOf(work), close: () => closeAll(work) };
}

/** Creates a run's folder, whose default name contains the time. @throws AIOT_FOLDER_NOT_EMPTY if a given folder is not empty */
export async function demoFolder(named: string | undefined, now: number): Promise<string> {
  const stamp = new Date(now).toISOString().slice(0, 19).replaceAll(':', '-');
  const folder = named ?? join(dataFolder(), 'demo', `${stamp}-${process.pid}`);
  await makeFolder(folder);
  if ((await readdir(folder)).length > 0) {
    throw new AiotError('AIOT_FOLDER_NOT_EMPTY', `${folder} is not empty: a demo needs an empty folder`);
  }
  return folder;
}

function reportFile(work: DemoWork): string {
  return join(work.options.folder, 'report.html');
}

function reportStep(work: DemoWork): DemoStep {
  return {
    title: 'Write the report',
    run: async () => {
      const { project, live, findings } = work;
      await writeReport({ file: reportFile(work), project, live, findings });
      return reportFile(work);
    },
  };
}

function resultOf(work: DemoWork): DemoResult {
  const { pushed, rollout, live, dataset, originals } = work;
  const figures = classifierFigures(work.evaluated);
  return {
    folder: work.options.folder,
    report: reportFile(work),
    platform: {
      http: work.platform.urls.http,
      mqtts: work.platform.urls.mqtts,
      dir: join(work.options.folder, 'platform'),
    },
    dataset: {
      recordings: dataset.recordings.length,
      samples: sampleCount(dataset.recordings),
      digest: dataset.digest,
      findings: work.findings.map(({ kind, severity, message, advice }) => ({
        kind,
        severity,
        message,
        advice,
      })),
    },
    model: {
      name: pushed.name,
      version: pushed.version,
      digest: pushed.digest,
      bytes: { float: work.trained.bytes, int8: work.quantized.bytes },
      accuracy: { float: figures.float.accuracy, int8: figures.int8.accuracy },
      macroF1: {
        float: figures.float.macroF1,
        int8: figures.int8.macroF1,
        voted: figures.voted.macroF1,
      },
      interval: limitsOf(work.evaluated.interval),
      heldOut: { windows: work.evaluated.n, recordings: work.evaluated.groups },
      folds: work.trained.folds && foldsOf(work.trained.folds.together),
      originals: originals && {
        ...foldsOf(originals.together),
        ...{ datasetDigest: originals.datasetDigest, configDigest: originals.configDigest },
      },
      arenaBytes: figures.arenaBytes,
    },
    rollout: {
      devices: rollout.devices.length,
      committed: countIn(rollout, 'committed'),
      rolledBack: countIn(rollout, 'rolledBack'),
      seconds: rollout.seconds,
    },
    live: {
      windows: live.windows,
      accuracy: live.accuracy,
      macroF1: live.macroF1,
      latencyMs: live.latencyMs,
    },
    seconds: Math.round((performance.now() - work.started) / 100) / 10,
  };
}

function limitsOf(interval: readonly [number, number] | null) {
  const [low, high] = interval ?? [0, 1];
  return { low, high };
}

function foldsOf({ folds, windows, groups, accuracy, interval, macroF1, voted }: FoldsFigures): DemoFolds {
  const f1 = macroF1 ?? 0;
  return {
    ...{ macroF1: f1, voted: voted?.macroF1 ?? f1, accuracy: accuracy ?? 0, interval: limitsOf(interval) },
    ...{ folds, windows, recordings: groups ?? windows },
  };
}

/** Closes everything in reverse order. If closing one item fails, the others are still closed. */
async function closeAll(work: DemoWork): Promise<void> {
  for (const close of work.closers.splice(0).reverse()) await close().catch(() => {});
}

const share = z.number().min(0).max(1);
const interval = z.object({ low: share, high: share });

/** Metrics of float models, each tested on recordings that were not in its training data. */
const foldsSchema = z.object({
  macroF1: share,
  /** Macro-F1 after smoothing. */
  voted: share,
  accuracy: share,
  /** 95 % interval of the accuracy. */
  interval,
  folds: z.int(),
  windows: z.int(),
  recordings: z.int(),
});

export type DemoFolds = z.output<typeof foldsSchema>;

/** Output of `aiot demo --json`. */
export const demoResultSchema = z.object({
  /** Folder that contains all artifacts. */
  folder: z.string(),
  /** HTML report with training curves and confusion matrices. */
  report: z.string(),
  platform: z.object({ http: z.string(), mqtts: z.string(), dir: z.string() }),
  dataset: z.object({
    recordings: z.int(),
    samples: z.int(),
    digest: z.string(),
    /** Findings of the data check, by kind. */
    findings: z.array(
      z.object({ kind: z.string(), severity: z.string(), message: z.string(), advice: z.string() }),
    ),
  }),
  model: z.object({
    name: z.string(),
    version: z.int(),
    digest: z.string(),
    bytes: z.object({ float: z.int(), int8: z.int() }),
    /** Accuracy on recordings that were not used for training. */
    accuracy: z.object({ float: share, int8: share }),
    macroF1: z.object({ float: share, int8: share, voted: share }),
    /** 95 % interval of the int8 model's accuracy on the held-out windows, with recordings as the sampling unit. */
    interval,
    /** Number of held-out windows, and of the recordings that contain them. */
    heldOut: z.object({ windows: z.int(), recordings: z.int().nullable() }),
    /** Cross-validation metrics over all recordings of the demo. Each recording is tested once. Null if there are too few recordings. */
    folds: foldsSchema.nullable(),
    /**
     * Cross-validation metrics of the same recipe over the original recordings, from which the demo's recordings are cut. They
     * are stored, not computed. Null for other recordings or another recipe.
     */
    originals: foldsSchema.extend({ datasetDigest: z.string(), configDigest: z.string() }).nullable(),
    arenaBytes: z.int(),
  }),
  rollout: z.object({ devices: z.int(), committed: z.int(), rolledBack: z.int(), seconds: z.number() }),
  /** The devices' predictions on held-out recordings, as scored by the platform. */
  live: z.object({
    windows: z.int(),
    accuracy: share,
    macroF1: share,
    latencyMs: z.object({ p50: z.number(), p99: z.number() }),
  }),
  seconds: z.number(),
});

export type DemoResult = z.output<typeof demoResultSchema>;
