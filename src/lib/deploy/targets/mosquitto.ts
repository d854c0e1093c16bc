import { templateText } from '../template.js';
import type { Values } from '../values.js';

/**
 * Whether Mosquitto runs without a platform, so that passwords are its only access control. With a platform, the platform controls access.
 */
export const mosquittoAlone = ({ platform, broker }: Values) => platform === false && broker !== false;

/** Mosquitto's configuration and startup files, in one folder. */
export function mosquittoFiles({ platform }: Values): [name: string, text: string][] {
  const own = (name: string): [string, string] => [name, templateText(`mosquitto/${name}`)];
  const settings = platform === false ? 'alone.conf' : 'platform.conf';
  return [
    ['mosquitto.conf', templateText(`mosquitto/${settings}`)],
    own('start.sh'),
    ...(platform === false ? [] : [own('devices.acl'), own('programs.acl')]),
  ];
}
