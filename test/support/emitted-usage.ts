import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { BundleInfo } from '../../src/lib/model/bundle/types.js';
import { promised } from './emitted-c.js';

const run = promisify(execFile);
const sanitized = ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

/**
 * A program that reads windows of samples or features, and writes for each window the features, the model's output, the prediction and the
 * smoothed prediction.
 */
function mainText(header: string): string {
  const has = (name: string) => header.includes(`${name}(`);
  const typeOf = (pattern: RegExp) => pattern.exec(header)![1]!;
  const input = typeOf(/void model_run\(const (\w+) \*/);
  const output = typeOf(/void model_run\([^,]+, (\w+) \*/);
  const given = `output${/model_decide\([^)]*features\)/.test(header) ? ', features' : ''}`;
  const sound = has('model_features');
  return `#include <stdio.h>
#include "model.h"
static float features[MODEL_INPUT_COUNT];
static ${input} input[MODEL_INPUT_COUNT];
static ${output} output[MODEL_OUTPUT_COUNT];
${sound ? 'static int16_t samples[MODEL_WINDOW_SAMPLES];' : ''}
int main(void) {
${
  has('model_reset')
    ? `  /* What a first stream leaves must not matter. */
  model_run(input, output);
${sound ? '  model_features(samples, features);\n' : ''}${has('model_vote') ? `  model_vote(${given});\n` : ''}  model_reset();\n`
    : ''
}  while (fread(${sound ? 'samples, sizeof samples' : 'features, sizeof features'}, 1, stdin) == 1) {
${sound ? '    model_features(samples, features);\n' : ''}    ${has('model_encode') ? 'model_encode(features, input)' : 'for (int i = 0; i < MODEL_INPUT_COUNT; i++) input[i] = features[i]'};
    model_run(input, output);
    fwrite(features, sizeof features, 1, stdout);
    fwrite(output, sizeof output, 1, stdout);
    const int32_t said[2] = {model_decide(${given}), ${has('model_vote') ? `model_vote(${given})` : `model_decide(${given})`}};
    fwrite(said, sizeof said, 1, stdout);
  }
  return 0;
}
`;
}

/** Results for a window. */
export interface UsageStep {
  features: Float32Array;
  /** In the model's own type. */
  output: Uint8Array;
  index: number;
  voted: number;
}

/** Compiles the C code of a project in a folder with the promised flags and with sanitizers. Returns the program. */
export async function buildUsageC(folder: string): Promise<string> {
  const header = await readFile(join(folder, 'model.h'), 'utf8');
  await writeFile(join(folder, 'main.c'), mainText(header));
  const sources = ['main.c', 'model.c'].map((name) => join(folder, name));
  const program = join(folder, 'main');
  await run('cc', [...promised, '-Wshadow', ...sanitized, ...sources, '-lm', '-o', program]);
  return program;
}

/** Runs it on the windows of a stream: samples for `microfrontend`, otherwise features. */
export async function runUsageC(
  program: string,
  { standardization }: Pick<BundleInfo, 'standardization'>,
  windows: readonly (Int16Array | Float32Array)[],
): Promise<UsageStep[]> {
  const ran = run(program, { encoding: 'buffer', maxBuffer: 2 ** 27 });
  const parts = windows.map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  ran.child.stdin!.end(Buffer.concat(parts));
  const { stdout } = await ran;
  const inputBytes = 4 * standardization.mean.length;
  const step = stdout.length / windows.length;
  return windows.map((_, row) => {
    const own = stdout.subarray(row * step, (row + 1) * step);
    return {
      features: new Float32Array(new Uint8Array(own.subarray(0, inputBytes)).buffer),
      output: new Uint8Array(own.subarray(inputBytes, step - 8)),
      index: own.readInt32LE(step - 8),
      voted: own.readInt32LE(step - 4),
    };
  });
}
