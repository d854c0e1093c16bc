import { dirname, join } from 'node:path';
import { z } from 'zod';
import { AiotError, digestOf, type Project, writeFileAtomic } from '../../core/index.js';
import type { GuideClient } from '../../registry/index.js';
import { bundleProject } from '../bundle/bundle-project.js';
import { unpackAny } from '../bundle/pack.js';
import type { DataSource } from '../dataset.js';
import { requireAccepted } from '../evaluate/evaluate-project.js';
import { modelName, readEvaluation, readQuantization } from '../files.js';
import { bundleOfFile } from '../push-file.js';
import { guideModelName, guideNetwork, guideReads } from './network.js';

/** A model that an installation of the guide has now. */
export const guidePushedSchema = z.object({
  kind: z.literal('architects-guide'),
  /** What was pushed. */
  file: z.string(),
  /** What it is called there. */
  name: z.string(),
  url: z.string(),
  /** Of what was uploaded: float inputs and outputs, and no shorter than the firmware reads. */
  bytes: z.int(),
  digest: z.string(),
  /** What its boards have to be told, so that they fetch it: on MQTT's or Kafka's control-message. */
  message: z.string(),
  /** Whether the guide's firmware reads all of it: it reads so many bytes of any model. */
  whole: z.boolean(),
});
export type GuidePushed = z.output<typeof guidePushedSchema>;

export interface GuidePushOptions extends DataSource {
  client: GuideClient;
  /** A .aiot or .tflite file; absent: the project's accepted network. */
  path: string | null;
  project: Project | null;
  /** ms since 1970 */
  at: number;
}

/**
 * Uploads a network in the form that the guide's clients take. Nothing is signed: there is nobody there who would look. Of a project,
 * what its boards have to be told is put beside the bundle (build/download-model.json).
 * @throws as `pushModel` and `pushFile`, and what the client throws
 */
export async function pushToGuide(options: GuidePushOptions): Promise<GuidePushed> {
  const { client, at } = options;
  const { content, file } = await contentOf(options);
  const bytes = guideNetwork(unpackAny(content));
  const name = guideModelName(at);
  const { url } = await client.upload(name, bytes);
  const message = JSON.stringify({ command: 'download-model', payload: name });
  if (options.path === null) await writeFileAtomic(join(dirname(file), 'download-model.json'), message);
  return {
    ...{ kind: 'architects-guide', file, name, url, message },
    ...{ bytes: bytes.length, digest: digestOf(bytes), whole: bytes.length <= guideReads },
  };
}

async function contentOf({ path, project, data }: GuidePushOptions) {
  if (path !== null) return { content: (await bundleOfFile(path)).content, file: path };
  if (project === null) throw new AiotError('AIOT_USAGE', 'expected a project or a file');
  const { digest } = await readQuantization(project);
  requireAccepted(await readEvaluation(project), digest, project);
  const { bytes, file } = await bundleProject({ project, data, name: modelName(project) });
  return { content: bytes, file };
}
