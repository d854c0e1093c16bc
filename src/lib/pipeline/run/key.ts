import { aiotVersion, canonicalJson, digestOf } from '../../core/index.js';
import type { PipelineStep } from '../plan/types.js';
import type { Input } from './work.js';

/**
 * What a step is cached by: what is run, on what, and by which aiot. Equal keys mean equal outputs.
 * @param platform which platform it talks to; null for a step that talks to none
 * @param data what that has for it; null for a step that takes nothing from there
 */
export function keyOf(
  step: PipelineStep,
  inputs: readonly Input[],
  platform: string | null,
  data: string | null,
): string {
  const { command, outputs } = step;
  return digestOf(
    canonicalJson({
      spec: 'aiot-step-key/1',
      aiot: aiotVersion(),
      command,
      inputs: Object.fromEntries(inputs.map(({ name, digest }) => [name, digest])),
      outputs: Object.fromEntries(outputs.map(({ name, path }) => [name, path])),
      platform,
      ...(data === null ? {} : { data }),
    }),
  );
}
