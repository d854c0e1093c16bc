import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Random } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { readWav } from '../../src/lib/formats/wav.js';
import { resampled } from '../../src/lib/signal/band-limited.js';
import { root } from './cli.js';
import { python, pythonPackages } from './real.js';
import { runInPython } from './tflite.js';

export const rateHz = 16_000;

/** Frames of a model's step. */
export const stepFrames = 3;

/** Number of consecutive runs of a model in a comparison. */
export const steps = 300;

export interface WakeWord {
  name: string;
  file: Uint8Array;
  settings: {
    word: string;
    /** The word is detected where the mean of the last `window` probabilities exceeds this. */
    threshold: number;
    window: number;
  };
}

/**
 * The streaming models in the wheel pymicro-wakeword, which are int8 and have six variables each and one step of
 * three spectra per run.
 */
export function wakeWords(): WakeWord[] {
  const folder = join(pythonPackages('wakeword'), 'pymicro_wakeword', 'models');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.tflite'))
    .map((name) => {
      const about = JSON.parse(readFileSync(join(folder, name.replace('.tflite', '.json')), 'utf8'));
      const { probability_cutoff: threshold, sliding_window_size: window } = about.micro;
      return {
        name,
        file: readFileSync(join(folder, name)),
        settings: { word: about.wake_word, threshold, window },
      };
    });
}

/** Steps of three spectra of 40 bands that change slowly, like those of speech, as int8, row-major. */
export function spectra(random: Random): Int8Array {
  const bands = new Float64Array(40).fill(-100);
  return Int8Array.from({ length: 120 * steps }, (_, at) => {
    const band = at % 40;
    // A sound occasionally begins or ends.
    const target = Math.floor(at / 1600) % 2 === 0 ? -110 : 60 * Math.sin(band / 6 + at / 1600);
    bands[band]! += 0.15 * (target - bands[band]!) + 24 * (random() - 0.5);
    return Math.max(-128, Math.min(127, Math.round(bands[band]!)));
  });
}

export interface Sound extends WakeWord {
  /** 16 kHz int16. */
  samples: number[];
}

export interface Heard {
  /** Features of each frame. */
  frames: number[][];
  /** Mean probability after each frame; 0 after a frame that does not complete a step. */
  means: number[];
  /** Frames after which the mean exceeds the model's threshold. */
  detected: number[];
}

/** @param preload a library whose functions replace those of the C library */
export function judgedByPymicro(sounds: readonly Sound[], preload?: string): Heard[] {
  const script = join(root, 'test', 'support', 'python', 'wake_words.py');
  const { stdout, stderr } = spawnSync(python('wakeword'), [script, pythonPackages('tflm')], {
    encoding: 'utf8',
    input: JSON.stringify(
      sounds.map(({ name, samples }) => ({ model: name.replace('.tflite', ''), samples })),
    ),
    maxBuffer: 2 ** 28,
    env: { ...process.env, ...(preload && { LD_PRELOAD: preload }) },
  });
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout);
}

/** The probability after each step in TFLite Micro, from the features of all frames of each sound. */
export function probabilitiesInTflm(sounds: readonly Sound[], features: readonly number[][][]): number[][] {
  const graphs = sounds.map(({ file }) => importTflite(file).graph);
  const scaleOf = (graph: Graph, index: number) => {
    const { scale, zeroPoint } = graph.tensors[index]!.quantization!;
    return { step: scale[0]!, zero: zeroPoint[0]! };
  };
  const jobs = graphs.map((graph, at) => {
    const { step, zero } = scaleOf(graph, graph.inputs[0]!);
    const whole = features[at]!.slice(0, Math.floor(features[at]!.length / stepFrames) * stepFrames);
    const integer = (value: number) => Math.max(-128, Math.min(127, Math.round(value / step) + zero));
    return { graph, input: Int8Array.from(whole.flat(), integer) };
  });
  return runInPython('tflm', jobs).map(({ output }, at) => {
    const { step, zero } = scaleOf(graphs[at]!, graphs[at]!.outputs[0]!);
    return Array.from(output, (value) => (value - zero) * step);
  });
}

/** A text spoken by espeak-ng between silences, as 16 kHz int16. */
export function spoken(text: string, voice: string, wordsPerMinute: number): number[] {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-spoken-'));
  try {
    const wav = join(folder, 'spoken.wav');
    execFileSync('espeak-ng', ['-v', voice, '-s', String(wordsPerMinute), '-w', wav, text]);
    const sound = readWav(readFileSync(wav), wav);
    const [channel] = resampled(sound.channels, sound.rateHz, rateHz);
    const silence = (seconds: number) => new Array<number>(seconds * rateHz).fill(0);
    return [...silence(1.5), ...Array.from(channel!, (value) => Math.round(32_767 * value)), ...silence(1)];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Compiles a library for `LD_PRELOAD` whose logarithm is rounded correctly. The values of pymicro-features depend on the C library's.
 * @param folder an existing folder
 */
export function correctLogarithm(folder: string): string {
  const [source, library] = [join(folder, 'log1pf.c'), join(folder, 'log1pf.so')];
  writeFileSync(source, '#include <math.h>\nfloat log1pf(float x) { return (float)log1p((double)x); }\n');
  const built = spawnSync('cc', ['-shared', '-fPIC', '-o', library, source, '-lm'], { encoding: 'utf8' });
  expect(built.status, built.stderr).toBe(0);
  return library;
}
