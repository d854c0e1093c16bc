import { AiotError } from '../../core/index.js';
import type { MonitorOptions } from './options.js';

/** Why a monitor ended. */
export type Ending =
  | { why: 'until' | 'for' | 'quit'; matched: string | null }
  | { why: 'timeout' | 'interrupted' }
  | { why: 'fail'; text: string }
  | { why: 'error'; error: unknown };

export interface Heard {
  options: Pick<MonitorOptions, 'until' | 'timeoutMs' | 'port'>;
  /** Why the port is not there; null when it is. */
  waitingFor: string | null;
  bytes: number;
  lines: number;
  /** The last line that was not empty. */
  last: string;
}

/** The error of an ending that is none to be glad of, with what was heard until then. */
export function failureOf(ending: Ending | null, heard: Heard): unknown {
  switch (ending?.why) {
    case 'error':
      return ending.error;
    case 'fail':
      return new AiotError('AIOT_MONITOR_FAILED', `the board said: ${short(ending.text)}`);
    case 'timeout':
      return late(heard);
    default:
      return new AiotError('AIOT_INTERRUPTED', `stopped after ${heard.lines} lines`);
  }
}

function late({ options, waitingFor, bytes, lines, last }: Heard): AiotError {
  const time = `${(options.timeoutMs ?? 0) / 1000} s`;
  const wanted = options.until ? `${options.until} did not come in ${time}` : `the time of ${time} was over`;
  if (waitingFor !== null)
    return new AiotError('AIOT_TIMEOUT', `${wanted}: ${waitingFor}`, { next: 'aiot device ports' });
  if (bytes === 0)
    return new AiotError('AIOT_TIMEOUT', `${wanted}: nothing came from the board`, {
      next: 'Look at the port, at --baud and at the cable; --reset starts its program anew.',
    });
  if (isNoise(last))
    return new AiotError('AIOT_TIMEOUT', `${wanted}: what came is noise, or text at another speed`, {
      next: 'Try another --baud: 115200 is usual, 74880 with a 26 MHz crystal.',
    });
  return new AiotError('AIOT_TIMEOUT', `${wanted}; ${lines} lines came, the last: ${short(last)}`);
}

/** More than a tenth of it is no text. */
function isNoise(line: string): boolean {
  const odd = [...line].filter(
    (character) => character === '\ufffd' || (character > '~' && character < '\u00a0'),
  );
  return odd.length > line.length / 10;
}

const short = (text: string) => (text.length > 120 ? `${text.slice(0, 119)}…` : text);
