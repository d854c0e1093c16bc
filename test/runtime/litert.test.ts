import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView, openLiteRt, openLiteRtSession } from '../../src/lib/runtime/litert.js';
import { architectures, severalEnds } from '../support/architectures.js';
import { motorFile, motorRows } from '../support/motor-files.js';
import { cnn, mlp } from '../support/networks.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';

describe('LiteRT on files from TensorFlow’s converter', () => {
  it.each([
    ['f32', 'f32.litert.pred.csv', 1e-6],
    ['int8', 'int8.litert.pred.csv', 0],
    ['i16x8', 'i16x8.litert.pred.csv', 2e-4],
    // Compared with the float model's outputs, so the tolerance includes the loss from rounding the weights.
    ['f16', 'f32.litert.pred.csv', 1e-3],
    ['dyn', 'f32.litert.pred.csv', 0.02],
  ])('%s matches the native library’s probabilities', async (name, predictions, tolerance) => {
    const model = await openLiteRt(motorFile(`${name}.tflite`));
    for (const { x, y } of motorRows(predictions))
      expect(Math.abs(model.predict(x)[0]! - y)).toBeLessThanOrEqual(tolerance);
    model.close();
  });

  it('runs a convolutional model like the float interpreter', async () => {
    const file = motorFile('har_cnn_f32.tflite');
    const [model, interpreter] = [await openLiteRt(file), createInterpreter(readTflite(file))];
    const random = seededRandom(1);
    for (let run = 0; run < 10; run++) {
      const input = Float32Array.from({ length: 1500 }, () => random() * 20 - 10);
      const [got, want] = [model.predict(input), interpreter.invoke(input)];
      got.forEach((value, index) => {
        expect(value).toBeCloseTo(want[index]!, 5);
      });
    }
    model.close();
  });
});

describe('LiteRT', () => {
  it.each(Object.entries({ ...architectures, twoInputs: severalEnds.twoInputs }))(
    'runs float models of kind %s like the interpreter',
    async (_, make) => {
      for (let seed = 20; seed < 24; seed++) {
        const graph = make(seededRandom(seed));
        const [model, interpreter] = [await openLiteRt(writeTflite(graph)), createInterpreter(graph)];
        const random = seededRandom(seed);
        for (let run = 0; run < 20; run++) {
          const input = Float32Array.from({ length: model.inputs }, () => random() * 6 - 3);
          const [got, want] = [model.predict(input), interpreter.invoke(input)];
          const largest = Math.max(1, ...want.map(Math.abs));
          got.forEach((value, index) => {
            expect(Math.abs(value - want[index]!) / largest).toBeLessThan(1e-5);
          });
        }
        model.close();
      }
    },
  );

  it('keeps several inputs and outputs in the order of the file', async () => {
    for (const make of Object.values(severalEnds)) {
      const graph = make(seededRandom(5));
      const [session, interpreter] = [await openLiteRtSession(writeTflite(graph)), createInterpreter(graph)];
      const random = seededRandom(6);
      const input = Float32Array.from({ length: session.inputs }, () => random() * 6 - 3);
      const got = session.run(input);
      expect(got.map(({ length }) => length)).toEqual(session.outputs);
      const want = interpreter.invoke(input);
      got
        .flatMap((output) => [...output])
        .forEach((value, index) => {
          expect(value).toBeCloseTo(want[index]!, 5);
        });
      session.close();
    }
  });

  it('loads every operator that aiot writes, except those whose state is a variable tensor', async () => {
    const random = seededRandom(8);
    for (const [op, make] of Object.entries(oneOpGraphs)) {
      const graph = make(random);
      const opening = openLiteRt(writeTflite(graph));
      if (op === 'SVDF' || op === 'UNIDIRECTIONAL_SEQUENCE_LSTM') {
        await expect(opening).rejects.toThrow('Variable tensors not yet supported');
        continue;
      }
      const model = await opening;
      expect(model.predict(new Float32Array(model.inputs))).toHaveLength(model.outputs);
      model.close();
    }
  });

  it('stays within eight steps of the device interpreter', async () => {
    const random = seededRandom(3);
    for (const graph of [mlp(random, [16, 24, 5]), cnn(random)]) {
      const view = createInterpreter(floatView(graph));
      const model = await openLiteRt(writeTflite(graph));
      for (let run = 0; run < 50; run++) {
        const input = Float32Array.from({ length: model.inputs }, () => random() * 12 - 6);
        const want = view.invoke(input);
        model.predict(input).forEach((value, index) => {
          expect(Math.abs(value - want[index]!)).toBeLessThanOrEqual(8 / 256);
        });
      }
      model.close();
    }
  });

  it('runs several models at once, and leaves no globals behind', async () => {
    const before = Object.getOwnPropertyNames(globalThis);
    const files = [mlp(seededRandom(1), [4, 3]), mlp(seededRandom(2), [5, 2])].map((graph) =>
      writeTflite(graph),
    );
    const [first, second] = await Promise.all(files.map((file) => openLiteRt(file)));
    const answer = first!.predict(new Float32Array(4));
    second!.predict(new Float32Array(5));
    second!.close();
    expect(first!.predict(new Float32Array(4))).toEqual(answer);
    first!.close();
    expect(Object.getOwnPropertyNames(globalThis)).toEqual(before);
  });

  it('does not leak memory over ten thousand runs', async () => {
    const model = await openLiteRt(writeTflite(mlp(seededRandom(1), [64, 64, 4])));
    const input = new Float32Array(64);
    for (let run = 0; run < 1000; run++) model.predict(input);
    const before = process.memoryUsage().rss;
    for (let run = 0; run < 10_000; run++) model.predict(input);
    expect(process.memoryUsage().rss - before).toBeLessThan(30e6);
    model.close();
  });

  it('rejects input of the wrong size, a closed model, and a malformed file', async () => {
    const model = await openLiteRt(writeTflite(mlp(seededRandom(1), [4, 3])));
    expect(() => model.predict(new Float32Array(3))).toThrow(
      expect.objectContaining({ code: 'AIOT_TFLITE_INPUT', message: 'expected 4 values, got 3' }),
    );
    model.close();
    model.close();
    expect(() => model.predict(new Float32Array(4))).toThrow(
      expect.objectContaining({ code: 'AIOT_LITERT_FAILED', message: 'the model is closed' }),
    );
    await expect(openLiteRt(Buffer.from('not a network'))).rejects.toMatchObject({
      code: 'AIOT_TFLITE_MALFORMED',
    });
  });
});
