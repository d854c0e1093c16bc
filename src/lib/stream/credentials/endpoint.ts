import type { StreamUrl } from '../url.js';

/** Ports that a scheme has when its URL names none. */
const ports: Record<string, number> = {
  http: 80,
  https: 443,
  kafka: 9092,
  kafkas: 9093,
  mqtt: 1883,
  mqtts: 8883,
  nats: 4222,
  natss: 4222,
  redis: 6379,
  rediss: 6379,
  ws: 80,
  wss: 443,
};

/**
 * Under which names credentials of a far side are kept: `mqtt://host:1883`, one for each of its hosts. The scheme belongs to the
 * name, so that a password kept for an encrypted connection never goes over a plain one.
 */
export function credentialNames({ scheme, host }: Pick<StreamUrl, 'scheme' | 'host'>): string[] {
  const port = ports[scheme];
  return host
    .split(',')
    .filter((one) => one !== '')
    .map((one) => {
      const named = /:\d+$/.test(one.replace(/^\[.*\]/, '')) || port === undefined;
      return `${scheme}://${one.toLowerCase()}${named ? '' : `:${port}`}`;
    });
}
