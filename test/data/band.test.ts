import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom, shuffled } from '../../src/lib/core/numbers.js';
import { checkBand } from '../../src/lib/data/check/band.js';
import { datasetOf } from '../../src/lib/data/dataset/open.js';
import type { Recording } from '../../src/lib/data/types.js';
import type { SignalSpec } from '../../src/lib/signal/spec.js';
import { runCli } from '../support/cli.js';
import { cleanRecordings } from '../support/planted/clean-recordings.js';

const spec: SignalSpec = {
  fields: ['ax', 'ay', 'az'],
  ...{ rateHz: 50, lowpassHz: null, resampleHz: 50, windowSamples: 100, strideSamples: 50 },
  features: 'motion',
};

/** Recordings of 12 s at 50 Hz: gravity, noise, and a tone whose frequency depends on the label. */
function tones(hz: readonly number[], takes = 4): Recording[] {
  const random = seededRandom(3);
  return hz.flatMap((tone) =>
    Array.from({ length: takes }, (_, take) => {
      const axes = spec.fields.map((_field, axis) =>
        Float64Array.from({ length: 600 }, (_sample, i) => {
          const noise = (random() + random() + random() - 1.5) * 0.4;
          const wave = 0.5 * Math.sin((2 * Math.PI * (tone + take / 20) * i) / 50 + take);
          return noise + (axis === 0 ? wave : axis === 2 ? 2 : 0);
        }),
      );
      return {
        id: `${tone}hz-${take}`,
        label: `${tone}hz`,
        device: null,
        fields: spec.fields,
        columns: axes,
      };
    }),
  ) as unknown as Recording[];
}

const check = (recordings: Recording[], change: Partial<SignalSpec>) =>
  checkBand(datasetOf('tones', spec, recordings), { ...spec, ...change }, undefined);

describe('features that ignore the frequencies in which the classes differ', () => {
  it.each<[Partial<SignalSpec>, string[], string, string]>([
    [
      { features: 'motion' },
      ['signal.features'],
      '`signal.features: motion` ignores frequencies above 12 Hz',
      'In aiot.yaml, set `signal.features` to `spectral`.',
    ],
    [
      { features: 'spectral', lowpassHz: 5 },
      ['signal.lowpass'],
      '`signal.lowpass` removes frequencies above 5 Hz',
      'In aiot.yaml, remove `signal.lowpass`.',
    ],
    [
      { features: 'raw', lowpassHz: 5 },
      ['signal.lowpass'],
      '`signal.lowpass` removes frequencies above 5 Hz',
      'In aiot.yaml, remove `signal.lowpass`.',
    ],
    [
      { features: 'motion', lowpassHz: 5 },
      ['signal.features', 'signal.lowpass'],
      '`signal.features: motion` and `signal.lowpass` ignore frequencies above 5 Hz',
      'In aiot.yaml, set `signal.features` to `spectral` and remove `signal.lowpass`.',
    ],
  ])('are reported for %j, with the setting to change', (change, settings, message, advice) => {
    const [finding, ...others] = check(tones([14, 18, 22]), change);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ kind: 'band', severity: 'warning', evidence: { settings }, advice });
    expect(finding!.message).toContain(message);
    const { chosen, whole } = finding!.evidence;
    expect(whole as number).toBeGreaterThan((chosen as number) + 0.1);
  });

  it.each<[string, number[], Partial<SignalSpec>]>([
    ['the classes differ within the band', [2, 3], {}],
    ['every frequency is within the band', [14, 18, 22], { features: 'spectral' }],
    ['the low-pass is above the classes', [2, 3], { features: 'spectral', lowpassHz: 8 }],
    ['the window is too short for a spectrum', [14, 18, 22], { windowSamples: 12 }],
    ['there is one class', [18], {}],
  ])('are not reported if %s', (_, hz, change) => {
    expect(check(tones(hz), change)).toEqual([]);
  });

  it('are not reported if each label has one recording', () => {
    expect(check(tones([14, 18, 22], 1), {})).toEqual([]);
  });

  it('are reported for the classes, which may join labels', () => {
    const classOf = new Map([14, 18, 22].map((hz) => [`${hz}hz`, hz === 14 ? 'slow' : 'fast']));
    const data = datasetOf('tones', spec, tones([14, 18, 22], 6));
    const one = new Map([14, 18, 22].map((hz) => [`${hz}hz`, 'any']));
    expect(checkBand(data, spec, one)).toEqual([]);
    expect(checkBand(data, { ...spec, lowpassHz: 5 }, classOf)).toHaveLength(1);
  });

  it('raise no alarm on clean sets of worn accelerometers, nor if their labels are shuffled', () => {
    const alarms = (['wrist', 'pocket', 'door'] as const).flatMap((family) =>
      Array.from({ length: 8 }, (_, i) => i + 201).flatMap((seed) => {
        const { fields, rateHz, recordings } = cleanRecordings(family, seed);
        const own = { ...spec, fields, rateHz, resampleHz: rateHz };
        const labels = shuffled(
          recordings.map(({ label }) => label),
          seededRandom(seed),
        );
        const mixed = recordings.map((recording, r) => ({ ...recording, label: labels[r]! }));
        return [recordings, mixed].flatMap((all) =>
          checkBand(datasetOf(family, { fields, rateHz }, all), own, undefined).map(({ message }) => [
            family,
            seed,
            message,
          ]),
        );
      }),
    );
    expect(alarms).toEqual([]);
  });
});

describe('a project with such features', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-band-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('gets a warning from data check and from model train, until the setting is changed', async () => {
    const from = join(folder, 'from');
    for (const { id, label, columns } of tones([14, 18, 22])) {
      await mkdir(join(from, label!), { recursive: true });
      const rows = Array.from(columns[0]!, (_, i) => [20 * i, ...columns.map((c) => c[i]!)].join(','));
      await writeFile(join(from, label!, `${id}.csv`), `time_ms,ax,ay,az\n${rows.join('\n')}\n`);
    }
    const dir = join(folder, 'fan');
    await runCli(['init', dir, '--from', from]);
    const text = await readFile(join(dir, 'aiot.yaml'), 'utf8');
    const warnings = async (features: string) => {
      await writeFile(join(dir, 'aiot.yaml'), text.replace('features: spectral', `features: ${features}`));
      const checked = await runCli(['data', 'check', '--project', dir, '--json']);
      const trained = await runCli(['model', 'train', '--project', dir, '--epochs', '2']);
      const { findings } = checked.json as { findings: { kind: string }[] };
      return [findings.filter(({ kind }) => kind === 'band').length, trained.stdout] as const;
    };
    expect(text).toContain('features: spectral');
    const [found, output] = await warnings('motion');
    expect(found).toBe(1);
    expect(output.replaceAll(/\s+/g, ' ')).toContain(
      '! `signal.features: motion` ignores frequencies above 12 Hz, in which the classes differ',
    );
    const [none, after] = await warnings('spectral');
    expect(none).toBe(0);
    expect(after).not.toContain('ignores frequencies');
  });
});
