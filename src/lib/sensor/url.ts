import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { issueText } from '../core/issues.js';
import { dictionary } from '../core/names.js';

/** A sensor's URL: `scheme://PLACE?name=value&…`. */
export interface SensorUrl {
  /** Scheme without the colon, such as `iio`. */
  scheme: string;
  /** The part between `//` and `?`, decoded, such as a device, a card, or a bus and its chips. */
  place: string;
  /** Scheme and place, for messages. */
  endpoint: string;
  /** Settings, which `readSettings` validates. */
  query: Readonly<Record<string, string>>;
}

/** @throws AIOT_SENSOR_URL */
export function parseSensorUrl(url: string): SensorUrl {
  const [, scheme, rest = ''] = /^([a-z][a-z0-9+.-]*):(?:\/\/)?(.*)$/is.exec(url) ?? [];
  if (!scheme) throw refused(`expected a URL such as iio://lsm6dsox_accel, got ${url}`);
  const mark = rest.indexOf('?');
  const place = decoded(mark < 0 ? rest : rest.slice(0, mark));
  const query = dictionary<string>();
  const pairs = mark < 0 ? [] : rest.slice(mark + 1).split('&');
  for (const pair of pairs.filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    const name = decoded(equals < 0 ? pair : pair.slice(0, equals));
    query[name] = equals < 0 ? 'true' : decoded(pair.slice(equals + 1));
  }
  return { scheme: scheme.toLowerCase(), place, endpoint: `${scheme.toLowerCase()}:${place}`, query };
}

/**
 * Validates the settings in a URL's query, and rejects unknown ones. `map`, which renames fields, is skipped, because the caller uses it.
 * @throws AIOT_SENSOR_URL naming the setting and the available ones
 */
export function readSettings<Shape extends z.ZodRawShape>(
  url: SensorUrl,
  shape: Shape,
): z.output<z.ZodObject<Shape>> {
  const { map: _, ...query } = url.query;
  const schema = z.strictObject(shape);
  const result = schema.safeParse(query);
  if (result.success) return result.data as z.output<z.ZodObject<Shape>>;
  throw refused(
    `${url.endpoint}: ${issueText(result.error, 'the query', query, schema)}`,
    `After the ?, only these settings are allowed: ${Object.keys(shape).join(', ')}`,
  );
}

/** Parses a number above 0 in a URL. */
export const positive = z
  .string()
  .regex(/^\d+(\.\d+)?$/, 'expected a number')
  .transform(Number)
  .pipe(z.number().positive('expected more than 0').max(1e6, 'expected at most 1000000'));

/** Parses an integer of 1 or more in a URL. */
export const wholePositive = z
  .string()
  .regex(/^\d{1,7}$/, 'expected a whole number')
  .transform(Number)
  .pipe(z.number().min(1, 'expected at least 1'));

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new AiotError('AIOT_SENSOR_URL', `a % in ${text} is not followed by two hex digits`, { cause });
  }
}

function refused(message: string, next?: string): AiotError {
  return new AiotError('AIOT_SENSOR_URL', message, next === undefined ? {} : { next });
}
