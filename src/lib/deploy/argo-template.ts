import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { canonicalJson, digestOf } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { readBytes } from '../core/files.js';
import type { Project } from '../core/project.js';
import { planPipeline } from '../pipeline/plan/plan.js';
import type { PipelinePlan, PipelineStep, StepInput } from '../pipeline/plan/types.js';
import { secure } from './targets/k3s-environment.js';
import { fillTemplate, templateText } from './template.js';
import type { RenderedFile, RenderedPipeline } from './types.js';
import type { Values } from './values.js';

/** Maximum size of a project file in a template, bytes. */
const largestText = 64 * 1024;

/** A project's WorkflowTemplate as text, with the data from which it was rendered. @throws AIOT_PROJECT_INVALID, AIOT_USAGE */
export async function pipelineTemplate(project: Project, values: Values) {
  const plan = await planPipeline(project, { kind: 'platform' });
  const texts = await textsOf(plan, project.dir);
  const { cron } = project.config.pipeline.on;
  const scope = {
    ...{ secure, namespace: values.namespace, image: values.image, project: values.name },
    name: values.argo ? values.argo.workflow : 'pipeline',
    steps: argoSteps(plan, texts),
    schedules: cron === undefined ? [] : [cron],
  };
  const source = templateText('argo/workflow-template.yaml');
  const { spec } = templateObject(fillTemplate(source, { ...scope, digest: '' }));
  const digest = digestOf(canonicalJson(spec));
  const template = fillTemplate(source, { ...scope, digest });
  return { plan, texts, scope, digest, template };
}

/** The rendered template as a file, and its schedule as a second file if there is one. @throws as pipelineTemplate */
export async function pipelineFiles(project: Project, values: Values) {
  const { scope, template, plan, texts } = await pipelineTemplate(project, values);
  const cron = { path: 'cron-workflow.yaml', about: 'triggers of automatic runs' };
  const files: RenderedFile[] = [
    { path: 'workflow-template.yaml', text: template, about: 'pipeline steps' },
    ...(scope.schedules.length > 0
      ? [{ ...cron, text: fillTemplate(templateText('argo/cron-workflow.yaml'), scope) }]
      : []),
  ];
  const bucket = values.objects ? values.objects.bucket : 'aiot';
  const large = [...pathsOf(plan)]
    .filter((path) => !texts.has(path))
    .map((path) => ({ path, url: `s3://${bucket}/${projectKey(plan, path)}` }));
  return { plan, name: scope.name, files, large };
}

/** Parses a rendered template. */
export function templateObject(text: string): { spec: unknown } {
  // The limit on aliases, which guards against attacks, is disabled, because all steps refer to the same artifact by an alias.
  return parse(text, { maxAliasCount: -1, logLevel: 'error' }) as { spec: unknown };
}

/** The project files that steps read, if they are text files and small enough. */
async function textsOf(plan: PipelinePlan, dir: string): Promise<ProjectTexts> {
  const paths = pathsOf(plan);
  const texts = new Map<string, string>();
  for (const path of paths) {
    const found = await stat(join(dir, path)).catch(() => null);
    if (!found?.isFile() || found.size > largestText) continue;
    const bytes = await readBytes(join(dir, path));
    const text = bytes.toString('utf8');
    if (!text.includes('\0') && !text.includes('{{') && Buffer.from(text).equals(bytes))
      texts.set(path, text);
  }
  return texts;
}

const pathsOf = ({ steps }: PipelinePlan) =>
  new Set(
    steps.flatMap(({ inputs }) => inputs.flatMap(({ from }) => (from.kind === 'path' ? [from.path] : []))),
  );

/** Instructions for uploading the project's large files, formatted as list items. */
export const largeFilesText = (large: RenderedPipeline['large']) =>
  large
    .map(
      ({ path, url }) =>
        `- \`${path}\` of the project is too large to include here: upload it to the bucket as \`${url}\`, unless the step gets it from the platform.\n`,
    )
    .join('');

type Artifact = Record<string, unknown>;

/** Texts of small project files, by path. */
type ProjectTexts = ReadonlyMap<string, string>;

const work = '/pipeline';
const asIs = { none: {} };

/**
 * The steps in the form of templates/deploy/argo/workflow-template.yaml. @throws AIOT_USAGE for text that Argo would interpret as a
 * template expression
 */
function argoSteps(plan: PipelinePlan, texts: ProjectTexts) {
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

/** An artifact that an earlier step created. It does not exist if that step was skipped. */
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

/** Object key of a project file that is too large for the template, and must be uploaded by hand. */
const projectKey = ({ project }: PipelinePlan, path: string) => `pipeline/${project}/project/${path}`;

const keptKey = ({ project }: PipelinePlan, name: string) => `pipeline/${project}/kept/${name}`;

/** Path of the output to keep. The output is an input of the step, and has the input's name there. */
function pathOfKept({ inputs }: PipelineStep, keep: PipelineStep['keeps'][number]): string {
  const input = inputs.find(
    ({ from }) => from.kind === 'output' && from.step === keep.step && from.output === keep.output,
  );
  return `${work}/${input?.name ?? keep.output}`;
}

/** Inputs without which the step is skipped, each with the reason to report. */
function neededBy({ inputs }: PipelineStep) {
  return inputs.flatMap(({ name, from }) => {
    if (from.kind === 'kept') return [{ path: name, why: from.missing }];
    if (from.kind === 'output') return [{ path: name, why: `${from.step} produced no ${from.output}` }];
    return [];
  });
}

/** The retry strategy of a step. A failed gate (6) and a usage error (2) are not retried. */
function retryOf({ retries, waitMs }: PipelineStep) {
  if (retries === 0) return null;
  return {
    limit: String(retries),
    retryPolicy: 'Always',
    expression: "lastRetry.exitCode != '6' && lastRetry.exitCode != '2'",
    backoff: { duration: String(Math.max(1, Math.round(waitMs / 1000))), factor: '2' },
  };
}

/** An artifact name for a path. Artifact names consist of letters, digits, dashes and underscores. */
const nameOf = (path: string) => path.replaceAll(/[^A-Za-z0-9_-]+/g, '-').replace(/^-+/, '');

function plain(text: string): string {
  if (!text.includes('{{')) return text;
  const at = text.slice(text.indexOf('{{')).slice(0, 40);
  throw new AiotError('AIOT_USAGE', `a step value must not contain {{, because Argo would expand it: ${at}`);
}

const nullIfNone = <Item>(list: Item[]) => (list.length === 0 ? null : list);
