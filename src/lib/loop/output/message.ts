import type { OutgoingMessage } from '../../stream/index.js';
import type { Answer } from '../types.js';
import type { OutputSettings } from './settings.js';

/** The answer as this output wants it; undefined where it does not want it. @param device its name, for those who hear many */
export function messageOf(
  answer: Answer,
  { body, when }: Pick<OutputSettings, 'body' | 'when'>,
  device: string,
): OutgoingMessage | undefined {
  if (!isWanted(answer, when)) return undefined;
  const text = body === 'json' ? jsonOf(answer, device) : bareOf(answer);
  return text === undefined ? undefined : { topic: '', payload: Buffer.from(text), time: answer.t };
}

function isWanted({ changed, label, voted, value }: Answer, when: OutputSettings['when']): boolean {
  if (when === 'always') return true;
  // A measured value has no vote that could stay the same.
  if (when === 'change') return changed || (label === null && value !== null);
  return changed && voted === when.label;
}

function bareOf({ label, voted, value }: Answer): string | undefined {
  if (label === null && value !== null) return String(value);
  return voted ?? undefined;
}

function jsonOf(answer: Answer, device: string): string {
  const { t, window, label, voted, scores, value, latencyMs, model } = answer;
  return JSON.stringify({ t, window, label, voted, scores, value, latencyMs, model, device });
}
