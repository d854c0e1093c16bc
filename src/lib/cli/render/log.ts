import type { LogLine } from '../../platform/index.js';
import { dim, oneLine, red, yellow } from './style.js';
import { moment } from './time.js';

/** One line of the platform's log. */
export function logText({ time, level, message, detail }: LogLine): string {
  const marks = { debug: dim, info: (text: string) => text, warning: yellow, error: red };
  const more = Object.entries(detail)
    .map(([name, value]) => ` ${dim(`${oneLine(name)}=${JSON.stringify(value)}`)}`)
    .join('');
  return `${time === null ? '' : `${dim(moment(time))} `}${marks[level](level)} ${oneLine(message)}${more}`;
}
