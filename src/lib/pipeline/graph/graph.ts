import { z } from 'zod';
import { chosenContext, loadProject, writeFileAtomic } from '../../core/index.js';
import { pipelineFolders } from '../folders.js';
import { planPipeline } from '../plan/plan.js';
import { findRun, stepStates } from '../run/record.js';
import { graphOf } from './model.js';
import { graphSvg } from './svg.js';
import { graphText } from './text.js';

export const graphSchema = z.object({
  project: z.string(),
  /** The run whose states these are; null before the first. */
  run: z.string().nullable(),
  steps: z.array(
    z.object({
      name: z.string(),
      about: z.string(),
      needs: z.array(z.string()),
      gate: z.string().nullable(),
      state: z.enum(stepStates).nullable(),
      cached: z.boolean(),
    }),
  ),
  /** The picture that was written. */
  file: z.string().nullable(),
  text: z.string(),
});
export type PipelineGraph = z.output<typeof graphSchema>;

/** The graph of a project's steps with the states of its last run. @throws AIOT_PROJECT_INVALID, AIOT_FILE_NOT_WRITABLE */
export async function pipelineGraph(options: { dir: string; out?: string }): Promise<PipelineGraph> {
  const project = await loadProject(options.dir);
  const context = await chosenContext();
  const plan = await planPipeline(project, { kind: context?.kind ?? null });
  const run = await findRun(pipelineFolders(project.dir)).catch(() => null);
  const nodes = graphOf(plan, run);
  if (options.out !== undefined)
    await writeFileAtomic(options.out, graphSvg(`Pipeline of ${plan.project}`, nodes));
  return {
    project: plan.project,
    run: run?.run ?? null,
    steps: nodes.map(({ name, about, needs, gate, last }) => ({
      ...{ name, about, needs, gate },
      state: last?.state ?? null,
      cached: last?.cached ?? false,
    })),
    file: options.out ?? null,
    text: graphText(nodes),
  };
}
