import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import type { StreamOptions } from '../message.js';
import { queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';
import { levelPattern } from './payload.js';

const level = z.string().regex(levelPattern, 'expected a name without /, + and #');

const sourceShape = {
  /** ID of the host application; it then publishes its state. */
  host: level.optional(),
  /** Whether to request births that are missing. */
  rebirth: queryBoolean.default(true),
};

const sinkShape = {
  /** Whether messages are commands to the node, instead of its data. */
  commands: queryBoolean.default(false),
  aliases: queryBoolean.default(true),
  clientId: z.string().min(1).max(65_535).optional(),
  keepalive: queryCount.pipe(z.number().min(5).max(65_535)).optional(),
};

/** The part of an address that names what is read. `+` = all. */
export interface SparkplugPlace {
  group: string;
  node: string;
  device: string | undefined;
}

/** The place and settings of a source. @throws AIOT_STREAM_URL */
export function sourceAddress(url: StreamUrl) {
  const { host, rebirth } = readQuery(url, sourceShape);
  const levels = url.path === '' ? [] : url.path.replace(/\/?#$/, '').split('/').filter(Boolean);
  if (levels.length > 3 || levels.some((each) => each !== '+' && !levelPattern.test(each)))
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected GROUP, GROUP/NODE or GROUP/NODE/DEVICE after the host, each a name or +`,
    );
  const [group = '+', node = '+', device] = levels;
  return { host, rebirth, place: { group, node, device: device === '+' ? undefined : device } };
}

/** The edge node that a sink publishes as, or sends commands to. @throws AIOT_STREAM_URL */
export function sinkAddress(url: StreamUrl, options: Pick<StreamOptions, 'clientId'>) {
  const { commands, aliases, clientId = options.clientId, keepalive } = readQuery(url, sinkShape);
  const [group = '', node = '', device, ...more] = url.path.split('/');
  if (more.length > 0 || [group, node, device ?? 'none'].some((each) => !levelPattern.test(each)))
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected the names of an edge node, and optionally a device: ${url.endpoint}/GROUP/NODE/DEVICE`,
    );
  return { group, node, device, commands, aliases, clientId, keepalive };
}
