import { AiotError } from '../../core/index.js';
import type { PipelinePlan, PipelineStep, StepInput } from '../../pipeline/index.js';
import { templateText } from '../template/index.js';

type Artifact = Record<string, unknown>;

/** Files of the project by path, where they are small enough to stand in the template. */
export type ProjectTexts = ReadonlyMap<string, string>;

const work = '/pipeline';
const asIs = { none: {} };

/** Each step as templates/deploy/argo/workflow-template.yaml wants it. @throws AIOT_USAGE text that Argo would take for its own */
export function argoSteps(plan: PipelinePlan, texts: ProjectTexts) {
  return plan.steps.map((step) => {
    const asked = [...new Set(step.when.map((term) => term.step))];
    const kept = step.keeps.map((keep) => ({ ...keep, path: pathOfKept(step, keep) }));
    const inputs = [
      { name: 'step', path: '/step/step.mjs', raw: { data: plain(templateText('argo/step.mjs')) } },
      ...step.inputs.map((input) => inputOf(input, plan, texts)),
      ...asked.map((name) => ({
        ...{ name: `result-of-${name}`, path: `${work}/results/${name}.json`, optional: true },
      })),
    ];
    return {
      name: step.name,
      depends: step.needs.length === 0 ? null : step.needs.join(' && '),
      arguments: nullIfNone([
        ...step.inputs.flatMap(({ name, from }) =>
          from.kind === 'output' ? [given(nameOf(name), from.step, from.output)] : [],
        ),
        ...asked.map((name) => given(`result-of-${name}`, name, 'result')),
      ]),
      seconds: step.timeoutMs === null ? null : Math.ceil(step.timeoutMs / 1000),
      retry: retryOf(step),
      inputs,
      outputs: [
        ...step.outputs.map(({ name, path }) => ({
          ...{ name: nameOf(name), path: plain(`${work}/${path}`), optional: true, archive: asIs },
        })),
        { name: 'result', path: `${work}/result.json`, optional: true, archive: asIs },
        ...kept.map(({ name, path }) => ({
          ...{ name: `kept-${nameOf(name)}`, path, optional: true, archive: asIs },
          s3: { key: keptKey(plan, name) },
        })),
      ],
      spec: plain(
        JSON.stringify({
          ...{ command: step.command, needed: neededBy(step), when: step.when },
          outputs: step.outputs.map(({ path }) => path),
        }),
      ),
    };
  });
}

/** An artifact that the step before has left. What was skipped has left none. */
const given = (name: string, step: string, output: string): Artifact => ({
  ...{ name, optional: true, from: `{{tasks.${step}.outputs.artifacts.${nameOf(output)}}}` },
});

function inputOf({ name, from }: StepInput, plan: PipelinePlan, texts: ProjectTexts): Artifact {
  const at = { name: nameOf(name), path: plain(`${work}/${name}`) };
  if (from.kind === 'settings') return { ...at, raw: { data: plain(from.text) } };
  if (from.kind === 'output') return { ...at, optional: true };
  if (from.kind === 'kept')
    return { ...at, optional: true, archive: asIs, s3: { key: keptKey(plan, from.name) } };
  const text = texts.get(from.path);
  if (text !== undefined) return { ...at, raw: { data: plain(text) } };
  return { ...at, optional: true, archive: asIs, s3: { key: plain(projectKey(plan, from.path)) } };
}

/** Where files of the project that are too large to stand in the template are put by hand. */
export const projectKey = ({ project }: PipelinePlan, path: string) => `pipeline/${project}/project/${path}`;
const keptKey = ({ project }: PipelinePlan, name: string) => `pipeline/${project}/kept/${name}`;

/** The step has it as an input, under a name of its own. */
function pathOfKept({ inputs }: PipelineStep, keep: PipelineStep['keeps'][number]): string {
  const input = inputs.find(
    ({ from }) => from.kind === 'output' && from.step === keep.step && from.output === keep.output,
  );
  return `${work}/${input?.name ?? keep.output}`;
}

/** Without these it is skipped, with the reason. */
function neededBy({ inputs }: PipelineStep) {
  return inputs.flatMap(({ name, from }) => {
    if (from.kind === 'kept') return [{ path: name, why: from.missing }];
    if (from.kind === 'output') return [{ path: name, why: `${from.step} left no ${from.output}` }];
    return [];
  });
}

/** What a gate refuses (6), and what is wrong with the command line (2), is not tried again. */
function retryOf({ retries, waitMs }: PipelineStep) {
  if (retries === 0) return null;
  return {
    limit: String(retries),
    retryPolicy: 'Always',
    expression: "lastRetry.exitCode != '6' && lastRetry.exitCode != '2'",
    backoff: { duration: String(Math.max(1, Math.round(waitMs / 1000))), factor: '2' },
  };
}

/** Names of artifacts have letters, digits, dashes and underscores. */
const nameOf = (path: string) => path.replaceAll(/[^A-Za-z0-9_-]+/g, '-').replace(/^-+/, '');

function plain(text: string): string {
  if (!text.includes('{{')) return text;
  const at = text.slice(text.indexOf('{{')).slice(0, 40);
  throw new AiotError(
    'AIOT_USAGE',
    `expected no {{ in what a step is given, for Argo takes it for its own: ${at}`,
  );
}

const nullIfNone = <Item>(list: Item[]) => (list.length === 0 ? null : list);
