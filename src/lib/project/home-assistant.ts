import { AiotError } from '../core/errors.js';
import type { Project } from '../core/project.js';
import { parseDuration } from '../core/time.js';
import { type HomeAssistant, homeAssistantClasses, sensorOf } from '../fleet/home-assistant.js';
import { parseSelector } from '../fleet/selector.js';
import { hasSecret } from './alarms.js';

/** Limits of `every`, ms. */
export const shortestMs = 1000;
export const longestMs = 3_600_000;

/** The integration with Home Assistant in a project's aiot.yaml; null = none. @throws AIOT_PROJECT_INVALID */
export function homeAssistantOf({ config, file }: Project): HomeAssistant | null {
  const given = config.integrations?.homeAssistant ?? false;
  if (given === false) return null;
  const {
    broker,
    prefix = 'homeassistant',
    selector = 'all',
    every = '10s',
    installs,
    classes = {},
  } = given === true ? {} : given;
  const invalid = (field: string, message: string) =>
    new AiotError('AIOT_PROJECT_INVALID', `${file}: integrations.homeAssistant.${field}: ${message}`);
  if (broker !== undefined && hasSecret(broker))
    throw invalid('broker', 'expected a variable such as $AIOT_NOTIFY_PASSWORD in place of a secret');
  const everyMs = parseDuration(every);
  if (everyMs < shortestMs || everyMs > longestMs) throw invalid('every', 'expected 1s to 1h');
  try {
    parseSelector(selector, 0);
  } catch (error) {
    throw error instanceof AiotError ? invalid('selector', error.message) : error;
  }
  const { fields, topic } = config.stream;
  const unknown = Object.keys(classes).find((field) => !Object.hasOwn(fields, field));
  if (unknown !== undefined)
    throw invalid(`classes.${unknown}`, 'expected the name of a field of the stream');
  const sensors = Object.entries(fields).map(([field, { unit }]) => {
    const deviceClass = Object.hasOwn(classes, field) ? classes[field] : undefined;
    const sensor = sensorOf(field, unit, deviceClass);
    if (deviceClass !== undefined && deviceClass !== 'none') {
      const units = homeAssistantClasses.get(deviceClass);
      if (!units)
        throw invalid(
          `classes.${field}`,
          `expected none or one of ${[...homeAssistantClasses.keys()].join(', ')}`,
        );
      if (!units.includes(sensor.unit))
        throw invalid(
          `classes.${field}`,
          `${deviceClass} requires the unit ${units.join(', ')}; the field has ${unit === '' ? 'none' : unit}`,
        );
    }
    return sensor;
  });
  return {
    ...{ project: config.name, broker: broker ?? null, prefix, selector, everyMs },
    ...{ installs: installs ?? null, stream: topic, sensors },
  };
}
