import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { readWav, writeWav } from '../../src/lib/formats/wav.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { openModelProject } from '../../src/lib/model/material.js';
import { root, runCli } from '../support/cli.js';
import { buildUsageC, runUsageC } from '../support/emitted-usage.js';
import { describeReal, python, pythonPackages } from '../support/real.js';
import { replayOn } from './replay.js';
import { temporaryFolder } from './support.js';

const execute = promisify(execFile);
const rateHz = 16_000;

/** The project of docs/how-to/detect-speech.md. */
const yaml = `name: speech-detector
stream: { topic: hall, fields: { sound: { unit: FS } } }
signal:
  rate: 16000
  window: 576
  stride: 512
  features: raw
model:
  output: probability
  labels: { quiet: [quiet], speech: [speech] }
  threshold: 0.5
`;

async function run(...argv: string[]) {
  const { code, json, stderr } = await runCli([...argv, '--json']);
  expect(code, `${JSON.stringify(json)} ${stderr}`).toBe(0);
  return json;
}

const wavOf = (samples: Float64Array) => writeWav({ rateHz, channels: [samples] });

/** The spoken words in the repository, at 16 kHz, as a 16-bit WAV file contains them. */
async function words(): Promise<Float64Array> {
  const { channels } = readWav(
    await readFile(join(root, 'templates/keyword-spotting/words.wav')),
    'words.wav',
  );
  const said = channels[0]!.subarray(0, 32_000);
  return Float64Array.from({ length: 2 * said.length }, (_, i) => {
    const before = said[i >> 1]!;
    return i % 2 === 0 ? before : (before + (said[(i >> 1) + 1] ?? before)) / 2;
  });
}

function noise(seconds: number, seed: number): Float64Array {
  const random = seededRandom(seed);
  return Float64Array.from({ length: seconds * rateHz }, () => (random() - 0.5) / 50);
}

const farthest = (got: readonly number[], want: readonly number[]) => {
  expect(got).toHaveLength(want.length);
  return Math.max(...got.map((value, i) => Math.abs(value - want[i]!)));
};

describeReal('silero', 'a speech detector imported from ONNX, in a project of sound at 16 kHz', () => {
  describeReal('onnx', 'compared with ONNX Runtime', () => {
    describeReal('cmake', 'and the firmware on this computer', () => {
      describeReal('cc', 'and generated C code', () => {
        it('has the same probabilities in a loop on a WAV file, on a virtual device, in the firmware and in C code', async () => {
          const dir = join(await temporaryFolder(), 'detector');
          await mkdir(join(dir, 'data'), { recursive: true });
          await writeFile(join(dir, 'aiot.yaml'), yaml);
          const said = await words();
          for (let take = 0; take < 3; take++) {
            await writeFile(join(dir, 'data', `quiet${take}.wav`), wavOf(noise(1, take)));
            const part = said.subarray(take * 20_000, (take + 1) * 20_000);
            await writeFile(join(dir, 'data', `speech${take}.wav`), wavOf(part));
          }
          const heard = join(dir, 'heard.wav');
          await writeFile(heard, wavOf(Float64Array.from([...said, ...noise(1, 9)])));
          const model = join(pythonPackages('silero'), 'silero_vad/data/silero_vad_16k_op15.onnx');
          const script = join(root, 'test/support/python/onnx_models.py');
          await execute(python('onnx'), [script, 'follow', join(dir, 'judge'), model, heard]);
          const judged: number[] = JSON.parse(await readFile(join(dir, 'judge', 'index.json'), 'utf8'));
          expect(Math.max(...judged)).toBeGreaterThan(0.8);
          expect(judged.at(-1)).toBeLessThan(0.1);

          const at = ['--project', dir];
          const imported = await run(
            ...['model', 'import', model, ...at],
            ...['--input', 'input:1x576', '--input', 'sr=16000', '--state', 'state=stateN'],
          );
          expect(imported).toMatchObject({ inputs: [{ name: 'input' }], outputs: [{ shape: [1, 1] }] });
          await run('model', 'quantize', ...at, '--mode', 'float32');
          expect(await run('model', 'evaluate', ...at)).toMatchObject({ litert: null, agreement: null });
          const { bundle, file: packed } = await bundleProject({
            project: await openModelProject(dir, undefined),
          });
          expect(checkGolden(bundle)).toMatchObject({ failures: [] });

          const sent = join(dir, 'sent.ndjson');
          await run(
            ...['loop', 'run', ...at, '--model', packed, '--sensor', `file:${heard}?speed=max`],
            ...['--send', 'always', '--out', `file:${sent}`],
          );
          const predictions = (await readFile(sent, 'utf8'))
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line).payload as { value: number; label: string });
          const values = predictions.map(({ value }) => value);
          expect(farthest(values, judged)).toBeLessThan(1e-5);
          expect(new Set(predictions.map(({ label }) => label))).toEqual(new Set(['quiet', 'speech']));

          const { channels } = readWav(await readFile(heard), 'heard.wav');
          const sound = { rateHz, columns: [channels[0]!] };
          const { inferences } = await replayOn(packed, 'speech-detector', sound, 2 ** 21);
          expect(inferences.map(({ value }) => value)).toEqual(values);

          // With sanitizers; the program first checks that the golden vectors have the very same results.
          const build = join(dir, 'firmware');
          await execute('cmake', ['-S', join(root, 'firmware'), '-B', build]);
          await execute('cmake', ['--build', build, '--target', 'run_sound', '--parallel', '2'], {
            maxBuffer: 2 ** 26,
          });
          const { stdout } = await execute(join(build, 'run_sound'), [packed, heard], { maxBuffer: 2 ** 26 });
          const onChip = stdout
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line) as { value: number });
          expect(
            farthest(
              onChip.map(({ value }) => value),
              judged,
            ),
          ).toBeLessThan(1e-5);

          const code = join(dir, 'code');
          await run('model', 'quantize', ...at, '--mode', 'float32', '--emit', 'c', '--out', code);
          const windows = judged.map((_, step) =>
            Float32Array.from(channels[0]!.subarray(step * 512, step * 512 + 576)),
          );
          const inC = await runUsageC(await buildUsageC(code), bundle.info, windows);
          const spoken = inC.map(({ output }) => new Float32Array(output.slice().buffer)[0]!);
          expect(farthest(spoken, judged)).toBeLessThan(1e-5);
          expect(inC.map(({ index }) => bundle.info.classes[index])).toEqual(
            predictions.map(({ label }) => label),
          );
        }, 300_000);
      });
    });
  });
});
