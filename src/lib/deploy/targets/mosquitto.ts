import { templateText } from '../template.js';
import type { Values } from '../values.js';

/** Mosquitto with nothing before it but passwords: for who wants a broker and no platform, which has one of its own. */
export const mosquittoAlone = ({ platform, broker }: Values) => platform === false && broker !== false;

/** What Mosquitto reads and is started by, as files of one folder. */
export function mosquittoFiles({ platform }: Values): [name: string, text: string][] {
  const own = (name: string): [string, string] => [name, templateText(`mosquitto/${name}`)];
  const settings = platform === false ? 'alone.conf' : 'platform.conf';
  return [
    ['mosquitto.conf', templateText(`mosquitto/${settings}`)],
    own('start.sh'),
    ...(platform === false ? [] : [own('devices.acl'), own('programs.acl')]),
  ];
}
