import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { canonicalJson, digestOf, loadProject, readBytes } from '../../core/index.js';
import { type PipelinePlan, planPipeline } from '../../pipeline/index.js';
import { secure } from '../k3s/index.js';
import { type Rendered, writeRendering } from '../render.js';
import { fillTemplate, templateText } from '../template/index.js';
import type { RenderedFile } from '../types.js';
import { loadValues, nothing, type Values } from '../values/index.js';
import { argoSteps, type ProjectTexts, projectKey } from './steps.js';

export interface RenderPipelineOptions {
  project: string;
  out: string;
  /** File of values; absent = deploy.yaml of the project. */
  values?: string;
  dryRun?: boolean;
  yes?: boolean;
}

/** What is larger is no part of a template. */
const largestText = 64 * 1024;

/**
 * The pipeline of a project as templates of Argo Workflows: the same commands in the same order, with the same files.
 * @throws AIOT_PROJECT_INVALID, AIOT_DEPLOY_VALUES, AIOT_DEPLOY_EDITED, AIOT_USAGE, AIOT_FILE_NOT_WRITABLE
 */
export async function renderPipeline(options: RenderPipelineOptions): Promise<Rendered> {
  const { scope, template, plan, values, texts } = await pipelineTemplate(options.project, options.values);
  const cron = scope.schedules.length > 0;
  const files: RenderedFile[] = [
    { path: 'workflow-template.yaml', text: template, about: 'the steps' },
    ...(cron
      ? [
          {
            path: 'cron-workflow.yaml',
            text: fillTemplate(templateText('argo/cron-workflow.yaml'), scope),
            about: 'when they run by themselves',
          },
        ]
      : []),
    {
      path: 'README.md',
      text: readme(plan, values, texts, scope.name),
      about: 'what to do with these files',
    },
  ];
  const { out, dryRun, yes } = options;
  const next = 'kubectl apply --server-side -f .';
  return writeRendering({
    target: 'argo',
    out,
    files,
    next,
    project: plan.project,
    ...(dryRun ? { dryRun } : {}),
    ...(yes ? { yes } : {}),
  });
}

/** The WorkflowTemplate of a project as text, with what it was made of. @throws as renderPipeline */
export async function pipelineTemplate(dir: string, valuesFile: string | undefined) {
  const project = await loadProject(dir);
  const plan = await planPipeline(project, { kind: 'platform' });
  const values = await loadValues({ file: valuesFile, project, usual: () => nothing });
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
  return { project, plan, values, texts, scope, digest, template };
}

/** A rendered template as an object. */
export function templateObject(text: string): { spec: unknown } {
  // Each step has the same program as an artifact: an alias each, beyond what the parser takes for an attack.
  return parse(text, { maxAliasCount: -1 }) as { spec: unknown };
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

function readme(
  plan: PipelinePlan,
  { namespace, objects }: Values,
  texts: ProjectTexts,
  name: string,
): string {
  const large = [...pathsOf(plan)].filter((path) => !texts.has(path));
  const bucket = objects ? objects.bucket : 'aiot';
  return `# The pipeline of ${plan.project} on Argo

Rendered by \`aiot pipeline render --target argo\`. Each step is a pod: the same command as in \`aiot pipeline run\`, in a folder with the same files.

\`\`\`sh
kubectl -n ${namespace} create secret generic pipeline-context --from-file=CONFIG-FOLDER   # contexts.json, the signing key: of a user of its own
kubectl apply --server-side -f .
argo submit -n ${namespace} --from workflowtemplate/${name} --watch
\`\`\`

- The service account \`pipeline\` and the artifact repository are of \`aiot deploy render --target k3s\`.
- A gate (exit code 6) fails its step, and nothing behind it is run. A step that has nothing to do says so in its \`result\`, and leaves nothing.
- Nothing is cached between runs.
${large.map((path) => `- \`${path}\` of the project is too large to stand here: put it into the bucket as \`s3://${bucket}/${projectKey(plan, path)}\`, where the step does not take it from the platform.\n`).join('')}`;
}
