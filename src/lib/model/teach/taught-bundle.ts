import { canonicalJson, digestOf } from '../../core/index.js';
import { type Graph, writeTflite } from '../../formats/index.js';
import { endOf } from '../bundle/ends.js';
import { goldenVector } from '../bundle/golden.js';
import type { Bundle, BundleInfo, Metrics } from '../bundle/types.js';
import { voteAll } from '../bundle/vote.js';
import { gatesFrom, isGateName } from '../evaluate/gates.js';
import { metricsOf } from '../evaluate/metrics.js';
import type { LabelledWindow } from './lesson.js';
import type { RetrainOptions } from './retrain.js';

export interface Judged {
  heldOut: LabelledWindow[];
  predicted: Int32Array;
  metrics: Metrics;
}

/** The bundle of the new network: its figures are those of the windows that were held out here. */
export function taughtBundle(
  { bundle, from, lesson, now }: Pick<RetrainOptions, 'bundle' | 'from' | 'lesson' | 'now'>,
  graph: Graph,
  judged: Judged,
): Bundle {
  const { info, lineage } = bundle;
  const model = writeTflite(graph);
  const { heldOut, predicted, metrics } = judged;
  const own = [...new Set(lesson.taught.map(({ recording }) => recording))];
  const tested = [...new Set(heldOut.map(({ recording }) => recording))];
  const voted = voteAll(
    predicted,
    heldOut.map(({ recording }) => recording),
    info.vote,
  );
  const truth = heldOut.map((window) => window.class);
  const figures = { accuracy: metrics.accuracy, macroF1: metrics.macroF1, arena: info.arenaBytes };
  const limits = info.gates.flatMap(({ name, limit }) => (isGateName(name) ? [{ name, limit }] : []));
  const made: BundleInfo = {
    ...info,
    output: endOf(graph, 'outputs'),
    metrics: {
      float: info.metrics.float,
      int8: { ...metrics },
      voted: { ...metricsOf(truth, voted, info.classes.length) },
    },
    gates: gatesFrom(limits, { bytes: model.length, ...figures }),
    evaluation: digestOf(canonicalJson({ from, metrics })),
    lineage: {
      ...info.lineage,
      split: {
        ...info.lineage.split,
        train: [...new Set([...info.lineage.split.train, ...own])],
        test: [...new Set([...info.lineage.split.test, ...tested.filter((id) => !own.includes(id))])],
      },
      created: now,
    },
  };
  const golden = bundle.golden.map(({ recording, samples, features }) =>
    goldenVector(graph, made, { recording, samples, ...(samples.length === 0 ? { features } : {}) }),
  );
  return {
    info: made,
    model,
    golden,
    lineage: {
      ...lineage,
      network: { ...lineage.network, digest: digestOf(model) },
      taught: { from, recordings: own, created: now },
    },
  };
}
