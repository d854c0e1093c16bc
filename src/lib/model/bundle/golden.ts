import type { Graph } from '../../formats/tflite/graph.js';
import { createPipeline } from '../../signal/pipeline.js';
import type { SignalSpec } from '../../signal/spec.js';
import { encodeInput, valuesOf } from './ends.js';
import { exactInterpreter, sharedInterpreter } from './interpreters.js';
import { answerOf, type Invoker, labelsOf } from './predictor.js';
import type { Bundle, BundleInfo, End, GoldenVector } from './types.js';

interface GoldenCheck {
  vectors: number;
  passed: number;
  failures: { vector: number; recording: string; reason: string }[];
}

type Parts = Pick<
  BundleInfo,
  'answer' | 'classes' | 'input' | 'output' | 'extra' | 'signal' | 'standardization'
>;

/** Relative tolerance of a float32 output between machines, which may sum in a different order. Integers are exact on every machine. */
const floatTolerance = 1e-4;

/** Features of the single window that the samples fill, from a reset pipeline. Null if they do not fill a window, or extend beyond it. */
export function oneWindow(signal: SignalSpec, samples: ArrayLike<number>[]): Float32Array | null {
  const pipeline = createPipeline(signal);
  for (let i = 0; i < samples.length; i++) {
    const features = pipeline.push(samples[i]!);
    if (features) return i === samples.length - 1 ? features.slice() : null;
  }
  return null;
}

/** One window for a golden vector: either its samples or only its features. */
export interface Take {
  recording: string;
  samples: number[][];
  features?: ArrayLike<number>;
}

/** Computes features, input, output and prediction for one window. */
export function goldenVector(graph: Graph, parts: Parts, take: Take): GoldenVector {
  const { recording, samples } = take;
  const features = take.features ?? oneWindow(parts.signal, samples);
  if (!features) throw new Error(`the samples of ${recording} are shorter than one window`);
  const input = encodeInput(
    features,
    parts.standardization,
    parts.input,
    valuesOf(parts.input, features.length),
  );
  const output = exactInterpreter(graph).invoke(input);
  const { index, value } = answerOf(parts, output, features);
  const label = index === null ? null : (labelsOf(parts)[index] ?? null);
  return {
    recording,
    samples,
    features: Array.from(features),
    input: Array.from(input),
    output: Array.from(output),
    answer: { label, value },
  };
}

/**
 * Runs every golden vector from its samples to the prediction, as a device does when it tries a new version. Integer inputs and outputs
 * must match exactly, and so must the prediction. A bundle without vectors is untested, so callers must require `passed > 0`.
 * @param runs replaces the interpreter; its integers may differ by up to `steps`, but its predictions must match
 */
export function checkGolden(
  { info, model, golden }: Bundle,
  runs?: Invoker & { steps: number },
): GoldenCheck {
  const interpreter = runs ?? sharedInterpreter(model);
  const failures = golden.flatMap((own, vector) => {
    const reason = failureOf(own, info, interpreter, runs?.steps ?? 0);
    return reason === null ? [] : [{ vector, recording: own.recording, reason }];
  });
  return { vectors: golden.length, passed: golden.length - failures.length, failures };
}

function failureOf(
  vector: GoldenVector,
  info: BundleInfo,
  interpreter: Invoker,
  steps: number,
): string | null {
  const features = vector.samples.length === 0 ? vector.features : oneWindow(info.signal, vector.samples);
  if (!features) return 'its samples do not fill exactly one window';
  const room = valuesOf(info.input, features.length);
  const input = encodeInput(features, info.standardization, info.input, room);
  const wrong = difference('input', input, vector.input, info.input);
  if (wrong) return wrong;
  // Each vector is the first window of a recording.
  interpreter.reset?.();
  const output = interpreter.invoke(input);
  const answered = difference('output', output, vector.output, info.output, steps);
  if (answered) return answered;
  const { index, value } = answerOf(info, output, features);
  const label = index === null ? null : (labelsOf(info)[index] ?? null);
  const { answer } = vector;
  if (label !== answer.label) return `answer: expected ${answer.label}, got ${label}`;
  return isNear(value ?? 0, answer.value ?? 0) ? null : `answer: expected ${answer.value}, got ${value}`;
}

function difference(
  what: string,
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  { type }: End,
  steps = 0,
): string | null {
  for (let i = 0; i < got.length; i++) {
    const same =
      type === 'float32' ? isNear(got[i]!, expected[i]!) : Math.abs(got[i]! - expected[i]!) <= steps;
    if (!same) return `${what} ${i}: expected ${expected[i]}, got ${got[i]}`;
  }
  return null;
}

function isNear(a: number, b: number): boolean {
  return Math.abs(a - b) <= floatTolerance * Math.max(1, Math.abs(b));
}
