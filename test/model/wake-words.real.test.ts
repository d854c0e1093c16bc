import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { writeWav } from '../../src/lib/formats/wav.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { interfaceOf } from '../../src/lib/model/bundle/signed-bundle.js';
import { openModelProject } from '../../src/lib/model/material.js';
import { root, runCli } from '../support/cli.js';
import { buildUsageC, runUsageC } from '../support/emitted-usage.js';
import { describeReal } from '../support/real.js';
import {
  correctLogarithm,
  judgedByPymicro,
  probabilitiesInTflm,
  rateHz,
  spoken,
  wakeWords,
} from '../support/wake-words.js';
import { replayOn } from './replay.js';
import { temporaryFolder } from './support.js';

const yaml = `name: doorbell
stream: { topic: hall, fields: { sound: { unit: FS } } }
signal:
  rate: 16000
  window: 800
  stride: 480
  features: microfrontend
  mel: { frame: 480, hop: 160, bands: 40, state: stream }
model:
  output: probability
  labels: { other: [other], wake: [wake] }
  vote: average:5
`;

const execute = promisify(execFile);

const columnOf = (samples: readonly number[]) => Float64Array.from(samples, (value) => value / 32_768);

async function run(...argv: string[]) {
  const { code, json, stderr } = await runCli([...argv, '--json']);
  expect(code, stderr).toBe(0);
  return json;
}

/** Probabilities of a step as the int8 model's integers, and the smoothed class. */
interface Step {
  value: number;
  voted: string | null;
}

/** The messages of the firmware, built for this computer with sanitizers, for each WAV file as a microphone's stream. */
async function inFirmware(folder: string, bundle: string, files: string[]): Promise<Step[][]> {
  const build = join(folder, 'firmware');
  await execute('cmake', ['-S', join(root, 'firmware'), '-B', build]);
  await execute('cmake', ['--build', build, '--target', 'run_sound', '--parallel', '2'], {
    maxBuffer: 2 ** 26,
  });
  const { stdout } = await execute(join(build, 'run_sound'), [bundle, ...files], { maxBuffer: 2 ** 26 });
  const streams = stdout.split('\n\n').slice(0, -1);
  return streams.map((text) =>
    text.split('\n').map((line) => {
      const { value, voted } = JSON.parse(line) as Step;
      return { value: Math.round(256 * value), voted };
    }),
  );
}

describeReal('wakeword', 'a wake word of pymicro-wakeword in a project of sound at 16 kHz', () => {
  describeReal('espeak', 'hearing words spoken by espeak-ng', () => {
    describeReal('tflm', 'compared with pymicro-wakeword and TFLite Micro', () => {
      describeReal('cmake', 'and the firmware on this computer', () => {
        describeReal('cc', 'with a logarithm that is rounded correctly', () => {
          it('has the same probability after each step, in a loop on a WAV file, on a virtual device, in the firmware and in generated C code', async () => {
            const dir = join(await temporaryFolder(), 'doorbell');
            await mkdir(join(dir, 'data'), { recursive: true });
            await writeFile(join(dir, 'aiot.yaml'), yaml);
            const word = wakeWords().find(({ name }) => name === 'okay_nabu.tflite')!;
            const wavOf = (samples: readonly number[]) => writeWav({ rateHz, channels: [columnOf(samples)] });
            for (const [i, voice] of ['en-us', 'en-gb', 'en-us+f2', 'en-us+m3'].entries()) {
              const takes = { wake: word.settings.word, other: 'what is the weather like today' };
              for (const [label, text] of Object.entries(takes))
                await writeFile(join(dir, 'data', `${label}${i}.wav`), wavOf(spoken(text, voice, 160)));
            }
            const file = join(dir, 'okay_nabu.tflite');
            await writeFile(file, word.file);
            const at = ['--project', dir];
            await run('model', 'import', file, ...at, '--deviation', '25.6');
            await run('model', 'quantize', ...at);
            const evaluated = await run('model', 'evaluate', ...at, '--streaming', '2m');
            expect(evaluated).toMatchObject({
              ...{ agreement: null, threshold: 0.5 },
              stream: { background: 'other', vote: 'average:5', classes: [{ name: 'wake' }] },
            });
            const { events, detected } = (evaluated as { stream: { events: number; detected: number } })
              .stream;
            expect(detected).toBeGreaterThan(events / 2);
            const { bundle, file: packed } = await bundleProject({
              project: await openModelProject(dir, undefined),
            });
            expect(interfaceOf(bundle)).toBe(16);
            expect(checkGolden(bundle)).toMatchObject({ failures: [] });

            const samples = [
              ...spoken('good morning everybody', 'en-gb', 150),
              ...spoken(word.settings.word, 'en-us', 150),
              ...spoken('nothing else to report', 'en-us+f2', 170),
              ...spoken(word.settings.word, 'en-gb+m2', 140),
            ];
            const other = wakeWords().find(({ name }) => name !== word.name)!.settings.word;
            const others = [
              ...['en-us', 'en-gb', 'en-us+f2', 'en-us+f3', 'en-us+m3'].flatMap((voice) =>
                [150, 175].map((speed) => spoken(word.settings.word, voice, speed)),
              ),
              spoken(other, 'en-us', 150),
            ];
            const sounds = [samples, ...others].map((each) => ({ ...word, samples: each }));
            const judged = judgedByPymicro(sounds, correctLogarithm(dir));
            const frames = judged.map((each) => each.frames);
            const inTflm = probabilitiesInTflm(sounds, frames).map((values) =>
              values.map((value) => Math.round(256 * value)),
            );
            const expected = inTflm[0]!;
            expect(judged.map(({ detected }) => detected.length > 0).slice(0, 2)).toEqual([true, true]);
            expect(judged.at(-1)!.detected).toEqual([]);

            const [heard, sent] = [join(dir, 'heard.wav'), join(dir, 'sent.ndjson')];
            await writeFile(heard, wavOf(samples));
            const looped = await run(
              ...['loop', 'run', ...at, '--model', packed, '--sensor', `file:${heard}?speed=max`],
              ...['--send', 'always', '--out', `file:${sent}`],
            );
            expect(looped).toMatchObject({ samples: samples.length, gaps: 0, predictions: expected.length });
            const predictions = (await readFile(sent, 'utf8'))
              .trim()
              .split('\n')
              .map((line) => JSON.parse(line).payload as { value: number; voted: string });
            expect(predictions.map(({ value }) => Math.round(256 * value))).toEqual(expected);

            // The mean of five steps, which exceeds its threshold for the same words.
            const means = predictions.map(
              (_, i) =>
                predictions.slice(Math.max(0, i - 4), i + 1).reduce((sum, { value }) => sum + value, 0) / 5,
            );
            const farthest = means.map((mean, i) =>
              i < 4 ? 0 : Math.abs(mean - judged[0]!.means[3 * i + 2]!),
            );
            expect(Math.max(...farthest)).toBeLessThan(0.1);
            expect(predictions.filter(({ voted }) => voted === 'wake').length).toBeGreaterThan(5);
            const wakes = predictions.flatMap(({ voted }, i) => (voted === 'wake' ? [i] : []));
            const before = Math.floor(spoken('good morning everybody', 'en-gb', 150).length / 480);
            expect(Math.min(...wakes)).toBeGreaterThan(before);

            const { replayed, inferences } = await replayOn(packed, 'doorbell', {
              rateHz,
              columns: [columnOf(samples)],
            });
            expect(replayed).toMatchObject({ inferences: expected.length });
            expect(inferences.map(({ value }) => Math.round(256 * value!))).toEqual(expected);

            const wavs = await Promise.all(
              others.map(async (each, i) => {
                const path = join(dir, `spoken${i}.wav`);
                await writeFile(path, wavOf(each));
                return path;
              }),
            );
            const streams = await inFirmware(dir, packed, [heard, ...wavs]);
            expect(streams.map((steps) => steps.map(({ value }) => value))).toEqual(inTflm);
            expect(streams[0]!.map((step) => step.voted)).toEqual(predictions.map((step) => step.voted));

            // The same in generated C code, from the samples.
            const code = join(dir, 'code');
            await run('model', 'quantize', ...at, '--emit', 'c', '--out', code);
            const { info } = bundle;
            const { windowSamples, strideSamples } = info.signal;
            const program = await buildUsageC(code);
            const inC = await Promise.all(
              sounds.map(async ({ samples: own }, i) => {
                const windows = inTflm[i]!.map((_, step) =>
                  Int16Array.from(own.slice(step * strideSamples, step * strideSamples + windowSamples)),
                );
                return await runUsageC(program, info, windows);
              }),
            );
            expect(
              inC.map((steps) => steps.map(({ output }) => new Int8Array(output.buffer)[0]! + 128)),
            ).toEqual(inTflm);
            expect(inC[0]!.map(({ voted }) => info.classes[voted])).toEqual(
              predictions.map((step) => step.voted),
            );
          }, 420_000);
        });
      });
    });
  });
});
