import { AiotError } from '../../core/index.js';
import type { Metrics } from '../bundle/types.js';
import type { EvaluateResult } from './result.js';
import type { NetworkFigures } from './schemas.js';

/** Figures of a classifier that runs on devices: nothing of them is missing. */
export interface ClassifierFigures {
  float: Metrics;
  int8: Metrics;
  voted: Metrics;
  arenaBytes: number;
}

/** @throws AIOT_MODEL_UNFIT where the network names no classes, or a device cannot run it */
export function classifierFigures({ float, int8, voted, arenaBytes }: EvaluateResult): ClassifierFigures {
  return {
    float: metrics(float),
    int8: metrics(int8),
    voted: metrics(voted ?? int8),
    arenaBytes: arenaBytes ?? unfit('TFLite Micro refuses it'),
  };
}

function metrics({ windows, accuracy, macroF1, confusion }: NetworkFigures): Metrics {
  if (accuracy === undefined || macroF1 === undefined || confusion === undefined)
    return unfit('it names no classes');
  return { windows, accuracy, macroF1, confusion };
}

function unfit(reason: string): never {
  throw new AiotError('AIOT_MODEL_UNFIT', `expected a classifier for devices: ${reason}`);
}
