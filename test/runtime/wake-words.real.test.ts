import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { outlineTflite } from '../../src/lib/formats/tflite/outline.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView } from '../../src/lib/runtime/litert.js';
import { MicroFrontend } from '../../src/lib/signal/microfrontend.js';
import { tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { expectRecorded, operatorsOn } from '../support/judged.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';
import {
  type Heard,
  judgedByPymicro,
  probabilitiesInTflm,
  rateHz,
  type Sound,
  spectra,
  spoken,
  stepFrames,
  steps,
  wakeWords,
} from '../support/wake-words.js';

const [frameSamples, hopSamples, bands] = [480, 160, 40];
/** pymicro-features multiplies the front end's integers by this. */
const featureStep = 0.0390625;

/** The results of our front end and interpreter, and the probability after each step. */
function heard({ file, samples, settings }: Sound): Heard & { probabilities: number[] } {
  const front = new MicroFrontend(
    { frameSamples, hopSamples, fftSamples: 512, bands, lowHz: 125, highHz: 7500, coefficients: null },
    rateHz,
  );
  const interpreter = createInterpreter(floatView(importTflite(file).graph));
  const frames: number[][] = [];
  const probabilities: number[] = [];
  const count = Math.floor((samples.length - frameSamples) / hopSamples) + 1;
  const means = Array.from({ length: count }, (_, at) => {
    const frame = new Array<number>(bands).fill(0);
    front.compute(samples, at * hopSamples, frame, 0);
    frames.push(frame.map((value) => value * featureStep));
    if (frames.length % stepFrames !== 0) return 0;
    probabilities.push(interpreter.invoke(Float32Array.from(frames.slice(-stepFrames).flat()))[0]!);
    if (probabilities.length < settings.window) return 0;
    return probabilities.slice(-settings.window).reduce((a, b) => a + b, 0) / settings.window;
  });
  const detected = means.flatMap((mean, at) => (mean > settings.threshold ? [at] : []));
  return { frames, means, detected, probabilities };
}

describeReal('wakeword', 'real streaming wake-word models', () => {
  describeReal('tflm', 'compared with TFLite Micro', () => {
    it(`produce the same outputs over ${steps} steps, read and written again`, async () => {
      const models = wakeWords();
      expect(models).toHaveLength(4);
      const jobs = models.flatMap(({ name, file }) => {
        const { graph, notes } = importTflite(file);
        expect(notes.join(), name).toContain('uint8 in the file');
        const input = spectra(seededRandom(7));
        return [
          { name, graph: file, input, uint8: true },
          { name, graph, input, uint8: false },
        ];
      });
      const answers = runInPython(
        'tflm',
        jobs.map(({ graph, input }) => ({ graph, input })),
      );
      jobs.forEach(({ name, graph, input, uint8 }, index) => {
        const read = graph instanceof Uint8Array ? importTflite(graph).graph : graph;
        const interpreter = createInterpreter(read);
        const ours = Int8Array.from({ length: steps }, (_, step) => {
          const taken = input.subarray(step * 120, (step + 1) * 120);
          return interpreter.invoke(taken)[0]! + (uint8 ? 128 : 0);
        });
        expect(ours, `${name} ${index}`).toEqual(answers[index]!.output);
      });
      const graphs = models.map(({ file }) => importTflite(file).graph);
      await expectRecorded('read.TFLM.wake-words', operatorsOn('int8', graphs, 1));
      const stored = models.flatMap(({ file }) => outlineTflite(file).operators.map(({ op }) => op));
      await expectRecorded(
        'replaced.TFLM.wake-words',
        stored.filter((op) => op === 'VAR_HANDLE' || op === 'CALL_ONCE'),
      );
    });

    it('produce the same values in every tensor', () => {
      const jobs = wakeWords().map(({ file }) => ({
        graph: importTflite(file).graph,
        input: spectra(seededRandom(8)),
      }));
      const answers = tensorsInTflm(jobs);
      jobs.forEach((job, index) => {
        expect(tensorsOnDevice(job).equals(answers[index]!), job.graph.name).toBe(true);
      });
    });
  });

  describeReal('espeak', 'hearing spoken words', () => {
    describeReal('tflm', 'compared with pymicro-wakeword', () => {
      it('detect the same words, with the probabilities of TFLite Micro', { timeout: 120_000 }, async () => {
        const voices = ['en-us', 'en-gb', 'en-us+f2', 'en-us+f3', 'en-us+m3'];
        const words = wakeWords();
        const sounds = words.flatMap((word, at): Sound[] => {
          const other = words[(at + 1) % words.length]!.settings.word;
          return [
            ...voices.flatMap((voice) => [150, 175].map((speed) => spoken(word.settings.word, voice, speed))),
            spoken(other, 'en-us', 150),
          ].map((samples) => ({ ...word, samples }));
        });
        const judged = judgedByPymicro(sounds);
        const tflm = probabilitiesInTflm(
          sounds,
          judged.map(({ frames }) => frames),
        );
        let [features, otherFeatures, exact, farthest] = [0, 0, 0, 0];
        const detected = new Map<string, number>();
        sounds.forEach((sound, at) => {
          const [ours, want] = [heard(sound), judged[at]!];
          const about = `${sound.name}, sound ${at}`;
          expect(ours.frames, about).toHaveLength(want.frames.length);
          const other = want.frames.flatMap((frame, n) =>
            frame.filter((value, i) => Math.abs(value - ours.frames[n]![i]!) > 1e-6),
          ).length;
          features += want.frames.length * bands;
          otherFeatures += other;
          // The logarithm of the C library may change a feature, and then the states that follow.
          if (other === 0) {
            exact += 1;
            expect(ours.probabilities, about).toHaveLength(tflm[at]!.length);
            ours.probabilities.forEach((value, n) => {
              expect(Math.abs(value - tflm[at]![n]!), `${about}, step ${n}`).toBeLessThan(1e-6);
            });
          }
          want.means.forEach((mean, n) => {
            farthest = Math.max(farthest, Math.abs(mean - ours.means[n]!));
          });
          expect(ours.detected.length > 0, about).toBe(want.detected.length > 0);
          if (ours.detected.length > 0) detected.set(sound.name, (detected.get(sound.name) ?? 0) + 1);
        });
        process.stderr.write(
          `${otherFeatures} of ${features} features differ, ${exact} of ${sounds.length} sounds have none; ` +
            `means differ by up to ${farthest.toFixed(3)}; detected: ${JSON.stringify([...detected])}\n`,
        );
        expect(otherFeatures).toBeLessThan(features / 10_000);
        expect(exact).toBeGreaterThan(sounds.length / 2);
        // The TensorFlow Lite in pymicro-wakeword rounds some values otherwise than TFLite Micro.
        expect(farthest).toBeLessThan(0.1);
        // Every model detects its word, spoken by at least one voice, and no model detects another's.
        expect(detected.size).toBe(words.length);
        expect(sounds.filter((_, at) => at % 11 === 10 && judged[at]!.detected.length > 0)).toEqual([]);
      });
    });
  });
});
