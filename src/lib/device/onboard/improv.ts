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
import {
  encodeImprov,
  encodeTexts,
  type ImprovPacket,
  ImprovReader,
  type ImprovState,
  improvCommands,
} from '../../formats/improv.js';
import { checkWifi, type Wifi } from '../../provision/chip-options.js';

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

/** A network in a board's range. */
export interface SeenNetwork {
  ssid: string;
  /** Signal strength, dBm; null if the board does not report it as a number. */
  dbm: number | null;
  secured: boolean;
}

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
/** Interval between the first requests, ms. A board that is starting misses some of them. */
const contactEveryMs = 250;
/** Time after which a request without a reply is sent again, ms. */
const resendMs = 1000;
/** Maximum number of times that a request is sent if it is corrupted on the line. */
const attempts = 5;
/** Maximum time for the results of a scan, ms. */
const scanMs = 15_000;
/** Time without a packet, ms, after which the board is asked whether it has joined, because a packet may have been lost. */
const quietMs = 4000;
/** Number of bytes at the end of other output that are examined if a board does not answer. */
const shownBytes = 400;

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
  const session = new Session(line, options);
  try {
    if (options.reset || line.kind === 'simulated') await resetBoard(line);
    const shown = withoutPasswords(port);
    options.onStage?.({ text: `waiting for the board at ${shown}` });
    const began = performance.now();
    await session.contact();
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

/** Each name once, with its strongest access point. */
export function strongestFirst(seen: readonly SeenNetwork[]): SeenNetwork[] {
  const sorted = [...seen].sort((a, b) => (b.dbm ?? -200) - (a.dbm ?? -200));
  return sorted.filter(({ ssid }, at) => sorted.findIndex((each) => each.ssid === ssid) === at);
}

function namesOf(networks: readonly SeenNetwork[]): string {
  if (networks.length === 0) return 'none';
  const shown = networks.slice(0, 5).map(({ ssid }) => printable(ssid));
  return networks.length > 5 ? `${shown.join(', ')} and ${networks.length - 5} more` : shown.join(', ');
}

type Reply = Exclude<ImprovPacket, { kind: 'command' | 'malformed' }>;

/** The conversation with one board. Only one request is pending at a time. */
class Session {
  private readonly reader = new ImprovReader();
  private readonly leave: () => void;
  private readonly clock: Clock;
  private replies: Reply[] = [];
  private wake: () => void = () => {};
  private lost: Error | null = null;
  private heard = 0;
  private text: Uint8Array = new Uint8Array();

  constructor(
    private readonly line: SerialLine,
    private readonly options: Pick<OverSerialOptions, 'signal' | 'clock'>,
  ) {
    this.clock = options.clock ?? systemClock;
    this.leave = line.listen({
      data: (bytes) => {
        this.heard += bytes.length;
        this.take(this.reader.push(bytes));
      },
      closed: (error) => {
        this.lost = error ?? new AiotError('AIOT_SERIAL_LOST', `${line.address}: the line is closed`);
        this.wake();
      },
    });
  }

  end(): void {
    this.leave();
  }

  /** Waits for the board's state. Asks repeatedly, because the board may still be starting. */
  async contact(): Promise<ImprovState> {
    const until = this.clock.now() + contactMs;
    while (this.clock.now() < until) {
      const state = await this.state(contactEveryMs);
      if (state !== null) return state;
    }
    throw this.silence();
  }

  /** Returns the board's state, or null if the board does not answer within this time. */
  private async state(ms = resendMs): Promise<ImprovState | null> {
    await this.send(improvCommands.state);
    const until = this.clock.now() + ms;
    for (let reply = await this.next(until); reply; reply = await this.next(until)) {
      if (reply.kind === 'state') return reply.state;
    }
    return null;
  }

  /** Returns the board's firmware, version, chip and name; empty if the board does not support the request. */
  async info(): Promise<string[]> {
    return (
      (await this.request(
        improvCommands.info,
        resendMs,
        (reply) => reply.kind === 'result' && reply.texts,
      )) ?? []
    );
  }

  /** Networks in the board's range, strongest first, each name once. @throws AIOT_IMPROV_UNSUPPORTED, AIOT_IMPROV_SILENT */
  async scan(): Promise<SeenNetwork[]> {
    const seen: SeenNetwork[] = [];
    const all = await this.request(improvCommands.networks, scanMs, (reply) => {
      if (reply.kind !== 'result') return false;
      const [ssid = '', dbm = '', secured = ''] = reply.texts;
      if (reply.texts.length === 0) return seen;
      const strength = /^-?\d{1,3}$/.test(dbm) ? Number(dbm) : null;
      if (ssid !== '') seen.push({ ssid, dbm: strength, secured: secured !== 'NO' });
      return false;
    });
    if (all === null && seen.length === 0) {
      throw new AiotError(
        'AIOT_IMPROV_UNSUPPORTED',
        `the board at ${this.line.address} cannot scan for networks`,
        {
          next: 'Specify the network: --ssid NAME',
        },
      );
    }
    return strongestFirst(seen);
  }

  /**
   * Makes the board join a network. If the board did not receive the settings, they are sent again.
   * @returns its URL, or an empty text @throws AIOT_WIFI_NOT_FOUND, AIOT_WIFI_REFUSED, AIOT_TIMEOUT, AIOT_IMPROV_…
   */
  async join({ ssid, password }: Wifi, timeoutMs: number): Promise<string> {
    const until = this.clock.now() + timeoutMs;
    let unread: AiotError | null = null;
    for (let sent = 0; sent < attempts && this.clock.now() < until; sent++) {
      await this.send(improvCommands.wifi, encodeTexts([ssid, password]));
      const outcome = await this.outcome(ssid, until);
      if (typeof outcome === 'string') return outcome;
      if (outcome === null) break;
      unread = outcome;
    }
    if (unread !== null && this.clock.now() < until) throw unread;
    throw new AiotError(
      'AIOT_TIMEOUT',
      `the board had not joined ${ssid} after ${formatDuration(timeoutMs)}`,
      {
        next: 'Move the board closer to the access point, or allow more time with --timeout.',
      },
    );
  }

  /**
   * Waits until the board has joined, and returns its URL. Returns null if `until` is reached first, and an error if the board did not
   * receive the settings. A board that is still in another network reports that it has joined, so its state counts only after it has
   * started to join this one.
   */
  private async outcome(ssid: string, until: number): Promise<string | AiotError | null> {
    let trying = false;
    while (this.clock.now() < until) {
      const reply = await this.next(Math.min(until, this.clock.now() + (trying ? quietMs : resendMs)));
      if (reply === null) {
        if (!trying) return this.silence();
        await this.send(improvCommands.state);
      } else if (reply.kind === 'error') {
        if (reply.error === 'invalid-packet' && !trying) return this.reported(reply);
        if (reply.error !== 'none') await this.fail(reply, ssid);
      } else if (reply.kind === 'result') {
        if (reply.command === improvCommands.wifi) return reply.texts[0] ?? '';
      } else if (reply.state === 'provisioning') trying = true;
      else if (trying && reply.state === 'ready') await this.fail(null, ssid);
      else if (trying) {
        const result = await this.next(this.clock.now() + resendMs, ({ kind }) => kind === 'result');
        return result?.kind === 'result' ? (result.texts[0] ?? '') : '';
      }
    }
    return null;
  }

  /** Throws the error that the board reported; null = the board gave up without reporting an error. */
  private async fail(reply: Extract<Reply, { kind: 'error' }> | null, ssid: string): Promise<never> {
    if (reply !== null && reply.error !== 'unable-to-connect') throw this.reported(reply);
    const after = await this.next(this.clock.now() + resendMs, ({ kind }) => kind === 'state');
    const state = after?.kind === 'state' ? after.state : await this.state();
    const kept = state === 'provisioned' ? '. It has returned to its previous network' : '';
    const networks = await this.scan().catch(() => null);
    const sees = networks?.some((network) => network.ssid === ssid);
    if (networks === null || sees) {
      throw new AiotError('AIOT_WIFI_REFUSED', `the board cannot join the network ${ssid}${kept}`);
    }
    const seen = `it sees ${plural(networks.length, 'network')}: ${namesOf(networks)}`;
    throw new AiotError('AIOT_WIFI_NOT_FOUND', `the board does not see the network ${ssid}; ${seen}${kept}`);
  }

  private reported({ error, code }: Extract<Reply, { kind: 'error' }>): AiotError {
    const at = this.line.address;
    if (error === 'unknown-command') {
      return new AiotError('AIOT_IMPROV_UNSUPPORTED', `the board at ${at} does not support this request`);
    }
    if (error === 'invalid-packet') {
      return new AiotError('AIOT_IMPROV_REJECTED', `the board at ${at} rejected the request as invalid`, {
        retryable: true,
      });
    }
    return new AiotError('AIOT_IMPROV_FAILED', `the board at ${at} reported error ${code} (${error})`);
  }

  /**
   * Sends a request until a reply satisfies `judge`. A corrupted request is sent again.
   * @returns null if the board does not support the request, or does not complete it within the time
   */
  private async request<T>(
    command: number,
    ms: number,
    judge: (reply: Reply) => T | false,
  ): Promise<T | null> {
    for (let sent = 0; sent < attempts; sent++) {
      await this.send(command);
      const until = this.clock.now() + ms;
      let damaged = false;
      for (let reply = await this.next(until); reply && !damaged; reply = await this.next(until)) {
        if (reply.kind === 'error' && reply.error === 'unknown-command') return null;
        damaged = reply.kind === 'error' && reply.error === 'invalid-packet';
        const about = reply.kind !== 'result' || reply.command === command;
        const found = about ? judge(reply) : false;
        if (found !== false) return found;
        if (damaged) break;
      }
    }
    return null;
  }

  private async send(command: number, data: Uint8Array = new Uint8Array()): Promise<void> {
    this.take(this.reader.expire());
    this.replies = [];
    await this.line.write(encodeImprov({ kind: 'command', command, data }));
  }

  private take({ packets, text }: ReturnType<ImprovReader['push']>): void {
    if (text.length > 0) this.text = Buffer.concat([this.text, text]).subarray(-shownBytes);
    for (const packet of packets) {
      if (packet.kind !== 'command' && packet.kind !== 'malformed') this.replies.push(packet);
    }
    this.wake();
  }

  /** The next reply that `wanted` accepts, or null if `until` is reached first. @throws AIOT_SERIAL_LOST, or the reason of an abort */
  private async next(until: number, wanted: (reply: Reply) => boolean = () => true): Promise<Reply | null> {
    for (;;) {
      this.options.signal.throwIfAborted();
      const reply = this.replies.shift();
      if (reply && wanted(reply)) return reply;
      if (reply) continue;
      if (this.lost) throw this.lost;
      const left = until - this.clock.now();
      if (left <= 0) return null;
      await this.arrival(left);
    }
  }

  /** Resolves when the next packet arrives, when the line is closed, or after `ms`. */
  private async arrival(ms: number): Promise<void> {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.options.signal]);
    const arrived = new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    await Promise.race([arrived, this.clock.sleep(ms, signal).catch(() => undefined)]);
    this.wake = () => {};
    stop.abort();
  }

  /** The error for a board that does not answer, including the output that it sent instead. */
  private silence(): AiotError {
    const at = { endpoint: this.line.address, retryable: true };
    const what =
      this.heard === 0
        ? 'the board sends nothing'
        : isReadable(this.text)
          ? `the board sends text, but no Improv packet. Last output: "${lastWords(this.text)}"`
          : `${plural(this.heard, 'byte')} arrived, but they are neither Improv packets nor text at ${this.line.baud} baud`;
    return new AiotError('AIOT_IMPROV_SILENT', `no Improv response at ${this.line.address}: ${what}`, at);
  }
}
