import { Args, Flags } from '@oclif/core';
import { AiotError } from '../../core/errors.js';
import type { ChangeDevices } from '../../registry/change-devices.js';
import { type DeviceChange, groupName, tagName, tagValue } from '../../registry/fleet-api.js';
import { shared } from './shared.js';

export const selector = Flags.string({
  summary: "Devices that it matches, such as 'type=esp32 and fw<1.4' or 'site=lab and not online=true'.",
  env: 'AIOT_SELECTOR',
  helpValue: 'SELECTOR',
});

/** Of what changes one device or many. */
export const fleetFlags = { selector, 'dry-run': shared['dry-run'], context: shared.context };

export const oneDevice = {
  name: Args.string({ required: false, description: 'Name of the device, instead of --selector.' }),
};

/** @throws AIOT_USAGE for both, and for none */
export function targetOf(name: string | undefined, selector: string | undefined): ChangeDevices['target'] {
  if (name !== undefined && selector === undefined) return { name };
  if (name === undefined && selector !== undefined) return { selector };
  const got = name === undefined ? 'none' : `both (${name})`;
  throw new AiotError('AIOT_USAGE', `expected the name of a device, or --selector; got ${got}`);
}

interface Worded {
  name: string | undefined;
  change: DeviceChange;
}

/** `site=lab` puts a tag on, `old-` takes one off. @throws AIOT_USAGE */
export function taggingOf(words: string[], selector: string | undefined): Worded {
  const { name, rest } = split(words, selector, 'a tag such as site=lab, or old- to take one off');
  const set: Record<string, string> = {};
  const remove: string[] = [];
  for (const word of rest) {
    const [, tag = '', value] = /^([^=]*?)(?:=(.*)|-)$/s.exec(word) ?? [];
    const fits = tagName.safeParse(tag).success && (value === undefined || tagValue.safeParse(value).success);
    if (!fits) throw wrong('site=lab (a name, =, and 1 to 128 characters), or old- to take a tag off', word);
    if (value === undefined) remove.push(tag);
    else set[tag] = value;
  }
  return { name, change: { action: 'tag', set, remove } };
}

/** `hall-2` puts it into a group, `hall-2-` takes it out. @throws AIOT_USAGE */
export function groupingOf(words: string[], selector: string | undefined): Worded {
  const { name, rest } = split(words, selector, 'a group such as hall-2, or hall-2- to take it out');
  const [add, remove]: [string[], string[]] = [[], []];
  for (const word of rest) {
    const group = word.replace(/-$/, '');
    if (!groupName.safeParse(group).success) {
      throw wrong('the name of a group (letters, digits, _ . -), with a minus behind to take it out', word);
    }
    (word === group ? add : remove).push(group);
  }
  return { name, change: { action: 'group', add, remove } };
}

/** With a selector all words say what to do; without one the first is the device. */
function split(words: string[], selector: string | undefined, expected: string) {
  const [first, ...others] = words;
  const name = selector === undefined ? first : undefined;
  const rest = selector === undefined ? others : words;
  if (rest.length > 0) return { name, rest };
  const who =
    selector === undefined && name === undefined ? 'the name of a device (or --selector), and ' : '';
  throw new AiotError('AIOT_USAGE', `expected ${who}${expected}; got ${name ?? 'nothing'}`);
}

function wrong(expected: string, got: string): AiotError {
  return new AiotError('AIOT_USAGE', `expected ${expected}; got ${got}`);
}
