import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { canonicalJson, digestOf, type Project, readBytes } from '../../core/index.js';
import { type PipelinePlan, planPipeline } from '../../pipeline/index.js';
import { secure } from '../k3s/secure.js';
import { fillTemplate, templateText } from '../template/index.js';
import type { RenderedFile, RenderedPipeline } from '../types.js';
import type { Values } from '../values/index.js';
import { argoSteps, type ProjectTexts, projectKey } from './steps.js';

/** What is larger is no part of a template. */
const largestText = 64 * 1024;

/** The WorkflowTemplate of a project as text, with what it was made of. @throws AIOT_PROJECT_INVALID, AIOT_USAGE */
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

/** The same as files, with its schedule where there is one. @throws as pipelineTemplate */
export async function pipelineFiles(project: Project, values: Values) {
  const { scope, template, plan, texts } = await pipelineTemplate(project, values);
  const cron = { path: 'cron-workflow.yaml', about: 'when they run by themselves' };
  const files: RenderedFile[] = [
    { path: 'workflow-template.yaml', text: template, about: 'the steps of the pipeline' },
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

/** A rendered template as an object. */
export function templateObject(text: string): { spec: unknown } {
  // Each step has the same program as an artifact: an alias each, beyond what the parser takes for an attack.
  return parse(text, { maxAliasCount: -1, logLevel: 'error' }) as { spec: unknown };
}

/** Files of the project that steps take, where they are small and text. */
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

/** What is to be done about the project's large files, as items of a list. */
export const largeFilesText = (large: RenderedPipeline['large']) =>
  large
    .map(
      ({ path, url }) =>
        `- \`${path}\` of the project is too large to stand here: put it into the bucket as \`${url}\`, where the step does not take it from the platform.\n`,
    )
    .join('');
