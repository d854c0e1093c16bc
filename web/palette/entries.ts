import type {
  DeviceInfo,
  ModelSummary,
  ModelVersion,
  Rollout,
  RolloutCommand,
} from '../../src/lib/api/index.js';
import { commandStates, releaseText, stateWords } from '../../src/lib/api/rollouts/words.js';
import { pages } from '../app/pages.js';
import { linkTo } from '../app/route.js';
import { isLimited, logOut, mayChange, mayManage, mayPush } from '../app/session.js';
import { changes } from '../pages/device/changes.js';
import { commandTexts } from '../pages/rollouts/states.js';

export type Group = 'Pages' | 'Devices' | 'Models' | 'Rollouts' | 'Actions';

/** Something that the palette opens or runs. */
export interface Entry {
  key: string;
  group: Group;
  title: string;
  /** Text after the title. */
  detail?: string;
  /** Further words that find the entry. */
  words?: string;
  /** Address of the page to open, or the function to run. */
  to: string | (() => void);
}

/** The words of the typed text, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

/** Pages and actions that exist on every platform. */
export function fixedEntries(): Entry[] {
  return [
    ...pages
      .filter(({ hidden }) => !hidden)
      .map(({ path, title }): Entry => ({ key: `page ${path}`, group: 'Pages', title, to: `#/${path}` })),
    page('map', 'Map of the devices', linkTo(['devices'], { view: 'map' })),
    page('history', 'Fleet history: presence, predictions and latency over time', linkTo(['history'])),
    page('backup', 'Backup', linkTo(['access', 'backup'])),
    ...(mayChange() && !isLimited()
      ? [action('add-board', 'Add a board', linkTo(['add-board']), 'new device esp32 flash')]
      : []),
    ...(mayChange() && !isLimited()
      ? [action('add-device', 'Add a device', linkTo(['add-device']), 'claim qr provision raspberry')]
      : []),
    ...(mayPush()
      ? [action('upload-model', 'Upload a model', linkTo(['upload-model']), 'push publish aiot tflite')]
      : []),
    ...(mayChange()
      ? [action('new-rollout', 'New rollout', linkTo(['rollouts', 'new']), 'start deploy update')]
      : []),
    ...(mayChange()
      ? [
          action(
            'settings-rollout',
            'Roll out settings',
            linkTo(['rollouts', 'settings']),
            'change configure deploy',
          ),
        ]
      : []),
    ...(mayManage('devices', 'write')
      ? [action('new-alarm', 'New alarm', linkTo(['alarms'], { ask: 'new' }), 'create threshold absence')]
      : []),
    ...(mayManage('users', 'write')
      ? [action('add-user', 'Add a user', linkTo(['access'], { ask: 'add-user' }), 'new account invite')]
      : []),
    ...(mayChange()
      ? [action('new-token', 'New token', linkTo(['access'], { ask: 'new-token' }), 'create secret login')]
      : []),
    action('log-out', 'Log out', () => void logOut(), 'sign out'),
  ];
}

function page(key: string, title: string, to: string): Entry {
  return { key: `page ${key}`, group: 'Pages', title, to };
}

function action(key: string, title: string, to: Entry['to'], words = ''): Entry {
  return { key: `action ${key}`, group: 'Actions', title, to, words };
}

/** A device and, if the actions are wanted, those that are possible in its state. Each action opens its confirmation. */
export function deviceEntries(device: DeviceInfo, withActions: boolean): Entry[] {
  const { name, type, state, online } = device;
  const own: Entry = {
    key: `device ${name}`,
    group: 'Devices',
    title: name,
    detail: `${type}, ${state}${online ? ', online' : ''}`,
    to: linkTo(['devices', name]),
  };
  if (!withActions || !mayChange()) return [own];
  const possible = [
    ...(online ? [{ verb: 'restart', title: 'Restart' }] : []),
    ...changes.filter(({ from }) => from.includes(state)),
  ];
  const asks = possible.map(({ verb, title }) =>
    action(`${verb} ${name}`, `${title} ${name}`, linkTo(['devices', name], { ask: verb })),
  );
  return [own, ...asks];
}

/** A model, or its versions where the text asks for one, such as `har@2`. */
export function modelEntries(
  { name, latest, production }: ModelSummary,
  versions: readonly ModelVersion[],
): Entry[] {
  if (versions.length > 0) {
    return versions.map(({ version, stage }) => ({
      key: `model ${name}@${version}`,
      group: 'Models',
      title: `${name}@${version}`,
      detail: stage,
      to: linkTo(['models', name, version]),
    }));
  }
  const inProduction = production === null ? '' : `, @${production} in production`;
  return [
    {
      key: `model ${name}`,
      group: 'Models',
      title: name,
      detail: `latest @${latest.version}${inProduction}`,
      to: linkTo(['models', name]),
    },
  ];
}

/** A rollout and, if the commands are wanted, those that are possible in its state. */
export function rolloutEntries(
  { id, releases, state, selector, rollback }: Rollout,
  withCommands: boolean,
): Entry[] {
  const title = releases.map(releaseText).join(' + ');
  const own: Entry = {
    key: `rollout ${id}`,
    group: 'Rollouts',
    title,
    detail: `${stateWords(state)}, ${selector}`,
    words: id,
    to: linkTo(['rollouts', id]),
  };
  if (!withCommands || !mayChange()) return [own];
  const commands = (Object.keys(commandStates) as RolloutCommand[]).filter(
    (command) => commandStates[command].includes(state) && (command !== 'rollback' || rollback !== null),
  );
  const asks = commands.map((command) =>
    action(
      `${command} ${id}`,
      `${commandTexts[command].title} the rollout of ${title}`,
      linkTo(['rollouts', id], { ask: command }),
      id,
    ),
  );
  return [own, ...asks];
}

const verbs = [
  ...['restart', ...changes.map(({ verb }) => verb)],
  ...Object.values(commandTexts).flatMap(({ title }) => wordsOf(title)),
];

/** Whether the word begins the name of an action on a device or a rollout. */
export function isVerb(word: string): boolean {
  return word.length > 1 && verbs.some((verb) => verb.startsWith(word));
}

/** The selector of devices whose names contain these words, as typed, in lower or upper case, or capitalized; null = no name can contain them. */
export function selectorFor(text: string): string | null {
  const all = text.split(/\s+/).filter(Boolean);
  const named = all.filter((word) => !isVerb(word.toLowerCase()));
  const words = named.length > 0 ? named : all;
  if (words.length === 0 || !words.every((word) => /^[\w.-]{1,63}$/.test(word))) return null;
  const parts = words.map((word) => {
    const [lower, upper] = [word.toLowerCase(), word.toUpperCase()];
    const cases = [...new Set([word, lower, upper, `${upper[0]}${lower.slice(1)}`])];
    return `(${cases.map((each) => `name~"*${each}*"`).join(' or ')})`;
  });
  return parts.join(' and ');
}

/** The most entries of a group that are shown. */
export const mostShown = 8;

/**
 * The entries that contain every word, in groups. Within a group, and among the groups, the best match comes first. Without words, pages and
 * actions are listed.
 */
export function found(entries: readonly Entry[], text: string): Entry[] {
  const words = wordsOf(text);
  if (words.length === 0) return entries.filter(({ group }) => group === 'Pages' || group === 'Actions');
  const ranked = entries
    .map((entry) => ({ entry, score: scoreOf(entry, words) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score);
  const order = [...new Set(ranked.map(({ entry }) => entry.group))];
  return order.flatMap((group) =>
    ranked
      .filter(({ entry }) => entry.group === group)
      .slice(0, mostShown)
      .map(({ entry }) => entry),
  );
}

/** 0 = no match; the more of the title the words are, the higher. */
function scoreOf({ title, detail = '', words: more = '' }: Entry, words: readonly string[]): number {
  const own = title.toLowerCase();
  const all = `${own} ${detail.toLowerCase()} ${more.toLowerCase()}`;
  if (!words.every((word) => all.includes(word))) return 0;
  const text = words.join(' ');
  if (own === text) return 5;
  if (own.startsWith(text)) return 4;
  if (words.every((word) => own.split(/[^a-z0-9]+/).some((part) => part.startsWith(word)))) return 3;
  return words.every((word) => own.includes(word)) ? 2 : 1;
}
