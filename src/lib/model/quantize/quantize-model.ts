import { AiotError, loadProject } from '../../core/index.js';
import type { Emit } from '../emit/emit.js';
import { quantizeFile } from './quantize-file.js';
import type { QuantizeOptions } from './quantize-project.js';
import type { QuantizeResult } from './result.js';
import type { SearchOptions } from './search.js';

export interface QuantizeModelOptions extends Omit<Partial<SearchOptions>, 'maxLoss'> {
  /** A float .tflite file; without it the project's own network. */
  file?: string | undefined;
  project: string;
  data?: string | undefined;
  label?: string | undefined;
  out?: string | undefined;
  emit?: Emit | undefined;
  maxLoss?: number | undefined;
}

/**
 * `aiot model quantize`: a file by itself, or the network of a project.
 * @throws what quantizeFile and quantizeProject throw
 */
export async function quantizeModel(options: QuantizeModelOptions): Promise<QuantizeResult> {
  const { file, project, maxLoss = null, finetune = 0, mode = 'int8' } = options;
  if (file !== undefined) return await quantizeFile({ ...options, file, mode, maxLoss, finetune });
  if (options.label !== undefined)
    throw new AiotError('AIOT_USAGE', '--label goes with FILE: a project knows its labels');
  // A project brings recordings and their signal part with it: a file by itself starts without them.
  const { quantizeProject } = await import('./quantize-project.js');
  const { file: _file, label: _label, ...rest } = options;
  return await quantizeProject({ ...rest, project: await loadProject(project) } as QuantizeOptions);
}
