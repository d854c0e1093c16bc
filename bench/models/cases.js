// What is measured, each with its limit. A case gets a folder of its own and the number of rounds.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  columnsOf,
  mostRecordings,
  motionYaml,
  motorYaml,
  sampleRecordings,
  writeMotorRows,
  writeProject,
} from './data.js';
import { aiot, inTurn, peer, root, timed } from './measure.js';

/**
 * @typedef {object} Figure
 * @property {string} what
 * @property {string} ours
 * @property {string} theirs
 * @property {number} value what the limit is for
 * @property {number} limit at most
 * @property {string} unit
 *
 * @typedef {(folder: string, rounds: number) => Figure | Promise<Figure>} Case
 */

/** @param {number} value */
const seconds = (value) => `${value.toFixed(2)} s`;

/** @param {string} what @param {number} limit @param {{ ours: number, theirs: number, ratio: number }} seen @returns {Figure} */
const ratioFigure = (what, limit, { ours, theirs, ratio }) => ({
  what,
  ours: seconds(ours),
  theirs: seconds(theirs),
  value: ratio,
  limit,
  unit: '×',
});

/** @type {Case} */
function quantize(folder, rounds) {
  const [rows, saved, float] = ['rows.csv', 'saved', 'float.tflite'].map((name) => join(folder, name));
  writeMotorRows(rows, 500, true);
  timed(peer('float_model.py', rows, saved, float));
  const out = join(folder, 'int8.tflite');
  const ours = aiot('model', 'quantize', float, '--data', rows, '--mode', 'int8', '--out', out);
  const theirs = peer('convert.py', saved, rows, join(folder, 'peer.tflite'));
  return ratioFigure('quantize to int8, 500 rows', 1 / 8, inTurn(ours, theirs, rounds));
}

/** 5,000 rows, of which aiot trains on 60 %: 3,000. The peer gets as many, and as many to choose the epoch by. @type {Case} */
function trainRows(folder, rounds) {
  const rows = join(folder, 'rows.csv');
  writeMotorRows(rows, 5000, false);
  const project = writeProject(join(folder, 'project'), motorYaml);
  const how = ['--epochs', '50', '--batch', '32', '--seed', '7'];
  const ours = aiot('model', 'train', '--project', project, '--data', rows, ...how);
  const { epochs, windows } = JSON.parse(timed(ours).stdout);
  if (epochs !== 50 || Math.abs(windows.train - 3000) > 5)
    throw new Error(`${epochs} epochs of ${windows.train} rows`);
  const counts = [windows.train, windows.validation].map(String);
  const theirs = peer('train_mlp.py', rows, ...counts, join(folder, 'peer.keras'));
  return ratioFigure('train 4-60-30-10-1, 3,000 rows, 50 epochs', 1 / 2, inTurn(ours, theirs, rounds));
}

/** The peer gets the recordings that aiot trains on and those it chooses the epoch by, so both take the same steps. @type {Case} */
function trainWindows(folder, rounds) {
  const model = '  kind: cnn1d\n  layers: [16, 32]\n  train: { epochs: 40, batch: 32, seed: 7 }';
  const project = writeProject(join(folder, 'project'), motionYaml(model), sampleRecordings);
  const ours = aiot('model', 'train', '--project', project);
  const { epochs, windows } = JSON.parse(timed(ours).stdout);
  if (epochs !== 40) throw new Error(`${epochs} epochs`);
  const { split } = JSON.parse(readFileSync(join(project, 'build', 'training.json'), 'utf8'));
  /** @param {string[]} ids */
  const labelled = (ids) =>
    ids.map((id) => {
      const label = /^walking/.test(id) ? 1 : /stairs/.test(id) ? 2 : 0;
      return [join(sampleRecordings, `${id.replace(/\.csv$/, '')}.csv`), label];
    });
  const plan = join(folder, 'plan.json');
  const parts = { train: labelled(split.train), validation: labelled(split.validation) };
  writeFileSync(plan, JSON.stringify({ window: 128, stride: 64, epochs: 40, ...parts }));
  const theirs = peer('train_cnn1d.py', plan, join(folder, 'peer.keras'));
  const figure = ratioFigure('train a 1-D CNN, 40 epochs on motion windows', 1, inTurn(ours, theirs, rounds));
  return { ...figure, what: `${figure.what} (${windows.train})` };
}

/**
 * The reference extractor (Python, of the project that the features come from) takes 34.8 ms a window of 501 × 3, as it was
 * measured once; it is not part of this bench.
 * @type {Case}
 */
async function features(_, rounds) {
  const url = pathToFileURL(join(root, 'dist', 'lib', 'signal', 'index.js')).href;
  const { windowFeatures } = await import(url);
  const columns = columnsOf(join(sampleRecordings, 'walking1.csv'));
  const spec = {
    fields: ['x', 'y', 'z'],
    rateHz: 100,
    lowpassHz: null,
    resampleHz: 100,
    windowSamples: 501,
    strideSamples: 20,
    features: 'har',
  };
  /** @type {number[]} */
  const each = [];
  for (let round = 0; round <= 3 * rounds; round++) {
    const start = process.cpuUsage();
    const count = windowFeatures(spec, columns).length;
    const { user, system } = process.cpuUsage(start);
    if (round > 0) each.push((user + system) / 1000 / count);
  }
  // The peer's figure stands still, so of ours the processor time of the least disturbed round counts: what else runs on
  // the machine only ever adds.
  const ours = Math.min(...each);
  const theirs = 34.8;
  return {
    what: '115 features of a window of 501 × 3',
    ours: `${ours.toFixed(3)} ms`,
    theirs: `${theirs} ms`,
    value: ours / theirs,
    limit: 1 / 50,
    unit: '×',
  };
}

/** @type {Case} */
function memory(folder) {
  const model = '  kind: mlp\n  layers: [32, 16]\n  train: { epochs: 50, batch: 32, seed: 7 }';
  const yaml = motionYaml(model, 'motion', 'lowpass: 12, ');
  const recordings = mostRecordings();
  const project = writeProject(join(folder, 'project'), yaml, recordings);
  const peak = join(folder, 'peak');
  const [node, ...args] = aiot('model', 'train', '--project', project);
  const preload = join(root, 'bench', 'models', 'peak.cjs');
  // All recordings as they are: some are copies of others, which a split that leaks would be refused for.
  timed([node, '--require', preload, ...args], { BENCH_PEAK: peak });
  const megabytes = Number(readFileSync(peak, 'utf8')) / 1e6;
  const which = recordings === sampleRecordings ? '35 cuts' : 'all 53';
  return {
    what: `peak memory of training on the motion recordings (${which})`,
    ours: `${megabytes.toFixed(0)} MB`,
    theirs: '–',
    value: megabytes,
    limit: 700,
    unit: ' MB',
  };
}

/** @type {Record<string, { needsPeer: boolean, run: Case }>} */
export const cases = {
  quantize: { needsPeer: true, run: quantize },
  'train-rows': { needsPeer: true, run: trainRows },
  'train-windows': { needsPeer: true, run: trainWindows },
  features: { needsPeer: false, run: features },
  memory: { needsPeer: false, run: memory },
};
