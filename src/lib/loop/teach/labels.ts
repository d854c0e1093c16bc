import { AiotError } from '../../core/index.js';
import { type BundleInfo, classOfLabel } from '../../model/index.js';
import type { TeachKey } from './types.js';

const keyboard = '123456789abcdefghijklmnopqrsuvwxyz';
/** Teaches again from all that was marked. */
export const retrainKey = 't';

/** A key for each label that recordings of the model's classes have. */
export function keysOf({ classes, labels }: BundleInfo): TeachKey[] {
  const all = classes.flatMap((name) => labels[name] ?? [name]);
  return all.slice(0, keyboard.length).map((label, i) => ({ key: keyboard[i]!, label }));
}

/**
 * The label that a recording gets. A class of one label may be named instead of it; of one with several nobody knows which was meant.
 * `isKnown`: the model has a class for it.
 * @throws AIOT_USAGE
 */
export function recordedLabel(info: BundleInfo, text: string): { label: string; isKnown: boolean } {
  const isKnown = classOfLabel(info, text) !== null;
  const labels = Object.values(info.labels).flat();
  if (labels.includes(text) || !info.classes.includes(text)) return { label: text, isKnown };
  const own = info.labels[text] ?? [];
  if (own.length <= 1) return { label: own[0] ?? text, isKnown };
  throw new AiotError('AIOT_USAGE', `${text} is recorded as ${own.join(' or ')}: say which`);
}
