import { readTflite, writeTflite } from '../../formats/index.js';
import { floatView } from '../../runtime/index.js';

/** What the guide's firmware reads of a model, however long it is, bytes. */
export const guideReads = 11_148;

/**
 * A network as the guide's firmware and its Coral step take one: float inputs and outputs around the same integer network,
 * a .tflite of schema version 3, and no shorter than what the firmware reads. Zeros behind it are no part of the FlatBuffer,
 * and no reader of TFLite looks at them.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export function guideNetwork(model: Uint8Array): Uint8Array {
  const bytes = writeTflite(floatView(readTflite(model)));
  if (bytes.length >= guideReads) return bytes;
  const padded = new Uint8Array(guideReads);
  padded.set(bytes);
  return padded;
}

/** `YYYY-MM-DD-HH:MM:SS-model.tflite` in UTC, as the guide's containers name them: its clients take the last of the list. */
export function guideModelName(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', '-')}-model.tflite`;
}
