import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { loadProject, type Project } from '../../src/lib/core/project.js';

const made: string[] = [];
afterAll(async () => {
  for (const folder of made.splice(0)) await rm(folder, { recursive: true, force: true });
});

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-model-'));
  made.push(folder);
  return folder;
}

export const yaml = `name: toy
stream:
  topic: motion
  fields:
    x: { unit: g }
    y: { unit: g }
signal:
  rate: 50
  window: 50
  stride: 25
  features: raw
model:
  kind: mlp
  layers: [8]
  labels: { calm: [calm], slow: [slow], fast: [fast] }
  train: { epochs: 12, batch: 16, seed: 8, learningRate: 0.01 }
  vote: majority:3
  accept: { macroF1: 0.9, drop: 0.02, arena: 64KiB }
`;

/** Two-axis motion: calm (only noise), slow (1 Hz, tilted one way), or fast (6 Hz, tilted the other way). */
export function toyCsv(label: string, take: number, samples = 300): string {
  const random = seededRandom(take * 31 + label.length);
  const frequency = { calm: 0, slow: 1, fast: 6 }[label] ?? 0;
  const lean = { calm: 0, slow: 3, fast: -3 }[label] ?? 0;
  const phase = random() * 6;
  const rows = Array.from({ length: samples }, (_, i) => {
    const angle = phase + (2 * Math.PI * frequency * i) / 50;
    const size = frequency === 0 ? 0 : 1;
    return [size * Math.sin(angle) + lean, size * Math.cos(angle)]
      .map((value) => (value + 0.1 * gaussian(random)).toFixed(5))
      .join(',');
  });
  return `x,y\n${rows.join('\n')}\n`;
}

/** Creates a project with recordings. `edit` changes its aiot.yaml, and `files` replaces its recordings. */
export async function toyProject(
  edit: (text: string) => string = (text) => text,
  files?: Record<string, string>,
): Promise<Project> {
  const dir = await temporaryFolder();
  await writeFile(join(dir, 'aiot.yaml'), edit(yaml));
  await mkdir(join(dir, 'data'));
  const recordings =
    files ??
    Object.fromEntries(
      ['calm', 'slow', 'fast'].flatMap((label) =>
        [1, 2, 3, 4, 5].map((take) => [`${label}${take}.csv`, toyCsv(label, take)]),
      ),
    );
  for (const [name, text] of Object.entries(recordings)) await writeFile(join(dir, 'data', name), text);
  return await loadProject(dir);
}
