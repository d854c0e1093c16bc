// Writes firmware/test/signal.inc: results of the TypeScript implementation for samples, which the firmware's signal part must reproduce
// bit for bit.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

/** Pieces of the har template's recordings (source: templates/har-imu/README.md), by first sample and length. */
const recorded = {
  walking: ['walking1', 1000, 1000],
  lying: ['lying2', 400, 520],
  upstairs: ['upstairs12', 300, 460],
};

/**
 * The tables as C text.
 * @param {object} lib
 * @param {typeof import('../../src/lib/signal/index.js')} lib.signal
 * @param {typeof import('../../src/lib/signal/turn.js').turn} lib.turn
 * @param {() => number} lib.random in [0, 1)
 */
export function signalTables({ signal, turn, random }) {
  const pieces = { ...readPieces(), ...madePieces(random) };
  const cases = casesOf(signal).map((one) => ({ ...one, ...computed(signal, one, pieces[one.piece]) }));
  const turns = turnsOf(random).map(([k, n]) => {
    const { cos, sin } = turn(k, n);
    return `    {${double(k)}, ${double(n)}, ${bits64(cos)}, ${bits64(sin)}},`;
  });
  return `/* Made by npm run golden; do not edit. */
/* clang-format off */

static const turn_row turn_rows[] = {
${turns.join('\n')}
};

${Object.entries(pieces)
  .map(
    ([name, samples]) =>
      `static const double piece_${name}[] = {\n${wrapped(samples.flat().map(double))}\n};`,
  )
  .join('\n\n')}

${cases.map(({ rows }, i) => `static const uint32_t expected_${i}[] = {\n${wrapped(rows.flatMap((row) => Array.from(row, bits32)))}\n};`).join('\n\n')}

${cases.map(namesOf).join('')}
static const feature_row feature_rows[] = {
${cases.map(rowOf).join('\n')}
};
`;
}

function computed(signal, { spec, from = 0, count }, piece) {
  const pipeline = signal.createPipeline(spec);
  const samples = piece.slice(from, count === undefined ? undefined : from + count);
  const rows = [];
  for (const sample of samples) {
    const features = pipeline.push(sample);
    if (features) rows.push(features.slice());
  }
  if (rows.length === 0) throw new Error(`${spec.features} of ${samples.length} samples: no window`);
  return { rows, from, samples: samples.length };
}

/** Every set with realistic signals, and each with degenerate ones. */
function casesOf({ featureNames }) {
  const of = (piece, features, window, stride, more = {}) => {
    const { rate = 100, lowpass = null, resample = rate, fields = ['x', 'y', 'z'], from, count } = more;
    const signal = { fields, rateHz: rate, lowpassHz: lowpass, resampleHz: resample };
    return {
      piece,
      from,
      count,
      spec: { ...signal, windowSamples: window, strideSamples: stride, features },
    };
  };
  const motor = { rate: 200, fields: ['current', 'vibration'] };
  const har = featureNames(of('walking', 'har', 500, 500).spec);
  const mixed = [
    ...['acc_x_mpf', 'acc_mpf', 'acc_y_top3', 'acc_z_enwacto_1', 'acc_x_enwacto_7', 'across_share_3.5_5.5hz'],
    ...['x_p2p', 'z_share_octave5', 'y[0]', 'x[499]', 'magnitude_log_power', 'acc_y_autoregburg_4'],
  ];
  return [
    of('walking', 'raw', 4, 2, { count: 9 }),
    of('walking', 'raw', 16, 8, { count: 64, lowpass: 12, resample: 50 }),
    of('walking', 'raw', 24, 24, { count: 60, rate: 104, resample: 100 }),
    of('walking', 'raw', 5, 9, { count: 60, rate: 100, resample: 33.3, lowpass: 3.7 }),
    of('walking', 'raw', 1, 1, { count: 3 }),
    of('walking', 'motion', 250, 125, { lowpass: 12, resample: 50 }),
    of('upstairs', 'motion', 100, 150),
    ...[101, 59, 99, 49, 128, 61, 167, 1, 2, 3].map((n) =>
      of('upstairs', 'motion', n, n, { count: n, from: 40 }),
    ),
    of('motor', 'spectral', 400, 200, motor),
    ...[64, 1, 2, 3, 7, 67, 243, 122, 354].map((n) =>
      of('motor', 'spectral', n, n, { ...motor, count: n, from: 9 }),
    ),
    of('motor', 'spectral', 100, 100, { ...motor, lowpass: 60, resample: 160 }),
    of('walking', 'har', 500, 250),
    of('walking', 'har', 501, 499),
    of('walking', 'har', 895, 895),
    of('walking', 'har', 448, 448, { lowpass: 20 }),
    of('lying', 'har', 512, 512),
    of('upstairs', 'har', 450, 450),
    ...['constant', 'step', 'sine', 'denormal', 'silence', 'huge'].flatMap((piece) => [
      of(piece, 'har', 448, 448),
      of(piece, 'motion', 400, 400),
      of(piece, 'spectral', 100, 348),
    ]),
    of('step', 'raw', 8, 8, { from: 216, count: 32, lowpass: 5, resample: 25 }),
    of('walking', mixed, 500, 500),
    of('walking', [...har].reverse().slice(0, 60), 500, 500),
    of('walking', ['acc_x_rms', 'acc_x_p2p', 'acc_y_kurtosis', 'acc_x_mpf'], 448, 448, {
      fields: ['acc_x', 'acc_y', 'acc_z'],
    }),
    of('walking', ['acc_x_rms', 'acc_x_p2p', 'along_step'], 100, 100, {
      count: 100,
      fields: ['acc_x', 'acc_y', 'acc_z'],
    }),
    of('motor', ['vibration_rms', 'current[3]'], 10, 10, { ...motor, count: 20 }),
  ];
}

function readPieces() {
  return Object.fromEntries(
    Object.entries(recorded).map(([name, [file, from, count]]) => {
      const url = new URL(`../../templates/har-imu/data/recordings/${file}.csv`, import.meta.url);
      const lines = readFileSync(url, 'utf8')
        .trim()
        .split('\n')
        .slice(1 + from, 1 + from + count);
      return [name, lines.map((line) => line.split(',').map(Number))];
    }),
  );
}

/** Signals that a motor's sensors could give, and degenerate signals: flat, extreme, or with too few peaks. */
function madePieces(random) {
  const digits = (x) => Number(x.toPrecision(6));
  const three = (make) => Array.from({ length: 448 }, (_, i) => [0, 1, 2].map((axis) => make(i, axis)));
  const wave = (hz, i) => Math.sin((2 * Math.PI * hz * i) / 200);
  return {
    motor: Array.from({ length: 800 }, (_, i) => [
      digits(3 + 0.6 * wave(50, i) + 0.05 * random()),
      digits(0.8 * wave(24.7, i) + 0.3 * wave(80, i) * (i % 37 < 6 ? 1 : 0) + 0.2 * (random() - 0.5)),
    ]),
    constant: three((_, axis) => [0.1, 0, 0.98][axis]),
    step: three((i, axis) => (i < 224 ? [0, -1, 0.3][axis] : [1, -1, 0.7][axis])),
    sine: three((i, axis) => digits(Math.sin((2 * Math.PI * (8 + axis) * i) / 448))),
    denormal: three((i, axis) => 5e-324 * ((i * (axis + 3)) % 17)),
    silence: three((_, axis) => (axis === 0 ? -0 : 0)),
    huge: three((i, axis) => ((i * 7 + axis) % 5) * 1e80),
  };
}

function turnsOf(random) {
  const lengths = [1, 2, 3, 4, 5, 7, 8, 12, 100, 448, 501, 895, 65536, 262144];
  const rows = lengths.flatMap((n) =>
    [0, n - 1, ...[1, 2, 3].map(() => Math.floor(random() * n))].map((k) => [k, n]),
  );
  for (let i = 0; i < 60; i++) rows.push([random() * 50, 50 + random() * 1000]);
  return rows;
}

function namesOf({ spec }, i) {
  if (!Array.isArray(spec.features)) return '';
  return `static const char *names_${i}[] = {${spec.features.map((name) => `"${name}"`).join(', ')}};\n`;
}

function rowOf({ piece, spec, from, samples, rows }, i) {
  const listed = Array.isArray(spec.features);
  const set = listed ? `NULL, ${spec.features.length}, names_${i}` : `"${spec.features}", 0, NULL`;
  const fields = spec.fields.map((field) => `"${field}"`).join(', ');
  const numbers = [spec.rateHz, spec.lowpassHz ?? 0, spec.resampleHz].map(double).join(', ');
  const signal = `{${spec.fields.length}, {${fields}}, ${numbers}, ${spec.windowSamples}, ${spec.strideSamples}, ${set}}`;
  return `    {"${piece}", ${signal}, piece_${piece} + ${from * spec.fields.length}, ${samples}, expected_${i}, ${rows.length}, ${rows[0].length}},`;
}

function wrapped(literals) {
  const lines = [];
  for (let i = 0; i < literals.length; i += 12) lines.push(`    ${literals.slice(i, i + 12).join(', ')},`);
  return lines.join('\n');
}

/** The shortest decimal that reads back as the same double. */
function double(value) {
  if (Object.is(value, -0)) return '-0.0';
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

const view = new DataView(new ArrayBuffer(8));

function bits32(value) {
  view.setFloat32(0, value);
  return `0x${view.getUint32(0).toString(16)}`;
}

function bits64(value) {
  view.setFloat64(0, value);
  return `0x${view.getBigUint64(0).toString(16)}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  register();
  const signal = await import('../../src/lib/signal/index.ts');
  const { turn } = await import('../../src/lib/signal/turn.ts');
  const { seededRandom } = await import('../../src/lib/core/index.ts');
  const text = signalTables({ signal, turn, random: seededRandom(9) });
  writeFileSync(new URL('../../firmware/test/signal.inc', import.meta.url), text);
}
