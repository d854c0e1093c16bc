import { Flags } from '@oclif/core';
import type { RegistryClient } from '../../api/client.js';
import { longestAlarmMs, longestWindowMs } from '../../api/contract/alarms.js';
import { telemetryNames } from '../../core/names.js';
import { didYouMean } from '../../core/text.js';
import { comparedTexts, fieldPaths } from '../../stream/decode/expression.js';
import { duration } from './shared.js';

/** Flags for the condition of an alarm: an expression with its subject and window, or an absence. */
export const conditionFlags = {
  where: Flags.string({
    summary: "Condition on a sample's fields.",
    env: 'AIOT_WHERE',
    helpValue: 'EXPRESSION',
    exactlyOne: ['where', 'absent'],
  }),
  absent: duration({
    summary: 'Raise the alarm if a device sends no telemetry for this long.',
    env: 'AIOT_ABSENT',
    exclusive: ['for', 'clear', 'rate', 'class', 'offline-devices'],
    min: 1000,
    max: longestAlarmMs,
  }),
  rate: Flags.string({
    summary: 'Field whose change is evaluated instead of its value.',
    env: 'AIOT_RATE',
    helpValue: 'FIELD',
    dependsOn: ['where', 'within'],
    exclusive: ['class', 'offline-devices', 'unwell'],
  }),
  class: Flags.string({
    summary: 'Class whose share of the predictions is evaluated.',
    env: 'AIOT_CLASS',
    helpValue: 'CLASS',
    dependsOn: ['where', 'within'],
    exclusive: ['offline-devices', 'unwell', 'stream'],
  }),
  'offline-devices': Flags.boolean({
    summary: 'Evaluate how many of the selected devices are offline.',
    env: 'AIOT_OFFLINE_DEVICES',
    dependsOn: ['where'],
    exclusive: ['unwell', 'stream'],
  }),
  unwell: Flags.boolean({
    summary: 'Evaluate the health of the selected devices.',
    env: 'AIOT_UNWELL',
    dependsOn: ['where'],
    exclusive: ['stream'],
  }),
  within: duration({
    summary: 'Window of --rate or --class, at most 7d.',
    env: 'AIOT_WITHIN',
    min: 1000,
    max: longestWindowMs,
  }),
};

/** The parts of an alarm's definition that name telemetry. */
interface NamedTelemetry {
  stream?: string | undefined;
  where?: string | undefined;
  clear?: string | undefined;
  rate?: string | undefined;
  class?: string | undefined;
  offline?: boolean | undefined;
  unwell?: boolean | undefined;
}

/** Maximum number of streams whose fields are compared, because each takes a request. */
const mostStreams = 20;

/**
 * Sentences about a stream and fields of an alarm that no stored telemetry has, which are often misspelled. Empty if the platform has no
 * telemetry yet. Fields that are compared with texts are not checked, because texts are not stored. Makes up to 21 requests.
 */
export async function unknownTelemetry(
  { datasets }: Pick<RegistryClient, 'datasets'>,
  alarm: NamedTelemetry,
): Promise<string[]> {
  const { stream } = alarm;
  const known = (await datasets.page({ limit: mostStreams + 1 })).datasets.map(({ name }) => name);
  if (known.length === 0 || known.length > mostStreams) return [];
  if (stream !== undefined && !known.includes(stream))
    return [`No stored telemetry is of the stream ${stream}${didYouMean(stream, known) || '.'}`];
  const names = fieldsOf(alarm);
  if (names.length === 0) return [];
  const streams = stream === undefined ? known : [stream];
  const found = await Promise.all(streams.map((name) => datasets.recordings(name, { limit: 1 })));
  const fields = [...new Set(found.flatMap((each) => each.fields))];
  if (fields.length === 0) return [];
  const where = stream === undefined ? '' : ` of ${stream}`;
  return names
    .filter((name) => !fields.includes(name))
    .map((name) => {
      const near = didYouMean(name, fields);
      return `No stored telemetry${where} has a number in the field ${name}${near || '.'}`;
    });
}

/** Fields that the alarm reads from samples, without those that it compares with texts. */
function fieldsOf({ where, clear, rate, class: label, offline, unwell }: NamedTelemetry): string[] {
  if (label !== undefined || offline || unwell) return [];
  if (rate !== undefined) return [rate];
  const texts = [where, clear].filter((text) => text !== undefined);
  const compared = texts.flatMap((text) => comparedTexts(text)).map(({ path }) => path.join('.'));
  const read = texts.flatMap((text) => fieldPaths(text)).map((path) => path.join('.'));
  return [...new Set(read)].filter((name) => !compared.includes(name) && !telemetryNames.has(name));
}
