import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { AiotError, didYouMean, parseDuration, type StepConfig } from '../../core/index.js';
import { step } from './default-steps.js';
import type { InputFrom, PipelineStep, StepInput } from './types.js';
import { parseWhen } from './when.js';

/** What is known when a step of aiot.yaml is read. */
export interface StepPlace {
  /** The project's folder. */
  dir: string;
  /** Steps by name, and what each leaves. */
  outputs: ReadonlyMap<string, ReadonlySet<string>>;
  /** Adds a problem at a field of this step. */
  problem(field: (string | number)[], message: string): void;
}

/** A program of the user's as a step. */
export function ownStep(name: string, config: StepConfig, place: StepPlace): PipelineStep {
  const command = (config.run ?? []).map((word) => withParams(word, config.params ?? {}, place));
  // The words that are files of the project come along, so that the step finds them, and another content runs it again.
  const files = command.filter((word) => word.startsWith('./') && existsSync(join(place.dir, word)));
  const along = [...new Set(files)].map((word): StepInput => {
    const path = word.slice(2);
    return { name: path, from: { kind: 'path', path, optional: false } };
  });
  const inputs = Object.entries(config.in ?? {}).map(([path, text]) => ({
    name: path,
    from: inputFrom(path, text, place),
  }));
  const outputs = Object.entries(config.out ?? {}).map(([output, path]) => {
    const publish = config.publish?.[output];
    return { name: output, path, ...(publish === undefined ? {} : { publish }) };
  });
  for (const output of Object.keys(config.publish ?? {})) {
    if (config.out?.[output] === undefined)
      place.problem(['publish', output], 'expected the name of an output (out)');
  }
  const made = step(name, command.join(' ').slice(0, 80), {
    command,
    inputs: [...inputs, ...along.filter((each) => !inputs.some((other) => other.name === each.name))],
    outputs,
    gate: config.gate ?? null,
    platform: config.platform ?? false,
  });
  return withSettings(made, config, place);
}

/** A step with what aiot.yaml says of every kind of step. */
export function withSettings(base: PipelineStep, config: StepConfig, place: StepPlace): PipelineStep {
  const when = conditions(config.when, place);
  const used = base.inputs.flatMap(({ from }) => (from.kind === 'output' ? [from.step] : []));
  const needs = [...base.needs, ...(config.needs ?? []), ...used, ...when.map((term) => term.step)];
  for (const [i, need] of (config.needs ?? []).entries()) {
    if (!place.outputs.has(need)) place.problem(['needs', i], unknownStep(need, place));
  }
  for (const { step: name } of when) {
    if (!place.outputs.has(name)) place.problem(['when'], unknownStep(name, place));
  }
  return {
    ...base,
    needs: [...new Set(needs)],
    when: [...base.when, ...when],
    retries: config.retries ?? base.retries,
    waitMs: config.wait === undefined ? base.waitMs : parseDuration(config.wait),
    timeoutMs: config.timeout === undefined ? base.timeoutMs : parseDuration(config.timeout),
    cache: config.cache ?? base.cache,
  };
}

function conditions(text: string | undefined, place: StepPlace): PipelineStep['when'] {
  try {
    return text === undefined ? [] : parseWhen(text);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    place.problem(['when'], error.message);
    return [];
  }
}

function inputFrom(path: string, text: string, place: StepPlace): InputFrom {
  const [, name = '', output = ''] = /^([a-z][a-z0-9-]*)\.([a-z][a-z0-9-]*)$/.exec(text) ?? [];
  const known = place.outputs.get(name);
  if (known?.has(output)) return { kind: 'output', step: name, output };
  if (known) {
    const leaves = [...known].join(', ');
    place.problem(['in', path], `step ${name} leaves no ${output}, but ${leaves}`);
  } else if (!existsSync(isAbsolute(text) ? text : join(place.dir, text))) {
    place.problem(
      ['in', path],
      `expected STEP.OUTPUT or a file of the project; there is neither for "${text}"`,
    );
  }
  return { kind: 'path', path: text, optional: false };
}

function withParams(word: string, params: NonNullable<StepConfig['params']>, place: StepPlace): string {
  return word.replace(/\$\{([^}]*)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) place.problem(['run'], `${whole}: no such value in params`);
    return String(value ?? whole);
  });
}

function unknownStep(name: string, { outputs }: StepPlace): string {
  const known = [...outputs.keys()];
  return `expected a step (${known.join(', ')}); got ${name}${didYouMean(name, known)}`;
}
