import {
  encodeImprov,
  encodeTexts,
  type ImprovPacket,
  ImprovReader,
  type ImprovState,
  improvCommands,
} from '../../formats/improv.js';

/** A network in a board's range. */
export interface SeenNetwork {
  ssid: string;
  /** Signal strength, dBm; null if the board does not report it as a number. */
  dbm: number | null;
  secured: boolean;
}

/** The board's serial line: a port of this machine, or one that a browser has opened. */
export interface ImprovLine {
  listen(listener: { data(bytes: Uint8Array): void; closed(error: Error | null): void }): () => void;
  write(bytes: Uint8Array): Promise<void>;
}

export interface ImprovClock {
  now(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Reason why a conversation failed, with what its message needs. */
export type ImprovTrouble =
  /** No packet arrived. `heard`: number of other bytes; `text`: the last of them. */
  | { reason: 'silent'; heard: number; text: Uint8Array }
  | { reason: 'lost' }
  /** The board does not support the request; `scan`: it cannot list networks. */
  | { reason: 'unsupported'; scan: boolean }
  /** The board considers the request invalid. */
  | { reason: 'rejected' }
  /** The board reports another error. */
  | { reason: 'failed'; error: string; code: number }
  /** The board sees the network but cannot join it; `kept`: it has returned to its previous one. */
  | { reason: 'refused'; ssid: string; kept: boolean }
  | { reason: 'not-found'; ssid: string; kept: boolean; networks: readonly SeenNetwork[] }
  | { reason: 'timeout'; ssid: string; ms: number };

/** A failed conversation. Its callers have their own texts for each reason. */
export class ImprovFailure extends Error {
  constructor(readonly trouble: ImprovTrouble) {
    super(`Improv: ${trouble.reason}`);
  }
}

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
/** Number of bytes at the end of other output that are kept for the message if a board does not answer. */
const shownBytes = 400;

/** Each name once, with its strongest access point. */
export function strongestFirst(seen: readonly SeenNetwork[]): SeenNetwork[] {
  const sorted = [...seen].sort((a, b) => (b.dbm ?? -200) - (a.dbm ?? -200));
  return sorted.filter(({ ssid }, at) => sorted.findIndex((each) => each.ssid === ssid) === at);
}

type Reply = Exclude<ImprovPacket, { kind: 'command' | 'malformed' }>;

/**
 * The conversation with one board by Improv. Only one request is pending at a time. The command line and browsers share it, so it uses
 * nothing of Node. All functions throw ImprovFailure, the line's error, or the reason of an abort.
 */
export class ImprovSession {
  private readonly reader = new ImprovReader();
  private readonly leave: () => void;
  private replies: Reply[] = [];
  private wake: () => void = () => {};
  private lost: Error | null = null;
  private heard = 0;
  private text: Uint8Array = new Uint8Array();

  constructor(
    private readonly line: ImprovLine,
    private readonly options: { signal: AbortSignal; clock: ImprovClock },
  ) {
    this.leave = line.listen({
      data: (bytes) => {
        this.heard += bytes.length;
        this.take(this.reader.push(bytes));
      },
      closed: (error) => {
        this.lost = error ?? new ImprovFailure({ reason: 'lost' });
        this.wake();
      },
    });
  }

  end(): void {
    this.leave();
  }

  /** Waits for the board's state. Asks repeatedly for this time, because the board may still be starting. */
  async contact(ms: number): Promise<ImprovState> {
    const until = this.now() + ms;
    while (this.now() < until) {
      const state = await this.state(contactEveryMs);
      if (state !== null) return state;
    }
    throw this.silence();
  }

  /** Returns the board's state, or null if the board does not answer within this time. */
  private async state(ms = resendMs): Promise<ImprovState | null> {
    await this.send(improvCommands.state);
    const until = this.now() + ms;
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

  /** Networks in the board's range, strongest first, each name once. */
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
    if (all === null && seen.length === 0) throw new ImprovFailure({ reason: 'unsupported', scan: true });
    return strongestFirst(seen);
  }

  /**
   * Makes the board join a network. If the board did not receive the settings, they are sent again.
   * @returns its URL, or an empty text
   */
  async join({ ssid, password }: { ssid: string; password: string }, timeoutMs: number): Promise<string> {
    const until = this.now() + timeoutMs;
    let unread: ImprovFailure | null = null;
    for (let sent = 0; sent < attempts && this.now() < until; sent++) {
      await this.send(improvCommands.wifi, encodeTexts([ssid, password]));
      const outcome = await this.outcome(ssid, until);
      if (typeof outcome === 'string') return outcome;
      if (outcome === null) break;
      unread = outcome;
    }
    if (unread !== null && this.now() < until) throw unread;
    throw new ImprovFailure({ reason: 'timeout', ssid, ms: timeoutMs });
  }

  /**
   * Waits until the board has joined, and returns its URL. Returns null if `until` is reached first, and an error if the board did not
   * receive the settings. A board that is still in another network reports that it has joined, so its state counts only after it has
   * started to join this one.
   */
  private async outcome(ssid: string, until: number): Promise<string | ImprovFailure | null> {
    let trying = false;
    while (this.now() < until) {
      const reply = await this.next(Math.min(until, this.now() + (trying ? quietMs : resendMs)));
      if (reply === null) {
        if (!trying) return this.silence();
        await this.send(improvCommands.state);
      } else if (reply.kind === 'error') {
        if (reply.error === 'invalid-packet' && !trying) return reported(reply);
        if (reply.error !== 'none') await this.fail(reply, ssid);
      } else if (reply.kind === 'result') {
        if (reply.command === improvCommands.wifi) return reply.texts[0] ?? '';
      } else if (reply.state === 'provisioning') trying = true;
      else if (trying && reply.state === 'ready') await this.fail(null, ssid);
      else if (trying) {
        const result = await this.next(this.now() + resendMs, ({ kind }) => kind === 'result');
        return result?.kind === 'result' ? (result.texts[0] ?? '') : '';
      }
    }
    return null;
  }

  /** Throws the error that the board reported; null = the board gave up without reporting an error. */
  private async fail(reply: Extract<Reply, { kind: 'error' }> | null, ssid: string): Promise<never> {
    if (reply !== null && reply.error !== 'unable-to-connect') throw reported(reply);
    const after = await this.next(this.now() + resendMs, ({ kind }) => kind === 'state');
    const state = after?.kind === 'state' ? after.state : await this.state();
    const kept = state === 'provisioned';
    const networks = await this.scan().catch(() => null);
    const sees = networks?.some((network) => network.ssid === ssid);
    if (networks === null || sees) throw new ImprovFailure({ reason: 'refused', ssid, kept });
    throw new ImprovFailure({ reason: 'not-found', ssid, kept, networks });
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
      const until = this.now() + ms;
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
    if (text.length > 0) this.text = Uint8Array.from([...this.text, ...text].slice(-shownBytes));
    for (const packet of packets) {
      if (packet.kind !== 'command' && packet.kind !== 'malformed') this.replies.push(packet);
    }
    this.wake();
  }

  /** The next reply that `wanted` accepts, or null if `until` is reached first. */
  private async next(until: number, wanted: (reply: Reply) => boolean = () => true): Promise<Reply | null> {
    for (;;) {
      this.options.signal.throwIfAborted();
      const reply = this.replies.shift();
      if (reply && wanted(reply)) return reply;
      if (reply) continue;
      if (this.lost) throw this.lost;
      const left = until - this.now();
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
    await Promise.race([arrived, this.options.clock.sleep(ms, signal).catch(() => undefined)]);
    this.wake = () => {};
    stop.abort();
  }

  private now(): number {
    return this.options.clock.now();
  }

  private silence(): ImprovFailure {
    return new ImprovFailure({ reason: 'silent', heard: this.heard, text: this.text });
  }
}

function reported({ error, code }: Extract<Reply, { kind: 'error' }>): ImprovFailure {
  if (error === 'unknown-command') return new ImprovFailure({ reason: 'unsupported', scan: false });
  if (error === 'invalid-packet') return new ImprovFailure({ reason: 'rejected' });
  return new ImprovFailure({ reason: 'failed', error, code });
}
