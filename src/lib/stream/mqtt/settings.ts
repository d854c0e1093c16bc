import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import type { StreamOptions } from '../options.js';
import { queryBoolean, queryCount, readQuery } from '../query.js';
import type { StreamUrl } from '../url.js';
import type { MqttVersion } from './wire/publish.js';

const versions: Record<string, MqttVersion> = { '3.1': 3, '3.1.1': 4, '5': 5 };

/** What may stand after the `?` of an mqtt: URL. */
const shape = {
  qos: z
    .enum(['0', '1', '2'])
    .transform((text) => Number(text) as 0 | 1 | 2)
    .optional(),
  /** Of what is published. */
  retain: queryBoolean.optional(),
  clientId: z.string().min(1).max(65_535).optional(),
  /** `false` = the broker keeps the session, and what comes for it, while we are away. */
  clean: queryBoolean.optional(),
  /** How long it keeps it, seconds; MQTT 5. */
  expiry: queryCount.pipe(z.number().max(0xffff_ffff)).optional(),
  version: z
    .enum(['3.1', '3.1.1', '5'])
    .transform((text) => versions[text]!)
    .optional(),
  /** Shared subscription: each message goes to one of its members. */
  group: z
    .string()
    .regex(/^[^/+#]+$/, 'expected a name without /, + and #')
    .optional(),
  keepalive: queryCount.pipe(z.number().min(5).max(65_535)).optional(),
  /** MQTT 5: nothing that this very client published (for two bridges in opposite directions). */
  noLocal: queryBoolean.optional(),
  /** MQTT 5: messages keep their retain flag, as their sender set it. */
  retainAsPublished: queryBoolean.optional(),
  /** MQTT 5: `false` = no retained messages at the beginning. */
  retained: queryBoolean.optional(),
  /** Of a websocket; default /mqtt. */
  path: z.string().startsWith('/').optional(),
};

export interface MqttSettings extends z.output<z.ZodObject<typeof shape>> {
  qos: 0 | 1 | 2;
  /** The QoS in the URL itself. */
  asked: 0 | 1 | 2 | undefined;
  clean: boolean;
}

/** The URL's settings, over those of the options. @throws AIOT_STREAM_URL */
export function mqttSettings(url: StreamUrl, options: StreamOptions): MqttSettings {
  const query = readQuery(url, shape);
  const settings = {
    ...query,
    qos: query.qos ?? options.qos ?? 1,
    asked: query.qos,
    clientId: query.clientId ?? options.clientId,
    clean: query.clean ?? options.clean ?? true,
    group: query.group ?? options.group,
  };
  if (!settings.clean && settings.clientId === undefined) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected a clientId with clean=false, under which the broker keeps the session, got none`,
      { next: 'Add one: ?clean=false&clientId=NAME' },
    );
  }
  return settings;
}
