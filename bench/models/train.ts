// Training and quantizing as whole processes, compared with the scripts that a Keras user would write for only these steps.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadProject, overrideProject } from '../../src/lib/core/project.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import type { Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { pythonVersions } from '../harness/parts.js';
import { aiot, type CommandLine, inTurn, root, timed, used } from '../harness/process.js';
import {
  mostRecordings,
  motionYaml,
  motorYaml,
  parts,
  picturesYaml,
  sampleRecordings,
  writeMotorRows,
  writeProject,
} from './data.js';

const python = join(root, '.venv', 'tensorflow', 'bin', 'python');
const script = (name: string, ...args: string[]): CommandLine => [
  python,
  join(root, 'bench', 'models', 'peers', name),
  ...args,
];
const keras = (rounds: readonly number[]) => ({
  name: 'TensorFlow',
  version: pythonVersions('tensorflow', 'tensorflow-cpu', 'keras'),
  rounds,
});
const roundsOf = ({ quick }: Bench) => (quick ? 2 : 7);

/**
 * Quantizes the network 4-60-30-10-1 to full int8, with ranges from the same rows. The peer reads a SavedModel; we read the float .tflite
 * converted from it.
 */
export function quantize(bench: Bench): Figure[] {
  const folder = bench.folder();
  const [rows, saved, float, out] = ['rows.csv', 'saved', 'float.tflite', 'int8.tflite'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  writeMotorRows(rows, 500, true);
  timed(script('float_model.py', rows, saved, float));
  const quantizing = (data: string) =>
    aiot('model', 'quantize', float, '--data', data, '--mode', 'int8', '--out', out);
  const { ours, theirs } = inTurn(
    quantizing(rows),
    script('convert.py', saved, rows, join(folder, 'peer.tflite')),
    roundsOf(bench),
  );
  const points = sizes(bench, 1000).map((size) => {
    const data = join(folder, `${size}.csv`);
    writeMotorRows(data, size, true);
    return { size, cost: used(quantizing(data)).cpu };
  });
  return [
    { name: 'quantize to int8, 500 rows', unit: 's', ours, peer: keras(theirs), goal: 1 / 8 },
    growth('quantize, rows', 1.1, points, 'processor s'),
  ];
}

/** Trains on 3,000 of 5,000 rows (60 %). The peer gets as many rows for training and for selecting the epoch. */
export function trainRows(bench: Bench): Figure[] {
  const folder = bench.folder();
  const rows = join(folder, 'rows.csv');
  writeMotorRows(rows, 5000, false);
  const project = writeProject(join(folder, 'project'), motorYaml);
  const epochs = bench.quick ? 10 : 50;
  const training = (data: string, passes: number) =>
    aiot(
      'model',
      'train',
      '--project',
      project,
      '--data',
      data,
      '--epochs',
      `${passes}`,
      '--batch',
      '32',
      '--seed',
      '7',
    );
  const first = JSON.parse(timed(training(rows, epochs)).stdout);
  const { train, validation } = first.windows;
  if (first.epochs !== epochs || Math.abs(train - 3000) > 5)
    throw new Error(`${first.epochs} epochs of ${train} rows`);
  const peer = script(
    'train_mlp.py',
    rows,
    `${train}`,
    `${validation}`,
    `${epochs}`,
    join(folder, 'peer.keras'),
  );
  const { ours, theirs } = inTurn(training(rows, epochs), peer, roundsOf(bench));
  const points = sizes(bench, 5000).map((size) => {
    const data = join(folder, `${size}.csv`);
    writeMotorRows(data, size, false);
    return { size, cost: used(training(data, 1)).cpu };
  });
  return [
    {
      ...{ name: `train 4-60-30-10-1, 3,000 rows, ${epochs} epochs`, unit: 's', ours, peer: keras(theirs) },
      goal: 1 / 2,
    },
    growth('train, rows', 1.1, points, 'processor s'),
  ];
}

/** Trains on windows. The peer gets the same recordings for training and for selecting the epoch, so both take the same number of steps. */
export function trainWindows(bench: Bench): Figure[] {
  const folder = bench.folder();
  const epochs = bench.quick ? 10 : 40;
  const model = `  kind: cnn1d\n  layers: [16, 32]\n  train: { epochs: ${epochs}, batch: 32, seed: 7 }`;
  const project = writeProject(join(folder, 'project'), motionYaml(model), sampleRecordings);
  const training = aiot('model', 'train', '--project', project);
  const { epochs: done, windows } = JSON.parse(timed(training).stdout);
  if (done !== epochs) throw new Error(`${done} epochs`);
  const { split } = JSON.parse(readFileSync(join(project, 'build', 'training.json'), 'utf8'));
  const labelled = (ids: string[]) =>
    ids.map((id) => {
      const label = /^walking/.test(id) ? 1 : /stairs/.test(id) ? 2 : 0;
      return [join(sampleRecordings, `${id.replace(/\.csv$/, '')}.csv`), label];
    });
  const plan = join(folder, 'plan.json');
  const recordings = { train: labelled(split.train), validation: labelled(split.validation) };
  writeFileSync(plan, JSON.stringify({ window: 128, stride: 64, epochs, ...recordings }));
  const peer = script('train_cnn1d.py', plan, join(folder, 'peer.keras'));
  const { ours, theirs } = inTurn(training, peer, roundsOf(bench));
  const name = `train a 1-D CNN, ${epochs} epochs on ${windows.train} motion windows`;
  return [{ name, unit: 's', ours, peer: keras(theirs), goal: 1 }];
}

/** One network for pictures, and its project. `layers`: filters, as in model.layers. */
interface PictureNetwork {
  readonly name: string;
  readonly kind: 'mobilenet' | 'fomo';
  readonly blocks: 'v1' | 'v2';
  readonly size: number;
  readonly layers: readonly number[];
}

const pictureNetworks: readonly PictureNetwork[] = [
  { name: 'a MobileNet v1', kind: 'mobilenet', blocks: 'v1', size: 48, layers: [8, 16, 32, 32, 64, 64] },
  { name: 'a MobileNet v1', kind: 'mobilenet', blocks: 'v1', size: 96, layers: [8, 16, 32, 32, 64, 64, 128] },
  { name: 'a MobileNet v2', kind: 'mobilenet', blocks: 'v2', size: 96, layers: [4, 8, 16, 24, 32, 64] },
  {
    name: 'an object finder (fomo)',
    kind: 'fomo',
    blocks: 'v1',
    size: 96,
    layers: [8, 16, 24, 24, 48, 48, 64],
  },
];

/**
 * The fastest epoch of each network on drawn pictures, without augmentation, including validation. The peer gets the same pictures.
 * The fastest epoch excludes startup, reading and compilation, and interference from other processes.
 */
export async function trainPictures(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const network of pictureNetworks) figures.push(await trainPictureNetwork(bench, network));
  return figures;
}

async function trainPictureNetwork(bench: Bench, network: PictureNetwork): Promise<Figure> {
  const folder = bench.folder();
  const { name, size, kind, blocks, layers } = network;
  const dir = writeProject(join(folder, 'project'), picturesYaml(network));
  const drawn = kind === 'fomo' ? '400' : '100';
  timed(aiot('data', 'synthesize', '--project', dir, '--pictures', drawn, '--seed', '7'));
  const epochs = bench.quick ? 8 : 20;
  const project = overrideProject(await loadProject(dir), { train: { epochs } });
  const train = async () => {
    const ends = [performance.now()];
    const { windows } = await trainProject({ project, onEpoch: () => ends.push(performance.now()) });
    return { windows, fastest: Math.min(...ends.slice(2).map((end, i) => end - ends[i + 1]!)) / 1000 };
  };
  const { windows } = await train();
  const { split } = JSON.parse(readFileSync(join(dir, 'build', 'training.json'), 'utf8'));
  const listed = picturesWithAnswers(dir, network);
  const plan = join(folder, 'plan.json');
  const pictures = { train: listed(split.train), validation: listed(split.validation) };
  writeFileSync(plan, JSON.stringify({ kind, blocks, size, layers, epochs, ...pictures }));
  const [ours, theirs]: number[][] = [[], []];
  for (let round = 0; round < (bench.quick ? 1 : 3); round++) {
    ours!.push((await train()).fastest);
    theirs!.push(JSON.parse(timed(script('train_mobilenet.py', plan)).stdout).fastest);
  }
  return {
    ...{ name: `an epoch of ${name} on ${windows.train} pictures of ${size} × ${size}`, unit: 's' },
    ...{ ours: ours!, peer: keras(theirs!), goal: 2 },
  };
}

/** For each recording id, its file and the class that the peer learns; for a fomo, [row, column, class] of each object's cell. */
function picturesWithAnswers(dir: string, { kind }: PictureNetwork) {
  const { recordings } = JSON.parse(readFileSync(join(dir, 'data', 'dataset.json'), 'utf8')) as {
    recordings: {
      id: string;
      boxes?: { label: string; x: number; y: number; width: number; height: number }[];
    }[];
  };
  const boxes = new Map(recordings.map(({ id, boxes = [] }) => [id, boxes]));
  const cell = (start: number, extent: number) => Math.floor((start + extent / 2) / 8);
  const cells = (id: string) =>
    boxes
      .get(id)!
      .map(({ label, x, y, width, height }) => [cell(y, height), cell(x, width), parts.indexOf(label) + 1]);
  const answer =
    kind === 'fomo' ? cells : (id: string) => ['empty', ...parts].findIndex((part) => id.includes(part));
  return (ids: string[]) => ids.map((id) => [join(dir, 'data', 'recordings', `${id}.png`), answer(id)]);
}

/** Peak resident memory of training on all available recordings. */
export function memory(bench: Bench): Figure[] {
  const model = '  kind: mlp\n  layers: [32, 16]\n  train: { epochs: 50, batch: 32, seed: 7 }';
  const recordings = mostRecordings();
  const yaml = motionYaml(model, 'motion', 'lowpass: 12, ');
  const project = writeProject(join(bench.folder(), 'project'), yaml, recordings);
  const which = recordings === sampleRecordings ? '35 cuts' : 'all 53';
  const { peakMb } = used(aiot('model', 'train', '--project', project));
  const name = `peak memory of training on the motion recordings (${which})`;
  return [{ name, unit: 'MB', ours: peakMb, goal: 700, slack: 1 }];
}

function sizes({ quick }: Bench, one: number): number[] {
  return quick ? [one, 10 * one] : [one, 10 * one, 100 * one];
}
