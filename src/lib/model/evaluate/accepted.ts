import type { Project } from '../../core/index.js';
import { stale } from '../fresh.js';
import { type GateName, gateError, gatesFrom, limitsOf } from './gates.js';
import type { EvaluateResult } from './result.js';
import type { EvaluationFile } from './types.js';

/**
 * The evaluation of the quantized network that lies in build/, with its gates let through under today's aiot.yaml.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_GATE_FAILED
 */
export function requireAccepted(evaluation: EvaluationFile, digest: string, project: Project): void {
  const next = 'aiot model evaluate';
  if (evaluation.digest !== digest)
    throw stale('the quantized network has changed since it was evaluated', next);
  if (evaluation.vote !== project.config.model.vote) {
    throw stale('model.vote in aiot.yaml has changed since the evaluation', next);
  }
  const error = gateError(gatesFrom(limitsOf(project.config.model.accept), gateFigures(evaluation)));
  if (error) throw error;
}

type Measured = Pick<EvaluateResult, 'float' | 'int8' | 'arenaBytes' | 'bytes' | 'macs'>;

/** What limits are held against: the figures of the quantized network as it runs on devices. */
export function gateFigures({
  float,
  int8,
  arenaBytes,
  bytes,
  macs,
}: Measured): Partial<Record<GateName, number | null>> {
  const drop =
    float.macroF1 === undefined || int8.macroF1 === undefined ? null : float.macroF1 - int8.macroF1;
  const { accuracy, macroF1, auc, calibrationError, mae, rmse, r2 } = int8;
  return { accuracy, macroF1, auc, calibrationError, mae, rmse, r2, drop, arena: arenaBytes, bytes, macs };
}
