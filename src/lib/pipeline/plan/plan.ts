import { z } from 'zod';
import { type Problem, type Project, parseYaml, readText, type StepConfig } from '../../core/index.js';
import { defaultStepNames, defaultSteps, type Surroundings } from './default-steps.js';
import { inOrder } from './order.js';
import { ownStep, type StepPlace, withSettings } from './own-step.js';
import type { PipelinePlan, PipelineStep } from './types.js';

/** Fields of a step that is the user's own, and of no other. */
const ofOwn = ['run', 'in', 'out', 'publish', 'gate', 'platform'] as const;

/**
 * The steps of a project, checked: what aiot.yaml says, and the default ones where it says nothing. Nothing has been run.
 * @throws AIOT_PROJECT_INVALID: unknown steps and outputs, circles, two steps that leave one thing; with their places
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
    const message = `a circle: ${[...ordered.circle, first].join(' → ')}`;
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

/** One of ours with the settings of aiot.yaml; what it would need of a step that was left out is told. */
function defaultStep(base: PipelineStep, config: StepConfig, place: StepPlace): PipelineStep {
  for (const field of ofOwn) {
    if (config[field] !== undefined)
      place.problem([field], `the step ${base.name} has its own; expected no ${field}`);
  }
  for (const { from } of base.inputs) {
    if (from.kind === 'output' && !place.outputs.has(from.step)) {
      place.problem([], `${base.name} takes what ${from.step} leaves, which is left out`);
    }
  }
  const flags = Object.entries(config.params ?? {}).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : value === false ? [`--no-${name}`] : [`--${name}`, String(value)],
  );
  const there = base.needs.filter((name) => place.outputs.has(name));
  const more = { ...base, command: [...base.command, ...flags], needs: there };
  return withSettings(more, config, place);
}

/** What two steps would leave in one place: in the folder of one step, or in the project. */
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
          message: `${publish} is what step ${other} leaves there already`,
        });
      }
      owner.set(publish, name);
    }
  }
  return problems;
}
