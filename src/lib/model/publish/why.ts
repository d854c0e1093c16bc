import * as z from 'zod';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import { stages } from '../../registry/api.js';
import type { RegistryClient } from '../../registry/client.js';
import { provenanceSchema } from '../bundle/schema.js';
import { type FetchClient, fetchModel } from './pull.js';

const { training, dataset, recordings, evaluation, run } = provenanceSchema.shape;
const file = z.object({ digest: z.string() }).nullable();

/** The way back from a version to who recorded its data. Null is what nobody wrote down. */
export const whySchema = z.object({
  name: z.string(),
  version: z.int(),
  bundle: z.object({
    digest: z.string(),
    bytes: z.int(),
    stage: z.enum(stages),
    /** ms since 1970 */
    pushed: z.int(),
    /** Ids of the keys that signed it. */
    keys: z.array(z.string()),
  }),
  network: z.object({ digest: z.string(), mode: z.string() }),
  /** The run of a pipeline that pushed it: `aiot pipeline status ID` where it ran. */
  run: run.unwrap().nullable(),
  float: file,
  training,
  evaluation,
  dataset,
  recordings,
  devices: z
    .array(
      z.object({
        /** Null: nobody said which device made these. */
        name: z.string().nullable(),
        recordings: z.array(z.string()),
        /** Its state on this platform; null when it has no device of this name. */
        state: z.string().nullable(),
      }),
    )
    .nullable(),
  /** Links that are missing, in words. */
  unknown: z.array(z.string()),
});

export type Why = z.output<typeof whySchema>;

/**
 * Walks the lineage of a version back: bundle, network, float network, training, dataset, recordings, devices. What it says is
 * signed; what is missing is told as unknown.
 * @throws what `fetchModel` throws
 */
export async function whyModel(
  client: FetchClient & { devices: Pick<RegistryClient['devices'], 'list'> },
  model: { name: string; version: number },
  trust: TrustRoot | null = null,
): Promise<Why> {
  const { card, keyids, bundle } = await fetchModel(client, model, trust);
  const { network, float, training, evaluation, dataset, recordings } = bundle.lineage;
  const known = new Map((await client.devices.list()).map(({ name, state }) => [name, state]));
  const devices = recordings && devicesOf(recordings, known);
  const { digest, bytes, stage, pushed } = card;
  const links = { 'the float network': float, 'the training': training, 'the evaluation': evaluation };
  const data = { 'the dataset': dataset, 'the recordings': recordings };
  const missing = Object.entries({ ...links, ...data }).flatMap(([what, link]) =>
    link === null ? [what] : [],
  );
  const nameless = devices?.find(({ name }) => name === null)?.recordings.length ?? 0;
  if (nameless > 0) missing.push(`the device of ${nameless} of ${recordings?.length} recordings`);
  return {
    ...model,
    bundle: { digest, bytes, stage, pushed, keys: keyids },
    network,
    run: bundle.lineage.run ?? null,
    float,
    training,
    evaluation,
    dataset,
    recordings,
    devices,
    unknown: missing,
  };
}

function devicesOf(
  recordings: NonNullable<Why['recordings']>,
  known: Map<string, string>,
): NonNullable<Why['devices']> {
  const by = new Map<string | null, string[]>();
  for (const { id, device } of recordings) by.set(device, [...(by.get(device) ?? []), id]);
  return [...by].map(([name, ids]) => ({
    name,
    recordings: ids,
    state: name === null ? null : (known.get(name) ?? null),
  }));
}
