import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { type Project, parseProject } from '../../src/lib/core/project.js';
import { datasetOf } from '../../src/lib/data/dataset/open.js';
import type { Dataset, Recording } from '../../src/lib/data/types.js';

export const yaml = `name: watch
stream:
  topic: motion
  fields: { x: { unit: g, range: [-8, 8] }, y: { unit: g } }
signal: { rate: 50, lowpass: 10, resample: 25, window: 25, stride: 25, features: spectral }
model:
  kind: mlp
  labels: { rest: [sitting, lying], walk: [walking] }
`;

/** Creates a project in a temporary folder. */
export async function makeProject(text = yaml): Promise<{ project: Project; clean: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'aiot-data-'));
  const file = join(dir, 'aiot.yaml');
  await writeFile(file, text);
  const clean = () => rm(dir, { recursive: true, force: true });
  return { project: { dir, file, config: parseProject(text, file) }, clean };
}

/** Smooth noise, which differs for each seed. Neighboring samples are similar. */
export function noise(seed: number, samples = 1000): Float64Array {
  const random = seededRandom(seed);
  let value = 0;
  return Float64Array.from({ length: samples }, () => {
    value = 0.9 * value + random() - 0.5;
    return value;
  });
}

export function recording(id: string, change: Partial<Recording> = {}): Recording {
  const seed = [...id].reduce((sum, letter) => Math.imul(sum, 31) + letter.charCodeAt(0), 7);
  return {
    id,
    label: /^[a-z]+/.exec(id)?.[0] ?? null,
    device: null,
    rateHz: 50,
    startedAt: null,
    fields: ['x', 'y'],
    columns: [noise(seed), noise(seed + 1)],
    ...change,
  };
}

export function dataset(recordings: Recording[]): Dataset {
  return datasetOf('test', { fields: ['x', 'y'], rateHz: 50 }, recordings);
}

/** `count` recordings of each label, such as `walking1` to `walkingN`. */
export function several(labels: string[], count: number): Recording[] {
  return labels.flatMap((label) => Array.from({ length: count }, (_, i) => recording(`${label}${i + 1}`)));
}

export async function writeCsvFiles(folder: string, files: Record<string, string>): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
}
