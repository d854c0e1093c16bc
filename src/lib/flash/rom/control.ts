import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { AiotError, systemCode } from '../../core/errors.js';
import type { SimulatedChip } from './chip.js';
import { type Fault, type FaultKind, faultKinds } from './faults.js';
import type { ChipSecurity } from './identity.js';
import type { BootMode } from './program.js';
import type { ServedChip } from './serve.js';

const bootModes: readonly BootMode[] = ['download', 'uart', 'run'];
const numbers = ['rate', 'op', 'after', 'times', 'answers', 'error'];

const usage =
  'state | reset | boot download|uart|run | lines dtr=0|1 rts=0|1 | fault KIND [rate=R] [after=N] [times=N] [op=N] | clear [KIND] | plug';

/**
 * Executes one line of the control channel, which is for signals that a pty cannot carry: straps, DTR and RTS, faults. Returns the
 * answer as text.
 * @throws AIOT_USAGE for an unknown line
 */
export function controlChip(chip: SimulatedChip, line: string): string {
  const [verb = '', ...words] = line.trim().split(/\s+/);
  switch (verb) {
    case 'state':
      return describe(chip);
    case 'reset':
      chip.reset('power');
      return describe(chip);
    case 'plug':
      chip.plug();
      return describe(chip);
    case 'boot':
      chip.setBoot(oneOf(words[0], bootModes));
      return `boot ${words[0]} at the next reset`;
    case 'lines': {
      const given = options(words);
      chip.setControlLines({ dtr: given.dtr === '1', rts: given.rts === '1' });
      return describe(chip);
    }
    case 'fault':
      chip.faults.add(parseFault(words));
      return describe(chip);
    case 'clear':
      chip.faults.clear(words[0] === undefined ? undefined : oneOf(words[0], faultKinds));
      return describe(chip);
    default:
      throw new AiotError('AIOT_USAGE', `unknown control line ${JSON.stringify(line.trim())}`, {
        next: `Use: ${usage}`,
      });
  }
}

/**
 * Parses a fault as given on a command line: `noise rate=0.01`, `unplugged after=40`.
 * @param known names that the error lists
 * @throws AIOT_USAGE
 */
export function parseFault(words: readonly string[], known: readonly string[] = faultKinds): Fault {
  const kind =
    faultKinds.find((name) => name === words[0]) ?? (oneOf(words[0] || undefined, known) as FaultKind);
  const given = Object.entries(options(words.slice(1))).map(([name, value]) => {
    const number = Number(value);
    if (!numbers.includes(name) || value === '' || !(number >= 0)) {
      throw new AiotError(
        'AIOT_USAGE',
        `fault ${kind}: expected ${numbers.join(', ')} with a number, got ${name}=${value}`,
      );
    }
    return [name, number] as const;
  });
  const fault = { kind, ...Object.fromEntries(given) };
  if (rated.includes(kind) && !('rate' in fault)) {
    throw new AiotError('AIOT_USAGE', `fault ${kind}: specify how often, such as rate=0.001`);
  }
  if (kind === 'block-error' && !('error' in fault)) {
    throw new AiotError('AIOT_USAGE', 'fault block-error: specify the error number, such as error=7');
  }
  return fault as Fault;
}

const rated: readonly FaultKind[] = ['noise', 'lost-bytes', 'doubled-bytes'];

function describe(chip: SimulatedChip): string {
  const faults = chip.faults.list().map(({ kind }) => kind);
  return `${chip.identity.name} ${chip.mac} ${chip.state} ${chip.uart.baud} baud, faults: ${faults.join(' ') || 'none'}`;
}

function options(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const [name = '', value = ''] = word.split('=');
      return [name, value];
    }),
  );
}

function oneOf<T extends string>(word: string | undefined, known: readonly T[]): T {
  const found = known.find((name) => name === word);
  if (found === undefined) {
    throw new AiotError('AIOT_USAGE', `expected one of ${known.join(', ')}, got ${word ?? 'nothing'}`);
  }
  return found;
}

/** Fuse settings of a chip that can be specified like faults, by name. */
const burned = {
  'secure-boot': { secureBoot: true },
  'flash-encryption': { flashEncryption: true },
  'secure-download': { secureDownload: true },
  'no-download': { downloadDisabled: true },
} as const satisfies Record<string, Partial<ChipSecurity>>;

type BurnedName = keyof typeof burned;

/** All faults that can be set when a chip is created. The last ones are fuses, which cannot be set later. */
export const startFaultNames: readonly (FaultKind | BurnedName)[] = [
  ...faultKinds,
  ...(Object.keys(burned) as BurnedName[]),
];

/** Separates faults as given on a command line (`noise rate=0.01`, `secure-boot`) into events and fuses. @throws AIOT_USAGE */
export function parseStartFaults(texts: readonly string[]): {
  faults: Fault[];
  security: Partial<ChipSecurity>;
} {
  const faults: Fault[] = [];
  const security: Partial<ChipSecurity> = {};
  for (const text of texts) {
    const [name = '', ...words] = text.trim().split(/\s+/);
    if (!isBurned(name)) faults.push(parseFault([name, ...words], startFaultNames));
    else if (words.length === 0) Object.assign(security, burned[name]);
    else
      throw new AiotError('AIOT_USAGE', `fault ${name} always starts immediately: omit ${words.join(' ')}`);
  }
  return { faults, security };
}

const isBurned = (name: string): name is BurnedName => Object.hasOwn(burned, name);

/**
 * Serves the control channel on a loopback TCP port. Each line is answered with a line (`error: …` if it was rejected). @throws
 * AIOT_PORT_IN_USE
 */
export async function serveControl(chip: SimulatedChip, port: number): Promise<ServedChip> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => {
      socket.write(`${answerTo(chip, line)}\n`);
    });
  });
  server.listen({ host: '127.0.0.1', port });
  try {
    await once(server, 'listening');
  } catch (cause) {
    if (systemCode(cause) !== 'EADDRINUSE') throw cause;
    throw new AiotError('AIOT_PORT_IN_USE', `127.0.0.1:${port} is in use by another program`, { cause });
  }
  const bound = server.address();
  return {
    address: `127.0.0.1:${typeof bound === 'object' && bound ? bound.port : port}`,
    close: async () => {
      server.close();
    },
  };
}

function answerTo(chip: SimulatedChip, line: string): string {
  try {
    return controlChip(chip, line);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    return `error: ${error.message}`;
  }
}
