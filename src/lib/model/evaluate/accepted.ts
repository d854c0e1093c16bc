import type { Project } from '../../core/index.js';
import { stale } from '../fresh.js';
import { gateError, gatesOf } from './gates.js';
import type { EvaluationFile } from './types.js';

/**
 * The evaluation of the int8 network that lies in build/, with its gates let through under today's aiot.yaml.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_GATE_FAILED
 */
export function requireAccepted(evaluation: EvaluationFile, int8Digest: string, project: Project): void {
  const next = 'aiot model evaluate';
  if (evaluation.digest !== int8Digest)
    throw stale('the int8 network has changed since it was evaluated', next);
  if (evaluation.vote !== project.config.model.vote) {
    throw stale('model.vote in aiot.yaml has changed since the evaluation', next);
  }
  const gates = gatesOf(project.config.model.accept, {
    floatMacroF1: evaluation.float.macroF1,
    int8MacroF1: evaluation.int8.macroF1,
    arenaBytes: evaluation.arenaBytes,
  });
  const error = gateError(gates);
  if (error) throw error;
}
