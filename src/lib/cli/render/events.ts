import type { PlatformEvent } from '../../registry/index.js';
import { bold, cyan, dim, oneLine } from './style.js';
import { cut, lineWidth } from './text.js';
import { moment } from './time.js';

/** One line: when, what, of what, by whom, and its data. */
export function eventText({ id, at, type, subject, who, data }: PlatformEvent): string {
  const told = Object.entries(data)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${shown(value)}`);
  const number = String(id).padStart(6);
  const when = moment(at);
  const kind = oneLine(type).padEnd(17);
  const of = oneLine(subject);
  const by = oneLine(`by ${who}${told.length > 0 ? `  ${told.join(' ')}` : ''}`);
  // What it is of is whole; of the rest so much as there is room for.
  const room = lineWidth() - [number, when, kind, of].join('  ').length - 2;
  const rest = room < 4 ? '' : `  ${dim(cut(by, room))}`;
  return `${dim(number)}  ${dim(when)}  ${cyan(kind)}  ${bold(of)}${rest}`;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const short = text.length > 60 ? `${text.slice(0, 59)}…` : text;
  return /\s/.test(short) && typeof value === 'string' ? JSON.stringify(short) : short;
}
