import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGuideClient } from '../../src/lib/api/guide/client.js';
import { openGuideNetwork, simulateGuideBoard } from '../../src/lib/device/guide/simulate.js';
import { decode, encodeInput } from '../../src/lib/model/bundle/ends.js';
import { packBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { columns } from '../support/any-bundle.js';
import { pushTiny } from '../support/bundle.js';
import { ask, type TestGuide, testGuide } from '../support/guide.js';
import { motorBundle, motorReadings } from '../support/motor-bundle.js';
import { connect } from '../support/mqtt.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/** Number of readings that the board sends through the broker; sending all of them takes half a minute. */
const boardReadings = process.env.AIOT_LONG === '1' ? 2000 : 150;

describe('a standardizing model from /quantized/, given raw readings', () => {
  const forms = ['f32', 'int8'] as const;
  type Form = (typeof forms)[number];
  const { rows, labels } = motorReadings('test.csv');
  const shown = {} as Record<Form, { name: string; bytes: Uint8Array }>;
  /** The model's own output for each held-out reading, after its own preprocessing. */
  const expected = {} as Record<Form, number[]>;
  let own: TestGuide;

  beforeAll(async () => {
    own = await testGuide();
    for (const form of forms) {
      const bundle = motorBundle(form);
      const predictor = createPredictor(bundle);
      expected[form] = rows.map((row) => predictor.answer(row).value!);
      await pushTiny(own.client, own.key, { name: 'motor', bundle: packBundle(bundle) });
      const { text } = await ask(own.urls.models, '/quantized/', { ca: own.ca });
      const name = [...text.matchAll(/>([^<]+-model\.tflite)</g)].at(-1)![1]!;
      const { body } = await ask(own.urls.models, `/quantized/${name}`, { ca: own.ca });
      shown[form] = { name, bytes: new Uint8Array(body) };
    }
  }, 30_000);
  afterAll(() => own?.stop());

  const faulty = (values: readonly number[]) => values.map((value) => value >= 0.5);
  describeReal('litert', 'in LiteRT', () => {
    it('matches the model to 1e-5, both in float and quantized', () => {
      const { info, model } = motorBundle('int8');
      const encoded = rows.flatMap((row) => [
        ...encodeInput(row, info.standardization, info.input, new Int8Array(row.length)),
      ]);
      const input = Float32Array.from(rows.flat());
      const [float, quantized, integers] = runInPython('litert', [
        { graph: shown.f32.bytes, input },
        { graph: shown.int8.bytes, input },
        { graph: model, input: Int8Array.from(encoded) },
      ]).map(({ output }) => output);
      const values = (output: Int8Array) => [...new Float32Array(output.slice().buffer)];
      expectNear(values(float!), expected.f32);
      expectNear(values(quantized!), decode(integers!, info.output));
    });
  });

  it.each(forms)('matches the model on the virtual board, to 1e-5 (%s)', (form) => {
    const right = faulty(expected[form]).filter((value, i) => value === (labels[i] === 1)).length;
    expect(right / rows.length).toBeGreaterThan(0.9);
    const network = openGuideNetwork(form, shown[form].bytes);
    const got = rows.map(([current = 0, temperature = 0, vibration = 0, sound = 0]) =>
      network.infer({ current, temperature, vibration, sound }),
    );
    expectNear(got, expected[form]);
    expect(faulty(got)).toEqual(faulty(expected[form]));
  });

  it('is downloaded by a board, which reads, infers and reports the same results', async () => {
    const { ca, urls } = own;
    const [registry, shelf] = [urls.devices, urls.models].map((url) => createGuideClient({ url, ca }));
    const operator = await connect(own.platform.urls.mqtts, {
      ...{ ca, username: 'operator', password: own.token },
    });
    const control = JSON.stringify({ command: 'download-model', payload: shown.int8.name });
    const held = rows.slice(0, boardReadings);
    let loaded = false;
    const values: number[] = [];
    await registry!.provision('14333616');
    await simulateGuideBoard({
      ...{ id: '14333616', role: 'level-1', to: urls.mqtt, forMs: 80_000 },
      services: { confirmed: registry!.confirmed, download: shelf!.download },
      sensor: {
        ...{ fields: columns, rateHz: 200 },
        *samples() {
          while (!loaded) yield rows[0]!;
          yield* held;
        },
      },
      onEvent: (event) => {
        if (event.event === 'connected') void operator.publishAsync('control-message', control);
        if (event.event === 'model') loaded = true;
        if (event.event === 'inference') values.push(event.value);
      },
    });
    operator.end(true);
    await Promise.all([registry!.close(), shelf!.close()]);
    // An earlier reading may have reached the new model too.
    expect(faulty(values.slice(-held.length))).toEqual(faulty(expected.int8.slice(0, held.length)));
  }, 90_000);
});

function expectNear(got: readonly number[], expected: readonly number[]) {
  expect(got).toHaveLength(expected.length);
  expect(Math.max(...got.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-5);
}
