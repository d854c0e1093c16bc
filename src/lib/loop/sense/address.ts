import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { dictionary } from '../../core/names.js';
import type { FieldSettings } from './fields.js';

const pairs = (what: string) =>
  z
    .string()
    .min(1)
    .transform((text, context) => {
      const out = dictionary<string>();
      for (const part of text.split(',')) {
        const [, name, value] = /^([^:]+):(.+)$/.exec(part) ?? [];
        if (name === undefined || value === undefined) {
          context.addIssue({ code: 'custom', message: `expected ${what}, got "${part}"` });
          return z.NEVER;
        }
        out[name] = value;
      }
      return out;
    });

const rate = z
  .string()
  .regex(/^\d+(\.\d+)?$/, 'expected a number of samples per second')
  .transform(Number)
  .pipe(z.number().positive('expected more than 0').max(1e6));

const shape = {
  /** The sensor's field names, keyed by the contract's. */
  map: pairs('FIELD:NAME').optional(),
  /** Units by field name, or one unit for all fields. */
  units: z
    .string()
    .min(1)
    .transform((text) => (text.includes(':') ? text : `*:${text}`))
    .pipe(pairs('NAME:UNIT'))
    .optional(),
  /** Member or column that contains the time; `none` = use the time of arrival. */
  time: z.string().min(1).optional(),
  /** Member whose value increases by one per message. */
  seq: z.string().min(1).optional(),
  /** Device that supplies the samples, if a topic carries samples of several devices. */
  device: z.string().min(1).optional(),
  /** Names of the cells, for lines of numbers. */
  columns: z.string().min(1).optional(),
  /** Longest gap that is bridged, in samples; 0 = none. */
  bridge: z
    .string()
    .regex(/^\d{1,3}$/, 'expected a number of samples')
    .transform(Number)
    .optional(),
  resample: z.enum(['auto', 'on', 'off']).optional(),
  rate: rate.optional(),
  speed: z
    .string()
    .regex(/^(max|\d+(\.\d+)?)$/, 'expected max, or a speed factor')
    .transform((text) => (text === 'max' ? text : Number(text)))
    .pipe(
      z.union([
        z.literal('max'),
        z.number().positive('expected more than 0').max(1e6, 'expected at most 1000000'),
      ]),
    )
    .optional(),
  repeat: z
    .string()
    .regex(/^([1-9]\d{0,8}|forever)$/, 'expected a number, or forever')
    .transform((text) => (text === 'forever' ? Number.POSITIVE_INFINITY : Number(text)))
    .optional(),
};

export interface SensorAddress {
  /** Scheme without the colon, such as `i2c`. */
  scheme: string;
  /** URL for the adapter, without the loop's own settings. */
  url: string;
  fields: FieldSettings;
  time: string | undefined;
  seq: string | undefined;
  device: string | undefined;
  columns: string[] | undefined;
  bridge: number;
  resample: 'auto' | 'on' | 'off';
  /** Declared sample rate; undefined for local sensors, whose `rate` remains in `url`. */
  rateHz: number | undefined;
  speed: number | 'max' | undefined;
  repeat: number;
}

/** Longest gap bridged by default, in samples. Bridging two of 500 at 12 Hz changes no prediction. */
const bridged = 2;
/** Schemes of sensors that have their own `rate` setting. */
const ownRate = new Set(['i2c', 'iio', 'alsa', 'w1']);
/** Settings that only apply to the replay of a file. */
const replayOnly = ['speed', 'repeat'] as const;

/**
 * Extracts the loop's own settings from a sensor's URL: `map`, `units`, `time`, `seq`, `device`, `columns`, `bridge`, `resample` and
 * `rate`. Local sensors have their own `rate`. Files also have `speed` and `repeat`. The settings follow the `?`, for http the `#`.
 * @throws AIOT_SENSOR_URL
 */
export function parseAddress(sensor: string): SensorAddress {
  const [, name, rest = ''] = /^([a-z][a-z0-9+.-]*):(.*)$/is.exec(sensor) ?? [];
  if (name === undefined) {
    throw new AiotError(
      'AIOT_SENSOR_URL',
      `expected a URL such as i2c://1/lsm6ds3tr-c, got ${withoutSecrets(sensor)}`,
    );
  }
  const scheme = name.toLowerCase();
  const mark = rest.indexOf(scheme.startsWith('http') ? '#' : '?');
  const settings: Record<string, string> = {};
  const theirs: string[] = [];
  for (const pair of mark < 0 ? [] : rest.slice(mark + 1).split('&')) {
    const equals = pair.indexOf('=');
    const key = decoded(equals < 0 ? pair : pair.slice(0, equals), scheme);
    const ours = Object.hasOwn(shape, key) && !(key === 'rate' && ownRate.has(scheme));
    if (ours) settings[key] = equals < 0 ? 'true' : decoded(pair.slice(equals + 1), scheme);
    else if (pair !== '') theirs.push(pair);
  }
  const result = z.strictObject(shape).safeParse(settings);
  if (!result.success) {
    throw new AiotError('AIOT_SENSOR_URL', `${scheme}: ${issueText(result.error, 'the settings', settings)}`);
  }
  const { data } = result;
  const stray = replayOnly.find((key) => data[key] !== undefined && scheme !== 'file');
  if (stray) {
    throw new AiotError('AIOT_SENSOR_URL', `${scheme}: ?${stray}= only applies to replayed files`, {
      next: 'Omit it, or replay a recording: file:recording.csv?rate=100&speed=max',
    });
  }
  const place = mark < 0 ? rest : rest.slice(0, mark);
  return {
    scheme,
    url: `${scheme}:${place}${theirs.length > 0 ? `${rest[mark]}${theirs.join('&')}` : ''}`,
    fields: { map: data.map ?? {}, units: data.units ?? {} },
    time: data.time,
    seq: data.seq,
    device: data.device,
    columns: data.columns?.split(','),
    bridge: data.bridge ?? bridged,
    resample: data.resample ?? 'auto',
    rateHz: data.rate,
    speed: data.speed,
    repeat: data.repeat ?? 1,
  };
}

/** Removes passwords from a text for errors, because the address may be a broker's that was given by mistake. */
function withoutSecrets(text: string): string {
  return `"${text.replace(/\/\/[^/@]*@/, '//…@').slice(0, 60)}"`;
}

function decoded(text: string, scheme: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new AiotError('AIOT_SENSOR_URL', `${scheme}: a % after the ? is not followed by two hex digits`, {
      cause,
    });
  }
}
