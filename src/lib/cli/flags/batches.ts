import { Args, Flags } from '@oclif/core';
import { batchLifetimeMs, mostInBatch, serialPattern } from '../../api/contract/batches.js';
import { tagValue } from '../../api/contract/devices.js';
import { AiotError } from '../../core/errors.js';
import { selectorTexts, taggingOf } from './fleet.js';
import { duration, shared } from './shared.js';

/** Flags of `device batch create`. */
export const batchFlags = {
  type: Flags.string({
    summary: 'Device type, used to match model releases.',
    default: 'esp32',
    env: 'AIOT_TYPE',
  }),
  size: Flags.integer({
    summary: 'Maximum number of devices.',
    default: 100,
    min: 1,
    max: mostInBatch,
    env: 'AIOT_SIZE',
    helpValue: 'N',
  }),
  expires: duration({
    summary: 'How long new devices can connect with the key.',
    env: 'AIOT_EXPIRES',
    default: batchLifetimeMs.usual,
    min: batchLifetimeMs.min,
    max: batchLifetimeMs.max,
  }),
  tag: Flags.string({
    summary: 'Tag of approved devices. Repeatable.',
    env: 'AIOT_TAG',
    helpValue: 'TAG=VALUE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  group: Flags.string({
    summary: 'Group of approved devices. Repeatable.',
    env: 'AIOT_GROUP',
    helpValue: 'GROUP',
    multiple: true,
    multipleNonGreedy: true,
  }),
  approve: Flags.string({
    summary: "Approve devices with these serial numbers automatically, such as 'A7-*' [default: none].",
    env: 'AIOT_APPROVE',
    helpValue: 'PATTERN',
    parse: async (text) => patternOf(text),
  }),
  serials: Flags.string({
    summary: 'CSV file whose column serial lists serial numbers to approve automatically.',
    env: 'AIOT_SERIALS',
    helpValue: 'FILE',
  }),
  out: Flags.string({
    char: 'o',
    summary: 'File for the factory image (mode 0600); without it, the key is only printed.',
    env: 'AIOT_OUT',
    helpValue: 'FILE',
  }),
};

function patternOf(text: string): string {
  if (serialPattern.safeParse(text).success) return text;
  const expected = 'letters, digits, dot, dash or underscore, with * for any characters and ? for one';
  throw new AiotError('AIOT_USAGE', `--approve: expected ${expected}; got "${text}"`);
}

/** Tags as `TAG=VALUE`. @throws AIOT_USAGE */
export function tagsOf(words: string[]): Record<string, string> {
  if (words.length === 0) return {};
  const { change } = taggingOf(words, 'all');
  const removed = change.action === 'tag' ? change.remove[0] : undefined;
  if (change.action !== 'tag' || removed !== undefined)
    throw new AiotError('AIOT_USAGE', `--tag: expected TAG=VALUE, got ${removed}-`);
  return change.set;
}

/** Which devices to approve or reject. */
export const decisionArgs = {
  name: Args.string({ required: false, description: 'Device name, as listed by aiot device waiting list.' }),
};
export const decisionFlags = {
  batch: Flags.string({
    summary: 'All waiting devices of this batch.',
    env: 'AIOT_BATCH',
    helpValue: 'NAME',
  }),
  selector: Flags.string({
    ...selectorTexts,
    summary: "Waiting devices: an expression such as 'name~A7-*' or 'site=lab', or all.",
  }),
  note: Flags.string({
    summary: 'Reason, shown to other users and to a rejected device.',
    env: 'AIOT_NOTE',
    helpValue: 'TEXT',
    parse: async (text) => {
      if (tagValue.safeParse(text).success) return text;
      throw new AiotError('AIOT_USAGE', '--note: expected 1 to 128 printable characters');
    },
  }),
  'dry-run': shared['dry-run'],
  context: shared.context,
};

/** @throws AIOT_USAGE unless either a name, or a batch or a selector is given */
export function waitingTarget(
  name: string | undefined,
  { batch, selector }: { batch?: string | undefined; selector?: string | undefined },
): { name: string } | { batch?: string | undefined; selector?: string | undefined } {
  const chooses = batch !== undefined || selector !== undefined;
  if (name !== undefined && !chooses) return { name };
  if (name === undefined && chooses) return { batch, selector };
  const got = name === undefined ? 'none' : `${name} and a flag`;
  throw new AiotError('AIOT_USAGE', `expected the name of a device, or --batch or --selector; got ${got}`);
}

/** Flags of commands that run on a device, or simulate one, and obtain its identity with the key of a batch. */
export const enrollFlags = {
  batch: Flags.string({
    summary: 'Batch file from aiot device batch create; the device waits until it is approved.',
    env: 'AIOT_BATCH',
    helpValue: 'FILE',
  }),
  serial: Flags.string({
    summary: "With --batch: the device's serial number [default: the folder's name].",
    env: 'AIOT_SERIAL',
    helpValue: 'SERIAL',
    relationships: [{ type: 'all' as const, flags: ['batch'] }],
  }),
};
