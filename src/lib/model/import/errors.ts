import { AiotError, errorMaker } from '../../core/errors.js';

/** The error for an inconsistent file. */
export const malformed = errorMaker('AIOT_FILE_MALFORMED');

/** The error for an unsupported layer, or an unsupported use of a layer. @param where the layer's index and name */
export function unsupported(where: string, what: string, instead?: string): AiotError {
  return new AiotError('AIOT_LAYER_UNSUPPORTED', `${where}: ${what}${instead ? `; ${instead}` : ''}`);
}

/** An input whose shape, type or value must be stated: no layer needs to be replaced. @param next a whole sentence */
export function unsupportedInput(where: string, what: string, next: string): AiotError {
  return new AiotError('AIOT_LAYER_UNSUPPORTED', `${where}: ${what}`, { next });
}

/** Requires a JSON object. @throws AIOT_FILE_MALFORMED */
export function parseJson(text: Uint8Array | string | undefined, name: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(typeof text === 'string' ? text : new TextDecoder().decode(text));
  } catch (cause) {
    throw malformed(`${name} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  const got = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
  throw malformed(`${name}: expected an object, got ${got}`);
}

/** The model inside the wrapper that Keras and TensorFlow.js add. */
export function isModel(value: unknown): value is { class_name: string; config: Record<string, unknown> } {
  if (typeof value !== 'object' || value === null) return false;
  const { class_name: kind, config } = value as { class_name?: unknown; config?: unknown };
  return typeof kind === 'string' && typeof config === 'object' && config !== null;
}
