import { type TrainRequest, trainModel } from '../../model/index.js';
import { type TrainProgress, uncounted, type Watched } from '../progress.js';

/** Of `train`; what is given stands above aiot.yaml. */
export interface TrainOptions
  extends Omit<TrainRequest, 'project' | 'onEpoch' | 'onStep' | 'signal'>,
    Watched<TrainProgress> {
  /** Folder of a project; default: the current one. */
  project?: string | undefined;
}

export type Trained = Awaited<ReturnType<typeof trainModel>>;

/**
 * Trains a network on a project's recordings or the rows of a table, and writes build/model.float.tflite and
 * build/training.json. Aborted by `signal`, it keeps the best epoch so far and returns (`interrupted`).
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_DATA_LEAK (a split that leaks, without `force`), AIOT_DATA_EMPTY, AIOT_USAGE
 */
export async function train({ onProgress, ...options }: TrainOptions = {}): Promise<Trained> {
  return await trainModel({
    ...options,
    project: options.project ?? '.',
    onEpoch: (epoch) =>
      onProgress?.({
        ...{ task: 'train', step: 'epoch', epoch },
        ...{ done: epoch.epoch, total: epoch.epochs, unit: 'epochs' },
      }),
    onStep: (step) => onProgress?.({ task: 'train', step, epoch: null, ...uncounted }),
  });
}
