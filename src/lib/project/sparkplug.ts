import { AiotError } from '../core/errors.js';
import type { Project } from '../core/project.js';
import { parseDuration } from '../core/time.js';
import { parseSelector } from '../fleet/selector.js';
import type { Sparkplug } from '../fleet/sparkplug.js';
import { hasSecret } from './alarms.js';
import { longestMs, shortestMs } from './home-assistant.js';

/** The Sparkplug edge node in a project's aiot.yaml; null = none. @throws AIOT_PROJECT_INVALID */
export function sparkplugOf({ config, file }: Project): Sparkplug | null {
  const given = config.integrations?.sparkplug;
  if (given === undefined) return null;
  const { broker, group, node = config.name, selector, every, aliases } = given;
  const invalid = (field: string, message: string) =>
    new AiotError('AIOT_PROJECT_INVALID', `${file}: integrations.sparkplug.${field}: ${message}`);
  if (broker !== undefined && hasSecret(broker))
    throw invalid('broker', 'expected a variable such as $AIOT_NOTIFY_PASSWORD in place of a secret');
  const everyMs = parseDuration(every);
  if (everyMs < shortestMs || everyMs > longestMs) throw invalid('every', 'expected 1s to 1h');
  try {
    parseSelector(selector, 0);
  } catch (error) {
    throw error instanceof AiotError ? invalid('selector', error.message) : error;
  }
  const fields = Object.entries(config.stream.fields).map(([field, { unit }]) => ({ field, unit }));
  return {
    ...{ project: config.name, broker: broker ?? null, group, node, selector, everyMs, aliases },
    ...{ stream: config.stream.topic, fields },
  };
}
