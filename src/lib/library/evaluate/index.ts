import { type EvaluationRequest, evaluateModel } from '../../model/index.js';

/** Of `evaluate`. */
export interface EvaluateOptions extends Omit<EvaluationRequest, 'project'> {
  /** Folder of a project; default: the current one. Not looked at where `file` is given. */
  project?: string | undefined;
}

export type Evaluated = Awaited<ReturnType<typeof evaluateModel>>;

/**
 * Measures a project's network on what it was never trained on, or any .tflite or .aiot file over the rows of a table.
 * Figures below a limit are no error: `gates` in the result says which, and whether they passed.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_FILE_NOT_FOUND, AIOT_TFLITE_MALFORMED, AIOT_USAGE
 */
export async function evaluate(options: EvaluateOptions = {}): Promise<Evaluated> {
  return await evaluateModel({ ...options, project: options.project ?? '.' });
}
