import { AiotError } from '../../core/index.js';
import type { OutputKind } from '../evaluate/output-kind.js';
import { explainFile, explainProject } from './explain-model.js';
import type { Explanation } from './result.js';

/** What `model explain` was asked, as text. */
export interface ExplainRequest {
  file?: string;
  project: string;
  data?: string;
  label?: string;
  output?: OutputKind;
  classes?: string;
  seed?: number;
  repeats?: number;
  signal?: AbortSignal;
}

/** Explains a file on a table, or the project's network. @throws AIOT_USAGE, and what explainFile and explainProject throw */
export async function explainRequest(request: ExplainRequest): Promise<Explanation> {
  const { file, project, data, label, classes, ...rest } = request;
  if (file === undefined) {
    const { output, ...options } = rest;
    const misplaced = output !== undefined ? 'output' : classes !== undefined ? 'classes' : null;
    if (misplaced !== null)
      throw new AiotError('AIOT_USAGE', `--${misplaced} goes with a file, and none is given`, {
        next: `aiot model explain FILE.tflite --data rows.csv --${misplaced} …`,
      });
    return await explainProject(project, { data, label }, options);
  }
  if (data === undefined)
    throw new AiotError('AIOT_USAGE', `which rows is ${file} to be explained on?`, {
      next: `aiot model explain ${file} --data rows.csv`,
    });
  return await explainFile({ ...rest, file, data, label, classes: classes?.split(',') });
}
