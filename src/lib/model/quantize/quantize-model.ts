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
  // A project brings recordings and their signal part with it: a file by itself starts without them.
  const [{ quantizeProject }, { openModelProject }] = await Promise.all([
    import('./quantize-project.js'),
    import('../material.js'),
  ]);
  const { file: _file, ...rest } = options;
  const opened = await openModelProject(project, options.data);
  return await quantizeProject({ ...rest, project: opened } as QuantizeOptions);
}
