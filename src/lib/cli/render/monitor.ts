import type { CrashFrame } from '../../flash/monitor/crashes.js';
import type { Level, MonitorEvent } from '../../flash/monitor/events.js';
import { bold, cyan, dim, green, red, yellow } from './style.js';
import { timeOfDay } from './time.js';

const ofLevel: Record<Level, (text: string) => string> = {
  error: red,
  warn: yellow,
  info: green,
  debug: dim,
  verbose: dim,
};

/** What is shown of an event: what the board says, or a note about it; null for what people see in the line already. */
export function monitorText(
  event: MonitorEvent,
  timestamps: boolean,
  hasElf: boolean,
): { kind: 'line' | 'note'; text: string } | null {
  const at = timestamps ? `${dim(timeOfDay(event.t))}  ` : '';
  switch (event.event) {
    case 'line':
      return { kind: 'line', text: at + (event.level ? ofLevel[event.level](event.text) : event.text) };
    case 'crash':
      return crash(event, hasElf);
    case 'values':
    case 'ended':
      return null;
    case 'waiting':
      return note(`waiting: ${event.why}`);
    case 'connected':
      return note(`${event.port} at ${event.baud}`);
    case 'lost':
      return note(`${event.why}; waiting for it to come back`);
    case 'reset':
      return note(event.done ? 'board reset' : 'not reset: this port has no DTR and RTS');
  }
}

const note = (text: string) => ({ kind: 'note' as const, text: dim(`· ${text}`) });

function crash(event: Extract<MonitorEvent, { event: 'crash' }>, hasElf: boolean) {
  const lines = event.frames.map((frame) => `    ${cyan(frame.address)}  ${place(frame)}`);
  if (event.elfMatches === false)
    lines.push(
      `    ${yellow('the ELF file is of another program than the board runs: these places are wrong')}`,
    );
  if (event.frames.length > 0 && event.frames.every((frame) => frame.function === null))
    lines.push(dim(`    ${hasElf ? unnamed : '--elf FILE names the places in the source'}`));
  return lines.length > 0 ? { kind: 'line' as const, text: lines.join('\n') } : null;
}

const unnamed =
  'the ELF file has no names for these places: it is stripped, or of another program; give the one that the linker wrote';

/** `app_main  main.c:42  (PC)` */
function place({ function: name, file, line, from }: CrashFrame): string {
  const where = file ? `  ${file}${line === null ? '' : `:${line}`}` : '';
  const about = from === 'backtrace' ? '' : dim(`  (${from === 'stack' ? 'on the stack, perhaps' : from})`);
  return `${name ? bold(name) : '?'}${where}${about}`;
}
