import { inspectModel } from '../../model/index.js';

export type Inspected = Awaited<ReturnType<typeof inspectModel>>;

/**
 * Reads a .tflite or .aiot file: operators, tensors with shapes and scales, multiply-adds, the arena in bytes; of a bundle
 * what it is for, once its contents and golden vectors were checked.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_MALFORMED with the byte offset, AIOT_BUNDLE_MALFORMED
 */
export async function inspect(file: string): Promise<Inspected> {
  return await inspectModel(file);
}
