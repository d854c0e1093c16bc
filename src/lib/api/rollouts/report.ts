import * as z from 'zod';
import type { RegistryClient } from '../client.js';
import { everyEvent } from '../events/tail.js';
import { rolloutDeviceSchema, rolloutSchema, rolloutStatusSchema, savedBy, savedSchema } from './schema.js';

/** Permanent record of a rollout: its history, and each device's outcome. */
export const rolloutReportSchema = z.object({
  rollout: rolloutSchema,
  /** Releases that the rollout's devices currently report. */
  runs: rolloutStatusSchema.shape.runs,
  devices: z.array(rolloutDeviceSchema),
  /** Actions of users and of the rollout itself, oldest first. */
  history: z.array(
    z.object({ at: z.int(), who: z.string(), type: z.string(), data: z.record(z.string(), z.unknown()) }),
  ),
  /** Failed devices by error code, most frequent first. */
  failures: z.array(z.object({ code: z.string(), devices: z.int(), example: z.string() })),
  /** Time from offer to commit, over the devices that committed, ms; null = no device committed. */
  durationMs: z.object({ p50: z.number(), p90: z.number(), max: z.number() }).nullable(),
  saved: savedSchema,
});
export type RolloutReport = z.output<typeof rolloutReportSchema>;

/** @throws AIOT_NOT_FOUND */
export async function rolloutReport(client: RegistryClient, id: string): Promise<RolloutReport> {
  const { runs, saved: _, ...rollout } = await client.rollouts.get(id);
  const devices = await client.rollouts.devices(id);
  const history: RolloutReport['history'] = [];
  // Changes of single devices are omitted, because each device's own times show them.
  const types = ['rollout.start', 'rollout.change', 'rollout.wave', 'rollout.end'];
  for await (const { at, who, type, data } of everyEvent(client, { types, subject: id, from: 0 })) {
    history.push({ at, who, type, data });
  }
  return {
    rollout,
    runs,
    devices,
    history,
    failures: failuresOf(devices),
    durationMs: durations(devices),
    saved: savedBy(devices),
  };
}

function failuresOf(devices: RolloutReport['devices']): RolloutReport['failures'] {
  const found = new Map<string, { code: string; devices: number; example: string }>();
  for (const { name, state, error } of devices) {
    if (state === 'committed' || error === null) continue;
    const entry = found.get(error.code) ?? {
      ...{ code: error.code, devices: 0 },
      example: `${name}: ${error.message}`,
    };
    entry.devices++;
    found.set(error.code, entry);
  }
  return [...found.values()].sort((a, b) => b.devices - a.devices);
}

function durations(devices: RolloutReport['devices']): RolloutReport['durationMs'] {
  const took = devices
    .flatMap(({ times: { offered, committed } }) =>
      offered === undefined || committed === undefined ? [] : [committed - offered],
    )
    .sort((a, b) => a - b);
  if (took.length === 0) return null;
  const at = (share: number) => took[Math.min(took.length - 1, Math.floor(share * took.length))]!;
  return { p50: at(0.5), p90: at(0.9), max: took.at(-1)! };
}
