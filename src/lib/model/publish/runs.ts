import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { mostPublished, type PublishedRun, publishedRunSchema } from '../../api/contract/training-runs.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { readTrainingRuns } from '../runs/record.js';
import { type PushClient, type PushOptions, type PushResult, pushModel } from './push.js';

export const publishedRunsSchema = z.object({
  models: z.array(
    z.object({
      model: z.string(),
      /** Number of runs that the platform did not have yet. */
      added: z.int(),
      /** Number of the project's runs that have ended. */
      runs: z.int(),
    }),
  ),
});

export type PublishedRuns = z.output<typeof publishedRunsSchema>;

interface RunsClient {
  trainingRuns: Pick<RegistryClient['trainingRuns'], 'publish'>;
}

/**
 * Publishes the records of a project's runs that have ended, without their files, so that the dashboard can show them. Runs that the
 * platform already has do not change.
 * @throws AIOT_FILE_NOT_FOUND (no such folder), AIOT_FILE_MALFORMED, and any platform error
 */
export async function publishRuns(client: RunsClient, dir: string): Promise<PublishedRuns> {
  const byModel = new Map<string, PublishedRun[]>();
  for (const run of await readTrainingRuns(dir)) {
    if (run.state === 'running') continue;
    byModel.set(run.model, [...(byModel.get(run.model) ?? []), publishedRunSchema.parse(run)]);
  }
  const models: PublishedRuns['models'] = [];
  for (const [model, runs] of byModel) {
    let added = 0;
    for (let at = 0; at < runs.length; at += mostPublished)
      added += (await client.trainingRuns.publish(model, runs.slice(at, at + mostPublished))).added;
    models.push({ model, added, runs: runs.length });
  }
  return { models };
}

/**
 * Pushes a project's model, followed by the records of its training runs. If only the records cannot be published, the result names the
 * reason.
 * @throws as `pushModel`
 */
export async function pushProject(
  options: PushOptions & { client: PushClient & RunsClient },
): Promise<PushResult> {
  const pushed = await pushModel(options);
  try {
    const { models } = await publishRuns(options.client, options.project.dir);
    return { ...pushed, runs: { added: models.reduce((sum, { added }) => sum + added, 0), problem: null } };
  } catch (error) {
    // Platforms of earlier versions do not store runs.
    if (hasCode(error, 'AIOT_NOT_FOUND')) return { ...pushed, runs: { added: 0, problem: null } };
    if (!(error instanceof AiotError)) throw error;
    return { ...pushed, runs: { added: 0, problem: error.message } };
  }
}
