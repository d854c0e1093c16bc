import { type QuantizeModelOptions, quantizeModel } from '../../model/quantize/quantize-model.js';
import { type QuantizeProgress, uncounted, type Watched } from '../progress.js';

/** Of `quantize`; what is given stands above aiot.yaml. */
export interface QuantizeOptions
  extends Omit<QuantizeModelOptions, 'project' | 'onStep' | 'signal'>,
    Watched<QuantizeProgress> {
  /** Folder of a project; default: the current one. Not looked at where `file` is given. */
  project?: string | undefined;
}

export type Quantized = Awaited<ReturnType<typeof quantizeModel>>;

/**
 * Makes a float network int8, int16x8, dynamic range or float16, and measures what it lost (points of accuracy, and
 * signal to quantization noise in decibels).
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_QUANTIZE_LOSS (more than `maxLoss`), AIOT_QUANTIZE_UNFIT, AIOT_FILE_NOT_FOUND
 */
export async function quantize({ onProgress, ...options }: QuantizeOptions = {}): Promise<Quantized> {
  return await quantizeModel({
    ...options,
    project: options.project ?? '.',
    onStep: (step) => onProgress?.({ task: 'quantize', step, ...uncounted }),
  });
}
