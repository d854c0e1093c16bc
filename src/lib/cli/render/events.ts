import type { PlatformEvent } from '../../registry/index.js';
import { bold, cyan, dim } from './style.js';
import { moment } from './time.js';

/** One line: when, what, of what, by whom, and its data. */
export function eventText({ id, at, type, subject, who, data }: PlatformEvent): string {
  const told = Object.entries(data)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${shown(value)}`);
  const by = dim(`by ${who}${told.length > 0 ? `  ${told.join(' ')}` : ''}`);
  return `${dim(String(id).padStart(6))}  ${dim(moment(at))}  ${cyan(type.padEnd(17))}  ${bold(subject)}  ${by}`;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const short = text.length > 60 ? `${text.slice(0, 59)}…` : text;
  return /\s/.test(short) && typeof value === 'string' ? JSON.stringify(short) : short;
}
