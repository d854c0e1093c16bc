import { basename } from 'node:path';
import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import { queryBoolean, queryCount, readQuery } from '../query.js';
import type { StreamUrl } from '../url.js';

const shape = {
  /** Bits a second; default 115200. */
  baud: queryCount.pipe(z.number().min(1)).optional(),
  /** Hardware flow control: the only one that loses nothing when we are slower than the line. */
  rtscts: queryBoolean.optional(),
  parity: z.enum(['none', 'even', 'odd']).optional(),
  dataBits: z.enum(['7', '8']).optional(),
  stopBits: z.enum(['1', '2']).optional(),
  /** Of the messages; default = the name of the port. */
  topic: z.string().min(1).optional(),
  /** Longest line, bytes; a longer one is cut into several. Default 65536. */
  line: queryCount.pipe(z.number().min(1)).optional(),
};

export interface SerialSettings {
  path: string;
  baudRate: number;
  rtscts: boolean;
  parity: 'none' | 'even' | 'odd';
  dataBits: 7 | 8;
  stopBits: 1 | 2;
  topic: string;
  longestLine: number;
}

/** What `serial:///dev/ttyUSB0?baud=9600` says. @throws AIOT_STREAM_URL */
export function serialSettings(url: StreamUrl): SerialSettings {
  const { path } = url;
  if (path === '') {
    throw new AiotError('AIOT_STREAM_URL', 'serial: expected a port after it, got none', {
      next: 'Write it as serial:///dev/ttyUSB0?baud=115200; aiot device ports lists what there is.',
    });
  }
  const { baud, rtscts, parity, dataBits, stopBits, topic, line } = readQuery(url, shape);
  return {
    path,
    baudRate: baud ?? 115_200,
    rtscts: rtscts ?? false,
    parity: parity ?? 'none',
    dataBits: dataBits === '7' ? 7 : 8,
    stopBits: stopBits === '2' ? 2 : 1,
    topic: topic ?? basename(path),
    longestLine: line ?? 65_536,
  };
}
