import { sha256Hex } from '../../core/index.js';
import type { BundleFile, ModelPart } from '../../formats/index.js';
import { membersOf } from './pack.js';
import type { Bundle, BundleInfo, Figures, NetworkBundle } from './types.js';

/** Firmware that runs int8 networks which answer with classes has interface 1; of any type and answer, 2. */
export const interfaces = { int8Classes: 1, anyAnswer: 2 } as const;

/** Least interface of firmware that can run it. */
export function interfaceOf({ info }: Bundle | NetworkBundle): number {
  if (info.kind === 'network') return interfaces.anyAnswer;
  const { quantization, input, output, answer } = info;
  const plain = quantization.mode === 'int8' && [input, output].every(({ type }) => type === 'int8');
  return plain && answer.kind === 'classes' ? interfaces.int8Classes : interfaces.anyAnswer;
}

/** The files of a bundle's content, with their sums. */
export function filesOf(bundle: Bundle | NetworkBundle): BundleFile[] {
  return membersOf(bundle).map(({ name, data }) => ({
    name,
    sha256: sha256Hex(data),
    bytes: data.length,
  }));
}

/** What a manifest says of a bundle: a function of the bundle alone, so that one can be checked by the other. */
export function modelPartOf({ info, lineage }: Bundle | NetworkBundle): ModelPart {
  const { kind, input, output } = info;
  const quantization = { mode: info.quantization.mode, input: input.type, output: output.type };
  const { dataset, training } = lineage;
  const made = {
    dataset: dataset && { name: dataset.name, digest: dataset.digest },
    config: training?.configDigest ?? null,
    tools: training?.tools ?? {},
    created: training?.created ?? null,
  };
  if (info.kind === 'network') {
    const unknown = { signal: null, labels: {}, answer: null, metrics: null, gates: [], evaluation: null };
    return { kind, ...unknown, quantization, ...made };
  }
  const { signal, labels, answer, metrics, gates, evaluation } = info;
  return {
    kind,
    signal: { ...signal },
    labels,
    answer: { ...answer, ...voteOf(info) },
    quantization,
    metrics: {
      float: brief(metrics.float),
      int8: brief(metrics.int8),
      voted: metrics.voted && brief(metrics.voted),
      ...(metrics.folds && { folds: { ...metrics.folds } }),
    },
    gates: gates.map((gate) => ({ ...gate })),
    evaluation,
    ...made,
  };
}

function voteOf({ classes, vote }: BundleInfo) {
  return { classes, vote };
}

/** A manifest is to stay small, for a device reads all of it: single figures, intervals, and the confusion of few classes. */
const mostClasses = 16;

function brief(figures: Figures): Record<string, unknown> {
  const { confusion, ...others } = figures;
  const kept = Object.entries(others).filter(([, value]) => isBrief(value));
  const few = confusion && confusion.length <= mostClasses ? { confusion } : {};
  return { ...Object.fromEntries(kept), ...few };
}

/** A number, an interval, or some of them by name. */
function isBrief(value: unknown): boolean {
  if (value === null || typeof value === 'number') return true;
  if (Array.isArray(value)) return value.length === 2 && value.every((x) => typeof x === 'number');
  return typeof value === 'object' && Object.values(value).every(isBrief);
}
