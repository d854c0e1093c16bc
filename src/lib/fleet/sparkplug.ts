import * as z from 'zod';
import { namePattern } from '../core/names.js';
import { type HomeDevice, type HomeState, stateOf } from './home-assistant.js';

const name = z.string().regex(namePattern);
/** A level of a Sparkplug topic. */
const level = z.string().regex(/^[^/+#\p{Cc}]{1,100}$/u);

/** Definition of the edge node under which a platform publishes its devices. */
export const sparkplugSchema = z.object({
  /** The project that defines it. */
  project: name,
  /** Broker; `$AIOT_NOTIFY_…` stands for a variable. Null = the platform's broker. */
  broker: z.string().nullable(),
  group: level,
  node: level,
  selector: z.string(),
  /** Minimum time between two messages with a device's values, ms. */
  everyMs: z.int(),
  /** Whether data contains numbers instead of names. */
  aliases: z.boolean(),
  /** Stream with the values. */
  stream: z.string(),
  fields: z.array(z.object({ field: z.string(), unit: z.string() })),
});
export type Sparkplug = z.output<typeof sparkplugSchema>;

/** A value of a device; null = not known yet. */
export interface SparkplugMetric {
  value: number | string | null;
  kind: 'number' | 'text';
  unit?: string;
}

/** The metrics of a device, by name: its fields, its prediction and its versions. */
export function metricsOf(
  state: HomeState,
  device: Pick<HomeDevice, 'answer' | 'reported'>,
  { fields }: Pick<Sparkplug, 'fields'>,
): Map<string, SparkplugMetric> {
  const metrics = new Map<string, SparkplugMetric>();
  for (const { field, unit } of fields) {
    const value = Object.hasOwn(state.values, field) ? (state.values[field] as number) : null;
    metrics.set(field, { value, kind: 'number', ...(unit === '' ? {} : { unit }) });
  }
  const { label = null, confidence = null, value = null, firmware, model } = stateOf(state, device);
  const { answer } = device;
  if (answer !== null && answer !== 'value') metrics.set('prediction/label', { value: label, kind: 'text' });
  if (answer === 'classes' || answer === 'probability')
    metrics.set('prediction/confidence', { value: confidence, kind: 'number', unit: '%' });
  if (answer === 'value' || answer === 'reconstruction')
    metrics.set('prediction/value', { value, kind: 'number' });
  if (firmware !== undefined) metrics.set('version/firmware', { value: firmware, kind: 'text' });
  if (model !== undefined) metrics.set('version/model', { value: model, kind: 'text' });
  return metrics;
}
