import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { printable } from '../../core/text.js';
import { type Clock, formatDuration, systemClock } from '../../core/time.js';
import { isReadable, lastWords } from '../../flash/diagnosis.js';
import { resetBoard } from '../../flash/loader/reset.js';
import type { SerialLine } from '../../flash/port/line.js';
import { choosePort, withoutPasswords } from '../../flash/port/list.js';
import { openLine } from '../../flash/port/open-line.js';
import { checkWifi, type Wifi } from '../../provision/chip-options.js';
import { ImprovFailure, ImprovSession, type SeenNetwork } from './improv-session.js';

export const joinedSchema = z.object({
  device: z.string().nullable().describe('Name that the board reports; null if it reports none.'),
  chip: z.string().nullable(),
  firmware: z.string().nullable().describe('Name of the firmware.'),
  version: z.string().nullable().describe('Version of the firmware.'),
  port: z.string(),
  ssid: z.string(),
  state: z.literal('provisioned'),
  url: z.string().nullable().describe("The board's page, or the page that it suggests for its setup."),
  seconds: z.number().describe('Time from the first request until the board had joined the network.'),
});

export type Joined = z.output<typeof joinedSchema>;

/** The network that a board is to join, regardless of how the board is reached. */
export interface JoinOptions {
  /** Absent = `ask` chooses one. */
  ssid?: string | undefined;
  /** Absent = `ask` prompts for it, unless the network is open. */
  password?: string | undefined;
  /** Asks for the missing name or password. Absent = there is no terminal. */
  ask?: ((networks: readonly SeenNetwork[], ssid: string | undefined) => Promise<Wifi>) | undefined;
  /** Maximum time for joining the network. */
  timeoutMs: number;
  signal: AbortSignal;
  onStage?: (stage: { text: string }) => void;
  /** Replaced in tests. */
  clock?: Clock;
}

interface OverSerialOptions extends JoinOptions {
  /** Absent = the only board. */
  port?: string | undefined;
  baud: number;
  /**
   * Whether to restart the board first. A chip that is simulated in this process is always restarted, because its program does not start
   * otherwise.
   */
  reset: boolean;
}

/** Maximum time for a running board to answer the first request, ms. Firmware needs a few seconds after a reset. */
const contactMs = 10_000;

/**
 * Gives a board the name and password of a Wi-Fi network by Improv, over its serial port, and waits until it has joined. The board's
 * firmware decides where they are stored. If it cannot join, our firmware returns to its former network.
 * @throws AIOT_IMPROV_… (no answer, or an error that the board reports), AIOT_WIFI_NOT_FOUND, AIOT_WIFI_REFUSED, AIOT_TIMEOUT, AIOT_USAGE
 * (name or password missing or invalid), AIOT_SERIAL_…
 */
export async function joinOverSerial(options: OverSerialOptions): Promise<Joined> {
  const { ssid, password = '' } = options;
  if (ssid !== undefined) checkWifi(ssid, password);
  const port = await choosePort(options.port);
  const line = await openLine(port, { baud: options.baud, signal: options.signal });
  const { signal, clock = systemClock } = options;
  const session = new ImprovSession(line, { signal, clock });
  try {
    if (options.reset || line.kind === 'simulated') await resetBoard(line);
    const shown = withoutPasswords(port);
    options.onStage?.({ text: `waiting for the board at ${shown}` });
    const began = performance.now();
    await session.contact(contactMs);
    const [firmware, version, chip, device] = await session.info();
    const wifi = await wifiFor(options, () => session.scan());
    options.onStage?.({ text: `joining ${wifi.ssid}` });
    const url = await session.join(wifi, options.timeoutMs);
    const seconds = Math.round(performance.now() - began) / 1000;
    const known = {
      device: device || null,
      chip: chip || null,
      firmware: firmware || null,
      version: version || null,
    };
    return { ...known, port: shown, ssid: wifi.ssid, state: 'provisioned', url: url || null, seconds };
  } catch (error) {
    throw error instanceof ImprovFailure ? explained(error, line) : error;
  } finally {
    session.end();
    await line.close();
  }
}

/**
 * Returns the given name and password, or asks the user for them.
 * @param scan returns the networks that the board sees; called only if something is missing
 * @throws AIOT_USAGE without a terminal, or for an invalid name or password
 */
export async function wifiFor(
  { ssid, password, ask, onStage }: Pick<OverSerialOptions, 'ssid' | 'password' | 'ask' | 'onStage'>,
  scan: () => Promise<SeenNetwork[]>,
): Promise<Wifi> {
  if (ssid !== undefined && password !== undefined) return { ssid, password };
  onStage?.({ text: 'the board scans for networks' });
  const networks = await scan();
  const found = networks.find((network) => network.ssid === ssid);
  if (ssid !== undefined && found?.secured === false) return { ssid, password: '' };
  if (ask) {
    const chosen = await ask(networks, ssid);
    return checkWifi(chosen.ssid, chosen.password);
  }
  if (ssid === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      `without a terminal, a network is required; the board sees ${namesOf(networks)}`,
      {
        next: 'Add the name: --ssid NAME',
      },
    );
  }
  throw new AiotError('AIOT_USAGE', `a password is required for the network ${ssid}`, {
    next: 'Add --password-file FILE, or set AIOT_WIFI_PASSWORD. An empty file means an open network.',
  });
}

function namesOf(networks: readonly SeenNetwork[]): string {
  if (networks.length === 0) return 'none';
  const shown = networks.slice(0, 5).map(({ ssid }) => printable(ssid));
  return networks.length > 5 ? `${shown.join(', ')} and ${networks.length - 5} more` : shown.join(', ');
}

/** The error for a failed conversation. */
function explained({ trouble }: ImprovFailure, line: SerialLine): AiotError {
  const at = line.address;
  switch (trouble.reason) {
    case 'silent':
      return silence(trouble, line);
    case 'lost':
      return new AiotError('AIOT_SERIAL_LOST', `${at}: the line is closed`);
    case 'unsupported':
      return trouble.scan
        ? new AiotError('AIOT_IMPROV_UNSUPPORTED', `the board at ${at} cannot scan for networks`, {
            next: 'Specify the network: --ssid NAME',
          })
        : new AiotError('AIOT_IMPROV_UNSUPPORTED', `the board at ${at} does not support this request`);
    case 'rejected':
      return new AiotError('AIOT_IMPROV_REJECTED', `the board at ${at} rejected the request as invalid`, {
        retryable: true,
      });
    case 'failed':
      return new AiotError(
        'AIOT_IMPROV_FAILED',
        `the board at ${at} reported error ${trouble.code} (${trouble.error})`,
      );
    case 'refused':
      return new AiotError(
        'AIOT_WIFI_REFUSED',
        `the board cannot join the network ${trouble.ssid}${returned(trouble.kept)}`,
      );
    case 'not-found': {
      const { networks, ssid, kept } = trouble;
      const seen = `it sees ${plural(networks.length, 'network')}: ${namesOf(networks)}`;
      return new AiotError(
        'AIOT_WIFI_NOT_FOUND',
        `the board does not see the network ${ssid}; ${seen}${returned(kept)}`,
      );
    }
    case 'timeout':
      return new AiotError(
        'AIOT_TIMEOUT',
        `the board had not joined ${trouble.ssid} after ${formatDuration(trouble.ms)}`,
        {
          next: 'Move the board closer to the access point, or allow more time with --timeout.',
        },
      );
  }
}

const returned = (kept: boolean) => (kept ? '. It has returned to its previous network' : '');

/** The error for a board that does not answer, including the output that it sent instead. */
function silence({ heard, text }: { heard: number; text: Uint8Array }, line: SerialLine): AiotError {
  const at = { endpoint: line.address, retryable: true };
  const what =
    heard === 0
      ? 'the board sends nothing'
      : isReadable(text)
        ? `the board sends text, but no Improv packet. Last output: "${lastWords(text)}"`
        : `${plural(heard, 'byte')} arrived, but they are neither Improv packets nor text at ${line.baud} baud`;
  return new AiotError('AIOT_IMPROV_SILENT', `no Improv response at ${line.address}: ${what}`, at);
}
