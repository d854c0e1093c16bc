import type { EvaluateResult } from './result.js';

/** One limit of model.accept, and whether the int8 network keeps it. */
export interface Gate {
  name: 'macroF1' | 'drop' | 'arena';
  limit: number;
  got: number;
  passed: boolean;
}

/** build/evaluation.json: the figures of one int8 network on recordings that it was never trained on. */
export interface EvaluationFile extends EvaluateResult {
  spec: 'aiot-evaluation/1';
  /** The vote that `voted` was counted with. */
  vote: string;
}
