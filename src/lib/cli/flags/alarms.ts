import { Flags } from '@oclif/core';
import type { RegistryClient } from '../../api/client.js';
import { longestAlarmMs, longestWindowMs } from '../../api/contract/alarms.js';
import { telemetryNames } from '../../core/names.js';
import { didYouMean, shellWord } from '../../core/text.js';
import { windowWithZone } from '../../fleet/window.js';
import { comparedTexts, fieldPaths } from '../../stream/decode/expression.js';
import { hereZone } from './rollouts.js';
import { duration } from './shared.js';

/** Times without notifications. */
export const maintenance = Flags.string({
  summary: 'Weekly times without notifications, in your time zone by default. Repeatable.',
  env: 'AIOT_MAINTENANCE',
  helpValue: "'sat,sun 02:00-04:00'",
  multiple: true,
  multipleNonGreedy: true,
  parse: async (text) => windowWithZone(text, hereZone()),
});

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

/** The members of an alarm's definition that refer to telemetry or predictions. */
interface NamedFields {
  stream?: string | undefined;
  where?: string | undefined;
  clear?: string | undefined;
  rate?: string | undefined;
  class?: string | undefined;
  offline?: boolean | undefined;
  unwell?: boolean | undefined;
}

/** Maximum number of streams whose fields are compared; each requires a request. */
const mostStreams = 20;

/** Fields that usually occur only in predictions, and stream names under which users look for predictions. */
const predictionFields = new Set(['label', 'voted', 'scores', 'detections', 'confidence', 'latencyMs']);
const predictionStreams = new Set(['prediction', 'predictions', 'inference', 'inferences']);

/** Values that a condition can use instead of a sample's fields, by flag. */
const valuesOfFlags = [
  ['rate', '--rate', ['change', 'rate']],
  ['class', '--class', ['share', 'count', 'total']],
  ['offline', '--offline-devices', ['share', 'offline', 'total', 'devices']],
  ['unwell', '--unwell', ['state', 'causes', 'message']],
] as const;

/**
 * Warnings about names that may prevent an alarm from ever firing: unknown streams, fields and classes, fields of predictions without
 * --class, and values that the condition cannot use. Names that cannot be compared are skipped. Makes up to 21 requests.
 */
export async function alarmCautions(
  client: Pick<RegistryClient, 'datasets' | 'models'>,
  alarm: NamedFields,
): Promise<string[]> {
  const { class: label } = alarm;
  const asked = label === undefined ? unknownTelemetry(client, alarm) : unknownClass(client, label);
  const found = await asked.catch(() => []);
  return [...found, ...unknownValues(alarm)];
}

/** Empty if the platform has no telemetry yet. Fields compared with strings are not checked, because strings are not stored. */
async function unknownTelemetry(
  { datasets }: Pick<RegistryClient, 'datasets'>,
  alarm: NamedFields,
): Promise<string[]> {
  const { stream } = alarm;
  const known = (await datasets.page({ limit: mostStreams + 1 })).datasets.map(({ name }) => name);
  if (known.length > mostStreams) return [];
  const isUnknown = stream !== undefined && !known.includes(stream);
  if (isUnknown && predictionStreams.has(stream))
    return [`Predictions are not a telemetry stream. For an alarm on them, use ${wayOfClass(alarm)}`];
  if (isUnknown && known.length > 0)
    return [`There is no stored telemetry in the stream ${stream}${didYouMean(stream, known) || '.'}`];
  const { numbers, texts } = fieldsOf(alarm);
  if (numbers.length + texts.length === 0) return [];
  const streams = stream === undefined || isUnknown ? known : [stream];
  const found = await Promise.all(streams.map((name) => datasets.recordings(name, { limit: 1 })));
  const fields = [...new Set(found.flatMap((each) => each.fields))];
  const predicted = [...texts, ...numbers].find((name) => !fields.includes(name) && ofPrediction(name));
  if (predicted !== undefined)
    return [
      `Without --class, an alarm does not evaluate predictions. If ${predicted} is one of their fields, use ${wayOfClass(alarm)}`,
    ];
  if (fields.length === 0) return [];
  const where = stream === undefined ? '' : ` of ${stream}`;
  return numbers
    .filter((name) => !fields.includes(name))
    .map((name) => {
      const near = didYouMean(name, fields);
      return `No stored telemetry${where} has a number in the field ${name}${near || '.'}`;
    });
}

/** Only the newest version of each model is compared. Empty if none of them has classes. */
async function unknownClass({ models }: Pick<RegistryClient, 'models'>, label: string): Promise<string[]> {
  const classes = (await models.list()).flatMap(({ latest }) => latest.classes);
  if (classes.length === 0 || classes.includes(label)) return [];
  return [`No model has the class ${label} in its newest version${didYouMean(label, classes) || '.'}`];
}

function unknownValues(alarm: NamedFields): string[] {
  const [, flag, values] = valuesOfFlags.find(([name]) => alarm[name]) ?? [];
  if (flag === undefined || values === undefined) return [];
  const read = conditionsOf(alarm).flatMap((text) => fieldPaths(text).map(([name = '']) => name));
  const known: readonly string[] = values;
  const listed = `${known.slice(0, -1).join(', ')} and ${known.at(-1)}`;
  return [...new Set(read)]
    .filter((name) => !known.includes(name))
    .map((name) => {
      const near = didYouMean(name, known);
      return `With ${flag}, a condition can use ${listed}, but not ${name}${near || '.'}`;
    });
}

/** Flags for an alarm on predictions, with the class that the condition compares the label with. */
function wayOfClass(alarm: NamedFields): string {
  const compared = conditionsOf(alarm).flatMap((text) => comparedTexts(text));
  const label = compared.find(({ path: [name = ''] }) => ofPrediction(name))?.text ?? 'CLASS';
  return `--class ${shellWord(label)} --within 10s --where 'share > 0.2'.`;
}

function ofPrediction(name: string): boolean {
  return predictionFields.has(name.replace(/\..*/s, ''));
}

function conditionsOf({ where, clear }: NamedFields): string[] {
  return [where, clear].filter((text) => text !== undefined);
}

/** Fields that the alarm reads from samples: those that it compares with strings, and all others. */
function fieldsOf(alarm: NamedFields): { numbers: string[]; texts: string[] } {
  const { rate, class: label, offline, unwell } = alarm;
  if (label !== undefined || offline || unwell) return { numbers: [], texts: [] };
  if (rate !== undefined) return { numbers: [rate], texts: [] };
  const conditions = conditionsOf(alarm);
  const texts = conditions.flatMap((text) => comparedTexts(text)).map(({ path }) => path.join('.'));
  const read = conditions.flatMap((text) => fieldPaths(text)).map((path) => path.join('.'));
  const numbers = [...new Set(read)].filter((name) => !texts.includes(name) && !telemetryNames.has(name));
  return { numbers, texts };
}
