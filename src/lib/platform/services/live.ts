import { liveFigures } from '../../fleet/index.js';
import type { LiveFigures } from '../../registry/index.js';
import type { Telemetry } from '../journal/telemetry.js';
import type { Labels } from './labels.js';
import type { Models } from './models.js';

/** A version's inferences counted against the labels as they are now. @throws AIOT_NOT_FOUND */
export async function liveOf(
  parts: { models: Models; telemetry: Telemetry; labels: Labels },
  name: string,
  version: number,
): Promise<LiveFigures> {
  const info = await parts.models.info(name, version);
  const { classes, labels } = info.kind === 'model' ? info : { classes: [], labels: {} };
  const given = await parts.labels.all();
  const classOf = new Map(Object.entries(labels).flatMap(([to, from]) => from.map((label) => [label, to])));
  return liveFigures(await parts.telemetry.live(name, version), classes, (device, recording) => {
    const label = given.get(`${device}/${recording}`);
    return label === undefined ? null : (classOf.get(label) ?? label);
  });
}
