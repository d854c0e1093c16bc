import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadProject } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';

/** Results of one random split, produced by the same steps as `aiot model train`, `quantize` and `evaluate`. */
export interface Draw {
  seed: number;
  int8: number;
  voted: number;
  bytes: number;
  passed: boolean;
  seconds: number;
}

/**
 * Trains the template's project with other seeds, which determine the split of the recordings and the initial weights.
 * @param template folder of the template @param file its aiot.yaml, or a variant of it
 * @param folder recordings, instead of the template's own
 */
export async function drawTemplate(
  template: string,
  {
    file = 'aiot.yaml',
    folder = join(template, 'data'),
    seeds,
  }: { file?: string; folder?: string; seeds: number[] },
  onDraw: (draw: Draw) => void = () => {},
): Promise<Draw[]> {
  const text = await readFile(join(template, file), 'utf8');
  const dir = await mkdtemp(join(tmpdir(), 'aiot-har-'));
  try {
    const draws: Draw[] = [];
    let dataset: Awaited<ReturnType<typeof openDataset>> | undefined;
    for (const seed of seeds) {
      await writeFile(join(dir, 'aiot.yaml'), text.replace(/seed: \d+/, `seed: ${seed}`));
      const project = await loadProject(dir);
      dataset ??= await openDataset(project, folder);
      const { seconds } = await trainProject({ project, dataset });
      const { bytes } = await quantizeProject({ project, dataset });
      const { int8, voted, passed } = await evaluateProject({ project, dataset });
      const draw = {
        seed,
        int8: figure(int8.macroF1),
        voted: figure(voted?.macroF1),
        bytes,
        passed,
        seconds,
      };
      onDraw(draw);
      draws.push(draw);
    }
    return draws;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** @throws if the metric, which every classifier has, is missing */
function figure(value: number | undefined): number {
  if (value === undefined) throw new Error('expected a macro-F1');
  return value;
}

export const drawsHead =
  '| recordings | draws | by window | smoothed | within the limits |\n| --- | --: | --- | --- | --: |';

/** A table row with minimum, maximum and mean. */
export function drawsRow(name: string, draws: Draw[]): string {
  const of = (values: number[]) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return `${Math.min(...values).toFixed(3)} to ${Math.max(...values).toFixed(3)}, mean ${mean.toFixed(4)}`;
  };
  const passed = draws.filter((draw) => draw.passed).length;
  return `| ${name} | ${draws.length} | ${of(draws.map(({ int8 }) => int8))} | ${of(draws.map(({ voted }) => voted))} | ${passed} of ${draws.length} |`;
}
