import * as z from 'zod';
import { AiotError } from '../../../core/errors.js';
import { readJson, writeFileAtomic } from '../../../core/files.js';
import { issueText } from '../../../core/issues.js';
import type { EngineState } from '../../engine/types.js';
import type { EpochFigures } from '../types.js';

/** State of a training run between two epochs. */
export interface Checkpoint {
  /** The completed epochs, in order. */
  history: EpochFigures[];
  /** State after the last completed epoch. */
  last: EngineState;
  /** The epoch (from 1) with the lowest validation loss, and its weights. */
  best: { epoch: number; loss: number; state: EngineState };
}

const floats = z.base64().transform((text) => {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
});
const state = z.object({
  steps: z.int(),
  values: floats,
  first: floats,
  second: floats,
  statistics: floats,
});
const checkpointSchema = z.object({
  spec: z.literal('aiot-checkpoint/1'),
  /** Digest of everything that determines how the training run continues. */
  run: z.string(),
  history: z.array(
    z.object({
      epoch: z.int(),
      epochs: z.int(),
      loss: z.number(),
      valLoss: z.number(),
      accuracy: z.number().nullable(),
      valAccuracy: z.number().nullable(),
    }),
  ),
  last: state,
  best: z.object({ epoch: z.int(), loss: z.number(), state }),
});

/** Writes build/checkpoint.json atomically. */
export async function writeCheckpoint(
  file: string,
  run: string,
  { history, last, best }: Checkpoint,
): Promise<void> {
  const value = {
    spec: 'aiot-checkpoint/1',
    run,
    history,
    last: encoded(last),
    best: { ...best, state: encoded(best.state) },
  };
  await writeFileAtomic(file, `${JSON.stringify(value)}\n`);
}

/**
 * @param run digest of the training run to be continued
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_MODEL_STALE if the file belongs to another training run
 */
export async function readCheckpoint(file: string, run: string): Promise<Checkpoint> {
  const read = checkpointSchema.safeParse(await readJson(file));
  if (!read.success) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(read.error, 'the file')}`, {
      next: 'Train from the start with `aiot model train`.',
    });
  }
  const { history, last, best } = read.data;
  if (read.data.run !== run) {
    throw new AiotError(
      'AIOT_MODEL_STALE',
      'the data, settings or backend differ from those of the stopped training, so it cannot be resumed',
      { next: 'Train from the start with `aiot model train`.' },
    );
  }
  const wrong = inconsistent(read.data);
  if (wrong !== null) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${file} is damaged: ${wrong}`, {
      next: 'Train from the start with `aiot model train`.',
    });
  }
  return { history, last, best };
}

/** Describes an inconsistency that training cannot produce; null if the checkpoint is consistent. */
function inconsistent({ history, last, best }: Checkpoint): string | null {
  if (history.length === 0) return 'it contains no epochs';
  const gap = history.findIndex(({ epoch }, i) => epoch !== i + 1);
  if (gap >= 0) return `expected epoch ${gap + 1} in its history, got ${history[gap]!.epoch}`;
  const told = history[best.epoch - 1];
  if (!told) return `its best epoch is ${best.epoch}, but it contains only ${history.length}`;
  if (told.valLoss !== best.loss)
    return `its best loss is ${best.loss}, but epoch ${best.epoch} had ${told.valLoss}`;
  for (const [name, { values, first, second, statistics }] of [
    ['last', last],
    ['best', best.state],
  ] as const) {
    const finite = [values, first, second, statistics].every((array) => array.every(Number.isFinite));
    if (!finite) return `the model of its ${name} epoch contains non-finite numbers`;
    if (values.length !== last.values.length) return 'its two models differ in size';
  }
  return null;
}

function encoded({ steps, ...arrays }: EngineState) {
  const text = ({ buffer, byteOffset, byteLength }: Float32Array) =>
    Buffer.from(buffer, byteOffset, byteLength).toString('base64');
  const { values, first, second, statistics } = arrays;
  return {
    steps,
    values: text(values),
    first: text(first),
    second: text(second),
    statistics: text(statistics),
  };
}
