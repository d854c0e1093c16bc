import * as z from 'zod';
import { stages } from '../../api/api.js';
import type { RegistryClient } from '../../api/client.js';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import { provenanceSchema } from '../bundle/schema.js';
import { type FetchClient, fetchModel } from './pull.js';

const { training, dataset, recordings, evaluation, run } = provenanceSchema.shape;
const file = z.object({ digest: z.string() }).nullable();

/** Lineage from a version back to the devices that recorded its data. Null means not recorded. */
export const whySchema = z.object({
  name: z.string(),
  version: z.int(),
  bundle: z.object({
    digest: z.string(),
    bytes: z.int(),
    stage: z.enum(stages),
    /** ms since 1970 */
    pushed: z.int(),
    /** IDs of the keys that signed the version. */
    keys: z.array(z.string()),
  }),
  network: z.object({ digest: z.string(), mode: z.string() }),
  /** The pipeline run that pushed the version: see `aiot pipeline status ID` on the machine that ran the pipeline. */
  run: run.unwrap().nullable(),
  float: file,
  training,
  evaluation,
  dataset,
  recordings,
  devices: z
    .array(
      z.object({
        /** Name of the device; null if not recorded. */
        name: z.string().nullable(),
        recordings: z.array(z.string()),
        /** The device's state on this platform; null if the platform has no device with this name. */
        state: z.string().nullable(),
      }),
    )
    .nullable(),
  /** Missing links, in words. */
  unknown: z.array(z.string()),
});

export type Why = z.output<typeof whySchema>;

/**
 * Traces a version's lineage back: bundle, network, float network, training run, dataset, recordings, devices. The whole lineage is signed;
 * missing parts are reported as unknown.
 * @throws any error of `fetchModel`
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
  const links = { 'the float model': float, 'the training': training, 'the evaluation': evaluation };
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
