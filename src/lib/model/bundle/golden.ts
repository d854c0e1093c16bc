import { type Graph, readTflite } from '../../formats/index.js';
import { createInterpreter } from '../../runtime/index.js';
import { createPipeline, quantizeInput, type SignalSpec } from '../../signal/index.js';
import type { Bundle, BundleInfo, GoldenVector } from './types.js';

export interface GoldenCheck {
  vectors: number;
  passed: number;
  failures: { vector: number; recording: string; reason: string }[];
}

type Parts = Pick<BundleInfo, 'signal' | 'standardization' | 'input'>;

/** Features of the one window that the samples fill from a reset pipeline; null when they fill none or end elsewhere. */
export function oneWindow(signal: SignalSpec, samples: ArrayLike<number>[]): Float32Array | null {
  const pipeline = createPipeline(signal);
  for (let i = 0; i < samples.length; i++) {
    const features = pipeline.push(samples[i]!);
    if (features) return i === samples.length - 1 ? features.slice() : null;
  }
  return null;
}

/** Computes features, int8 input and int8 output for the samples of one window. */
export function goldenVector(
  graph: Graph,
  { signal, standardization, input: quantization }: Parts,
  recording: string,
  samples: number[][],
): GoldenVector {
  const features = oneWindow(signal, samples);
  if (!features) throw new Error(`the samples of ${recording} do not fill one window`);
  const input = quantizeInput(features, standardization, quantization);
  const output = createInterpreter(graph).invoke(input);
  return {
    recording,
    samples,
    features: Array.from(features),
    input: Array.from(input),
    output: Array.from(output),
  };
}

/**
 * Runs every golden vector from its samples to the int8 answers, as a device does in its trial: inputs and outputs must be
 * exactly equal. A bundle without vectors passes none and has not been tested: callers ask for `passed > 0`.
 */
export function checkGolden({ info, model, golden }: Bundle): GoldenCheck {
  const interpreter = createInterpreter(readTflite(model));
  const failures: GoldenCheck['failures'] = [];
  golden.forEach(({ recording, samples, input, output }, vector) => {
    const features = oneWindow(info.signal, samples);
    const fail = (reason: string) => failures.push({ vector, recording, reason });
    if (!features) {
      fail('its samples do not fill exactly one window');
      return;
    }
    const quantized = quantizeInput(features, info.standardization, info.input);
    const wrongInput = quantized.findIndex((q, i) => q !== input[i]);
    if (wrongInput >= 0) {
      fail(`input ${wrongInput}: expected ${input[wrongInput]}, got ${quantized[wrongInput]}`);
      return;
    }
    const answer = interpreter.invoke(quantized);
    const wrong = answer.findIndex((q, i) => q !== output[i]);
    if (wrong >= 0) fail(`output ${wrong}: expected ${output[wrong]}, got ${answer[wrong]}`);
  });
  return { vectors: golden.length, passed: golden.length - failures.length, failures };
}
