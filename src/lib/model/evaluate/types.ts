import type { GateName } from './gates.js';
import type { EvaluateResult } from './result.js';

/** One limit, of model.accept or of --gate, and whether the network keeps it. */
export interface Gate {
  name: GateName;
  limit: number;
  /** Null where it could not be measured. */
  got: number | null;
  passed: boolean;
}

/** build/evaluation.json: the figures of one quantized network on what it was never trained on. */
export interface EvaluationFile extends EvaluateResult {
  spec: 'aiot-evaluation/2';
  /** The vote that `voted` was counted with. */
  vote: string;
}
