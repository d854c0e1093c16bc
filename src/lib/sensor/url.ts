import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { issueText } from '../core/issues.js';
import { dictionary } from '../core/names.js';

/** A sensor's URL: `scheme://PLACE?name=value&…`. */
export interface SensorUrl {
  /** Such as `iio`, without the colon. */
  scheme: string;
  /** What stands between `//` and `?`, decoded: a device, a card, a bus and its chips. */
  place: string;
  /** For messages: scheme and place. */
  endpoint: string;
  /** `readSettings` checks it. */
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
 * The settings in a URL's query, checked; any other is refused. `map` is not for the sensor but for who names its values, and is
 * passed over.
 * @throws AIOT_SENSOR_URL naming the setting and those that there are
 */
export function readSettings<Shape extends z.ZodRawShape>(
  url: SensorUrl,
  shape: Shape,
): z.output<z.ZodObject<Shape>> {
  const { map: _, ...query } = url.query;
  const result = z.strictObject(shape).safeParse(query);
  if (result.success) return result.data as z.output<z.ZodObject<Shape>>;
  throw refused(
    `${url.endpoint}: ${issueText(result.error, 'the query', query)}`,
    `After the ? may stand: ${Object.keys(shape).join(', ')}`,
  );
}

/** A number above 0, as a URL has it. */
export const positive = z
  .string()
  .regex(/^\d+(\.\d+)?$/, 'expected a number')
  .transform(Number)
  .pipe(z.number().positive('expected more than 0').max(1e6, 'expected at most 1000000'));

/** A whole number of 1 or more, as a URL has it. */
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
