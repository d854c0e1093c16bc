import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import type { Problem } from '../../core/issues.js';
import type { Project } from '../../core/project.js';
import type { StepConfig } from '../../core/project-schema.js';
import { didYouMean } from '../../core/text.js';
import { parseDuration } from '../../core/time.js';
import { parseYaml } from '../../core/yaml.js';
import { defaultStepNames, defaultSteps, type Surroundings, step } from './default-steps.js';
import type { InputFrom, PipelinePlan, PipelineStep, StepInput } from './types.js';
import { parseWhen } from './when.js';

/** Fields that only custom steps have. */
const ofOwn = ['run', 'in', 'out', 'publish', 'gate', 'platform'] as const;

/**
 * Validates and returns a project's steps: the steps in aiot.yaml, with defaults for everything that aiot.yaml does not specify. Runs
 * nothing.
 * @throws AIOT_PROJECT_INVALID: unknown steps and outputs, cycles, two steps with the same output; each with its position
 */
export async function planPipeline(project: Project, surroundings: Surroundings): Promise<PipelinePlan> {
  const text = await readText(project.file);
  const code = 'AIOT_PROJECT_INVALID';
  const given = parseYaml(text, project.file, z.unknown(), { code });
  const problems: Problem[] = [];
  const steps = stepsOf(project, defaultSteps(project, given, surroundings), problems);
  problems.push(...doubles(steps));
  const ordered = inOrder(steps);
  if ('circle' in ordered) {
    const [first = ''] = ordered.circle;
    const message = `circular dependency: ${[...ordered.circle, first].join(' → ')}`;
    problems.push({ path: ['pipeline', 'steps', first, 'needs'], message });
  }
  if (problems.length > 0) parseYaml(text, project.file, z.unknown(), { code, check: () => problems });
  return { project: project.config.name, steps: 'circle' in ordered ? [] : ordered.steps };
}

function stepsOf(project: Project, defaults: PipelineStep[], problems: Problem[]): PipelineStep[] {
  const { listed, configs } = configsOf(project);
  const listing = [...configs.keys()];
  const known = new Map(defaults.map((each) => [each.name, each]));
  const chosen = listed ? [...configs.keys()] : [...new Set([...known.keys(), ...configs.keys()])];
  const names = chosen.filter((name) => configs.get(name) !== false);
  const outputs = new Map(
    names.map((name) => {
      const config = configs.get(name);
      const own = Object.keys((config ? config.out : undefined) ?? {});
      const usual = known.get(name)?.outputs.map((output) => output.name) ?? [];
      return [name, new Set([...usual, ...own, 'result'])];
    }),
  );
  return names.flatMap((name) => {
    const config = configs.get(name) || {};
    const place: StepPlace = {
      dir: project.dir,
      outputs,
      problem: (field, message) => {
        const at = listed ? listing.indexOf(name) : name;
        problems.push({ path: ['pipeline', 'steps', at, ...field], message });
      },
    };
    const base = known.get(name);
    if (base) return [defaultStep(base, config, place)];
    if (config.run) return [ownStep(name, config, place)];
    place.problem([], `expected run: [PROGRAM, …], or one of the steps ${defaultStepNames.join(', ')}`);
    return [];
  });
}

function configsOf(project: Project) {
  const { steps } = project.config.pipeline;
  if (!Array.isArray(steps)) return { listed: false, configs: new Map(Object.entries(steps ?? {})) };
  const configs = new Map<string, StepConfig | false>();
  for (const each of steps) {
    if (typeof each === 'string') configs.set(each, {});
    else {
      const { name, ...config } = each;
      configs.set(name, config);
    }
  }
  return { listed: true, configs };
}

/** A default step with the settings in aiot.yaml. An input from a step that was left out is reported as a problem. */
function defaultStep(base: PipelineStep, config: StepConfig, place: StepPlace): PipelineStep {
  for (const field of ofOwn) {
    if (config[field] !== undefined)
      place.problem([field], `the built-in step ${base.name} does not accept ${field}`);
  }
  for (const { from } of base.inputs) {
    if (from.kind === 'output' && !place.outputs.has(from.step)) {
      place.problem([], `${base.name} needs the output of ${from.step}, which is left out`);
    }
  }
  const flags = Object.entries(config.params ?? {}).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : value === false ? [`--no-${name}`] : [`--${name}`, String(value)],
  );
  const there = base.needs.filter((name) => place.outputs.has(name));
  const more = { ...base, command: [...base.command, ...flags], needs: there };
  return withSettings(more, config, place);
}

/** Reports outputs that are published to the same path in the project. */
function doubles(steps: readonly PipelineStep[]): Problem[] {
  const problems: Problem[] = [];
  const owner = new Map<string, string>();
  for (const { name, outputs } of steps) {
    for (const { name: output, publish } of outputs) {
      if (publish === undefined) continue;
      const other = owner.get(publish);
      if (other !== undefined) {
        problems.push({
          path: ['pipeline', 'steps', name, 'publish', output],
          message: `${publish} is already an output of step ${other}`,
        });
      }
      owner.set(publish, name);
    }
  }
  return problems;
}

/** Context in which a step of aiot.yaml is read. */
interface StepPlace {
  /** The project's folder. */
  dir: string;
  /** Steps by name, with their outputs. */
  outputs: ReadonlyMap<string, ReadonlySet<string>>;
  /** Reports a problem at a field of this step. */
  problem(field: (string | number)[], message: string): void;
}

/** A user's program as a step. */
function ownStep(name: string, config: StepConfig, place: StepPlace): PipelineStep {
  const command = (config.run ?? []).map((word) => withParams(word, config.params ?? {}, place));
  // Arguments that are paths of project files become inputs, so that the step can access these files and is rerun when a file changes.
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

/** Applies the settings in aiot.yaml that exist for all kinds of steps. */
function withSettings(base: PipelineStep, config: StepConfig, place: StepPlace): PipelineStep {
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
    place.problem(['in', path], `step ${name} has no output ${output}, only ${leaves}`);
  } else if (!existsSync(isAbsolute(text) ? text : join(place.dir, text))) {
    place.problem(['in', path], `expected STEP.OUTPUT or a file of the project; "${text}" is neither`);
  }
  return { kind: 'path', path: text, optional: false };
}

function withParams(word: string, params: NonNullable<StepConfig['params']>, place: StepPlace): string {
  return word.replace(/\$\{([^}]*)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) place.problem(['run'], `${whole}: params has no such value`);
    return String(value ?? whole);
  });
}

function unknownStep(name: string, { outputs }: StepPlace): string {
  const known = [...outputs.keys()];
  return `expected a step (${known.join(', ')}); got ${name}${didYouMean(name, known)}`;
}

/**
 * Sorts the steps so that each step comes after its dependencies, and otherwise keeps their order. If there is a cycle, returns the steps
 * in the cycle.
 */
function inOrder(steps: readonly PipelineStep[]): { steps: PipelineStep[] } | { circle: string[] } {
  const left = new Map(steps.map((each) => [each.name, each]));
  const ordered: PipelineStep[] = [];
  while (left.size > 0) {
    const ready = [...left.values()].find(({ needs }) => !needs.some((need) => left.has(need)));
    if (!ready) return { circle: circleIn(left) };
    left.delete(ready.name);
    ordered.push(ready);
  }
  return { steps: ordered };
}

/** Each of these steps depends on another of these steps, so following the dependencies ends in a cycle. */
function circleIn(left: ReadonlyMap<string, PipelineStep>): string[] {
  const way: string[] = [];
  let at = [...left.keys()][0]!;
  while (!way.includes(at)) {
    way.push(at);
    at = left.get(at)!.needs.find((need) => left.has(need))!;
  }
  return way.slice(way.indexOf(at)).reverse();
}

/** All steps that a step needs, directly or indirectly. */
export function upstreamOf(steps: readonly PipelineStep[], name: string): Set<string> {
  const by = new Map(steps.map((each) => [each.name, each]));
  const found = new Set<string>();
  const visit = (each: string) => {
    for (const need of by.get(each)?.needs ?? []) {
      if (found.has(need)) continue;
      found.add(need);
      visit(need);
    }
  };
  visit(name);
  return found;
}
