import { deviceStates } from '../api/fields.js';
import { parseDuration } from '../core/time.js';
import type { Operator, Selectable } from './selector.js';
import { compareVersions, parseVersion } from './version.js';

/** How a key is tested against a device. */
export interface Key {
  operators: readonly Operator[];
  /** Description of a valid value, for errors; absent = any text. */
  expected?: string;
  accepts?: (value: string, operator: Operator) => boolean;
  /** All possible values, for suggestions; absent = any value is possible. */
  options?: readonly string[];
  /** The device's value that `=` and `~` test; null = the device has no such value. */
  text?(device: Selectable): string | null;
  /** Like `text`, for a key with several values, one of which must match. */
  texts?(device: Selectable): readonly string[];
  /** How `=` compares, if not by identical text. */
  equal?: (text: string, value: string) => boolean;
  /**
   * Returns a function that compares a device's value with `value`, for `<` and similar operators: negative, 0 or
   * positive; null = not comparable.
   */
  order?: (value: string, now: number) => (device: Selectable) => number | null;
  /** Normalizes a value for `=` and `~`. */
  normal?: (value: string) => string;
}

const ordering = ['<', '<=', '>', '>='] as const;
const texts = ['=', '!=', 'in', '~', 'has'] as const;
const none: readonly string[] = [];

const text = (of: (device: Selectable) => string | null): Key => ({
  operators: texts,
  text: of,
});

const moment = (of: (device: Selectable) => number | null): Key => ({
  operators: [...ordering, 'has'],
  expected: 'a time such as 2d (ago) or 2026-11-20',
  accepts: (value) => agoOf(value) !== null || dateOf(value) !== null,
  text: (device) => of(device)?.toString() ?? null,
  order(value, now) {
    const ago = agoOf(value);
    const date = dateOf(value) ?? 0;
    return (device) => {
      const time = of(device);
      if (time === null) return null;
      return ago === null ? time - date : now - time - ago;
    };
  },
});

const oneOf = (values: readonly string[], of: (device: Selectable) => string): Key => ({
  operators: ['=', '!=', 'in'],
  expected: values.join(' or '),
  accepts: (value) => values.includes(value),
  options: values,
  text: of,
});

/** The keys of selectors, except tags. */
export const keys: Readonly<Record<string, Key>> = {
  name: text((device) => device.name),
  id: text((device) => device.id),
  type: text((device) => device.type),
  state: oneOf(deviceStates, (device) => device.state),
  group: { operators: texts, texts: (device) => device.groups },
  online: oneOf(['true', 'false'], (device) => (device.online ? 'true' : 'false')),
  model: {
    operators: texts,
    texts: ({ model }) => (model ? [model.name, `${model.name}@${model.version}`] : none),
  },
  mac: {
    ...text((device) => device.mac),
    normal: (value) => value.toLowerCase().replaceAll('-', ':'),
  },
  fw: {
    ...text((device) => device.firmware),
    operators: [...texts, ...ordering],
    expected: 'a version such as 1.4 or 2.0.0-rc.1',
    accepts: (value, operator) => !isOrdering(operator) || parseVersion(value) !== null,
    equal: (version, value) => version === value || compareVersions(version, value) === 0,
    order(value) {
      // Results are cached by version, because a fleet runs only a few versions.
      const known = new Map<string, number | null>();
      return ({ firmware }) => {
        if (firmware === null) return null;
        let order = known.get(firmware);
        if (order === undefined) {
          order = compareVersions(firmware, value);
          known.set(firmware, order);
        }
        return order;
      };
    },
  },
  lastSeen: moment((device) => device.lastSeen),
  created: moment((device) => device.created),
};

/** A tag: text, or a number with `<` and `>`. */
export function tagKey(tag: string): Key {
  const of = ({ tags }: Selectable) => (Object.hasOwn(tags, tag) ? (tags[tag] ?? null) : null);
  return {
    ...text(of),
    operators: [...texts, ...ordering],
    expected: 'a number',
    accepts: (value, operator) => !isOrdering(operator) || isNumber(value),
    order: (value) => (device) => {
      const own = of(device);
      return own !== null && isNumber(own) ? Number(own) - Number(value) : null;
    },
  };
}

function isOrdering(operator: Operator): boolean {
  return (ordering as readonly Operator[]).includes(operator);
}

function isNumber(value: string): boolean {
  return /^[+-]?\d+(\.\d+)?$/.test(value);
}

/** Duration of a relative time such as `2d`, ms; null for any other text. */
function agoOf(value: string): number | null {
  return /^\d{1,9}(\.\d{1,3})?(ms|s|m|h|d)$/.test(value) ? parseDuration(value) : null;
}

/** An ISO 8601 date, or a date with a time in UTC, as ms since 1970. */
function dateOf(value: string): number | null {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z)?$/.test(value)) return null;
  const time = Date.parse(value);
  return Number.isNaN(time) ? null : time;
}
