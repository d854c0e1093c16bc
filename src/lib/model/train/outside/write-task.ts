import { join } from 'node:path';
import { writeFileAtomic, writeJsonAtomic } from '../../../core/index.js';
import { writeCsv } from '../../../formats/index.js';
import { featureNames } from '../../../signal/index.js';
import type { Part } from '../fit/part.js';
import type { TrainConfig } from '../learn.js';
import type { Plan } from '../plan.js';

/**
 * Writes what a training program needs into its folder: train.csv and validation.csv (one column an input, standardized, and
 * `label`: the number of the class, or the value; none for a reconstruction) and task.json, which says the rest.
 * @returns the file that the program is to leave
 */
export async function writeTask(
  folder: string,
  { plan, config, train, validation }: { plan: Plan; config: TrainConfig; train: Part; validation: Part },
): Promise<string> {
  const { network, classes, signal } = plan;
  // A row of a table is a window of one sample: its columns have names of their own.
  const names = plan.rows && signal.windowSamples === 1 ? signal.fields : featureNames(signal);
  await writeFileAtomic(join(folder, 'train.csv'), csvOf(train, names, network.output.kind));
  await writeFileAtomic(join(folder, 'validation.csv'), csvOf(validation, names, network.output.kind));
  const { epochs, batch, seed, learningRate } = config;
  await writeJsonAtomic(join(folder, 'task.json'), {
    spec: 'aiot-train-task/1',
    train: 'train.csv',
    validation: 'validation.csv',
    model: 'model.tflite',
    inputShape: network.inputShape,
    output: network.output,
    classes: classes.names,
    epochs,
    batch,
    seed,
    learningRate,
  });
  return join(folder, 'model.tflite');
}

function csvOf({ inputs, inputSize, classes, values }: Part, names: string[], output: string): string {
  const rows = classes.length;
  const columns: ArrayLike<number>[] = names.map((_, c) =>
    Float32Array.from({ length: rows }, (__, row) => inputs[row * inputSize + c]!),
  );
  if (output === 'reconstruction') return writeCsv(names, columns);
  return writeCsv([...names, 'label'], [...columns, values ?? classes]);
}
