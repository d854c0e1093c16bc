import { join } from 'node:path';
import { z } from 'zod';
import {
  AiotError,
  digestOf,
  type PlatformContext,
  readBytes,
  systemCode,
  writeFileAtomic,
} from '../../core/index.js';
import { type GuideClient, withGuide } from '../../registry/index.js';

/** A model of an installation of the guide: a file, and no more is known of it. */
export const guideModelSchema = z.object({
  kind: z.literal('architects-guide'),
  name: z.string(),
  url: z.string(),
});
export type GuideModel = z.output<typeof guideModelSchema>;

export const guidePulledSchema = guideModelSchema.extend({
  /** The file that was written. */
  file: z.string(),
  bytes: z.int(),
  digest: z.string(),
  /** It was there already. */
  unchanged: z.boolean(),
});
export type GuidePulled = z.output<typeof guidePulledSchema>;

/** The models of an installation of the guide, oldest first. @throws what the client throws */
export function listGuideModels(context: PlatformContext): Promise<GuideModel[]> {
  return withGuide(context, modelsOf);
}

/**
 * Downloads a model of an installation of the guide into a folder. Nothing is signed there: its bytes are those that the server sent.
 * @param name of the file, or `latest` @throws AIOT_NOT_FOUND, AIOT_PLATFORM_FAILED, AIOT_FOLDER_NOT_EMPTY, and what the client throws
 */
export function pullFromGuide(
  context: PlatformContext & { name: string },
  name: string,
  out: string,
): Promise<GuidePulled> {
  return withGuide(context, async (client) => {
    const models = await modelsOf(client);
    const model = name === 'latest' ? models.at(-1) : models.find((one) => one.name === name);
    if (!model) throw unknownModel(context.name, name, models);
    const bytes = await client.download(model.name);
    // The identifier of a FlatBuffer follows its root's offset (TensorFlow Lite's schema).
    if (Buffer.from(bytes.subarray(4, 8)).toString('latin1') !== 'TFL3')
      throw new AiotError('AIOT_PLATFORM_FAILED', `${model.url} is no TensorFlow Lite model`, {
        endpoint: model.url,
      });
    const file = join(out, model.name);
    const digest = digestOf(bytes);
    const before = await digestThere(file);
    if (before !== null && before !== digest)
      throw new AiotError('AIOT_FOLDER_NOT_EMPTY', `${file} is there, with another content`, {
        endpoint: file,
      });
    if (before === null) await writeFileAtomic(file, bytes);
    return { ...model, file, bytes: bytes.length, digest, unchanged: before !== null };
  });
}

async function modelsOf(client: GuideClient): Promise<GuideModel[]> {
  return (await client.models()).map((model) => ({ kind: 'architects-guide', ...model }));
}

async function digestThere(file: string): Promise<string | null> {
  try {
    return digestOf(await readBytes(file));
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || Reflect.get(error as object, 'code') === 'AIOT_FILE_NOT_FOUND')
      return null;
    throw error;
  }
}

function unknownModel(context: string, name: string, models: readonly GuideModel[]): AiotError {
  return new AiotError(
    'AIOT_NOT_FOUND',
    models.length === 0 ? `${context} has no models yet` : `${context} has no model ${name}`,
    { next: `aiot model list --context ${context}` },
  );
}
