import { AiotError } from '../../core/errors.js';
import { systemClock } from '../../core/time.js';
import { extractStage } from './extract.js';
import type { StageOptions, StageResult } from './layout.js';
import { outputStage } from './output.js';
import { predictStage } from './predict.js';
import { senseStage } from './sense.js';
import { motionServer, type Stage } from './stage.js';

/**
 * Runs one of the four parts of the motion system in place of one of the original's containers, until the stage is aborted or a
 * finite sensor ends.
 * @throws AIOT_USAGE (no server, no sensor, no model), AIOT_LOOP_STAGE, AIOT_MODEL_UNFIT, AIOT_BROKER_REFUSED, and the errors of
 * opening the sensor or the model
 */
export async function runStage(options: StageOptions): Promise<StageResult> {
  const { stage: name, clock = systemClock, signal = new AbortController().signal, onEvent } = options;
  const server = motionServer(options);
  const result: StageResult = {
    stage: name,
    endpoint: server.endpoint,
    taken: 0,
    published: 0,
    windows: 0,
    lost: 0,
    refused: 0,
  };
  const stage: Stage = { server, clock, signal, result, tell: (event) => onEvent?.(event) };
  try {
    await run(stage, options);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return result;
}

function run(stage: Stage, options: StageOptions): Promise<void> {
  switch (options.stage) {
    case 'sense':
      return senseStage(stage, needed(options.openSensing, 'a sensor'));
    case 'extract':
      return extractStage(stage, options);
    case 'predict':
      return predictStage(stage, needed(options.openModels, 'a model'));
    case 'output':
      return outputStage(stage, options);
  }
}

function needed<T>(given: T | undefined, what: string): T {
  if (given !== undefined) return given;
  throw new AiotError('AIOT_USAGE', `expected ${what} for this stage, got none`);
}
