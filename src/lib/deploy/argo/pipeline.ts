import { loadProject } from '../../core/index.js';
import { type Rendered, writeRendering } from '../render.js';
import type { RenderedPipeline } from '../types.js';
import { loadValues, nothing } from '../values/index.js';
import { largeFilesText, pipelineFiles } from './template.js';

export interface RenderPipelineOptions {
  project: string;
  out: string;
  /** File of values; absent = deploy.yaml of the project. */
  values?: string;
  dryRun?: boolean;
  yes?: boolean;
}

/**
 * The pipeline of a project as templates of Argo Workflows: the same commands in the same order, with the same files.
 * @throws AIOT_PROJECT_INVALID, AIOT_DEPLOY_VALUES, AIOT_DEPLOY_EDITED, AIOT_USAGE, AIOT_FILE_NOT_WRITABLE
 */
export async function renderPipeline(options: RenderPipelineOptions): Promise<Rendered> {
  const project = await loadProject(options.project);
  const values = await loadValues({ file: options.values, project, usual: () => nothing });
  const { plan, name, files: made, large } = await pipelineFiles(project, values);
  const text = readme(plan.project, values.namespace, name, large);
  const files = [...made, { path: 'README.md', text, about: 'what to do with these files' }];
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

function readme(project: string, namespace: string, name: string, large: RenderedPipeline['large']): string {
  return `# The pipeline of ${project} on Argo

Rendered by \`aiot pipeline render --target argo\`. Each step is a pod: the same command as in \`aiot pipeline run\`, in a folder with the same files.

\`\`\`sh
kubectl -n ${namespace} create secret generic pipeline-context --from-file=CONFIG-FOLDER   # contexts.json, the signing key: of a user of its own
kubectl apply --server-side -f .
argo submit -n ${namespace} --from workflowtemplate/${name} --watch
\`\`\`

- The service account \`pipeline\` and the artifact repository are of \`aiot deploy render --target k3s\`.
- A gate (exit code 6) fails its step, and nothing behind it is run. A step that has nothing to do says so in its \`result\`, and leaves nothing.
- Nothing is cached between runs.
${largeFilesText(large)}`;
}
