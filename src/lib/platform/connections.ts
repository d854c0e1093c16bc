import { readFile } from 'node:fs/promises';
import type { Server, Socket } from 'node:net';
import type { Logger } from 'pino';
import { type AddressLimits, Admission, visitorOf } from './broker/limits.js';

/** Limits for all of this process's connections together. Each is documented in docs/background/security.md. */
export interface ConnectionLimits {
  /** Maximum number of open connections. The process's other file descriptors are left for files. */
  open: number;
  /** Maximum number of connections that wait for the TLS handshake, with or without a complete ClientHello. */
  strangers: number;
  /** Maximum number of TLS connections whose client is not authenticated yet. */
  unproven: number;
  /** Time from accept by which a connection must have sent a complete ClientHello and got a place, ms. */
  helloMs: number;
  /** How long an unauthenticated connection keeps its place while other connections wait for a place, ms. */
  patienceMs: number;
}

/** Limits for one address over HTTPS: open connections, burst of new ones, and new ones per second. */
const httpAddressLimits: AddressLimits = {
  connectionsPerAddress: 4000,
  burstPerAddress: 4000,
  ratePerAddress: 500,
};

/** @param descriptors files and sockets that this process may have open */
export function limitsFor(descriptors: number): ConnectionLimits {
  const reserve = Math.min(8192, Math.max(64, Math.ceil(descriptors / 8)));
  const open = Math.max(16, descriptors - reserve);
  return {
    open,
    strangers: Math.min(8000, Math.ceil(open / 2)),
    unproven: Math.min(1000, Math.ceil(open / 4)),
    helloMs: 10_000,
    patienceMs: 5000,
  };
}

/** Number of descriptors that this process may have open. Node raises its soft limit to the hard one at startup. */
export async function descriptorLimit(): Promise<number> {
  // On Linux, the limit is in a file; elsewhere it is read from a diagnostic report, which is slower.
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const listed = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  const soft =
    listed ?? (process.report?.getReport() as Partial<Report> | undefined)?.userLimits?.open_files?.soft;
  const count = Number(soft);
  return Number.isFinite(count) && count > 0 ? Math.min(count, mostDescriptors) : mostDescriptors;
}

/** Assumed when the system sets no limit on descriptors. */
const mostDescriptors = 1_048_576;

interface Report {
  userLimits: { open_files?: { soft: number | string } };
}

type Stage = 'silent' | 'waiting' | 'unproven' | 'known';

interface Entry {
  socket: Socket;
  visitor: string;
  key: string;
  stage: Stage;
  /** Time when the connection reached its current stage, ms. */
  since: number;
  /** Time by which the connection must have been given a place, ms. */
  deadline: number;
  /** Bytes of an incomplete ClientHello; null = none. */
  hello: Buffer | null;
  begin: () => void;
}

/**
 * Lengths of a TLS record's header and of the longest accepted ClientHello, bytes. A ClientHello with post-quantum keys
 * and a ticket has about 4 KiB.
 */
const headerBytes = 5;

const longestHello = 8192;
const handshakeRecord = 0x16;
const sweepMs = 500;

/** Maximum number of waiting connections examined in one pass if none of them can get a place. */
const mostRefused = 16;

const logEveryMs = 60_000;

const nothing = () => {};

/**
 * Every connection of the platform's listeners, from accept to close. TLS, which needs 50 KB and more, starts only with
 * a complete ClientHello and a free place; until then, a connection uses only its socket. When all places are taken,
 * the address with the most connections loses its oldest one. A host with thousands of connections therefore cannot
 * block others.
 */
export class Connections {
  private readonly byKey = new Map<string, Entry>();
  /**
   * Connections by stage, in order of arrival: incomplete ClientHello, waiting for a place, TLS handshake in progress.
   */
  private readonly silent = new Crowd<Entry>();
  private readonly waiting = new Crowd<Entry>();
  private readonly unproven = new Crowd<Entry>();
  private readonly http: Admission;
  private readonly sweeping: NodeJS.Timeout;
  private turning = false;
  private dropped = 0;
  private logged = Number.NEGATIVE_INFINITY;

  constructor(
    readonly limits: ConnectionLimits,
    private readonly log: Pick<Logger, 'warn'>,
    private readonly elapsed: () => number = () => performance.now(),
    perAddress: AddressLimits = httpAddressLimits,
  ) {
    this.http = new Admission(perAddress, elapsed);
    this.sweeping = setInterval(() => this.sweep(), sweepMs);
    this.sweeping.unref();
  }

  /**
   * Limits a TLS or HTTPS server. The server's own listeners, which start TLS, receive a socket only when its turn
   * comes. Must be called before other listeners are added.
   */
  guard(server: Server, helloMs = this.limits.helloMs): void {
    const listeners = server.listeners('connection') as ((socket: Socket) => void)[];
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      const entry = this.enter(socket, 'silent', helloMs, () => {
        for (const listener of listeners) listener.call(server, socket);
      });
      if (entry) this.listen(entry);
    });
  }

  /**
   * Counts a socket without TLS before the socket is used. Returns false after closing a socket for which there is no
   * room.
   */
  admit(socket: Socket): boolean {
    return this.enter(socket, 'unproven', 0, nothing) !== null;
  }

  /** Whether this address may open another connection over HTTP. If not, the socket is closed. */
  admitHttp(socket: Socket): boolean {
    const visitor = visitorOf(socket.remoteAddress ?? 'unknown');
    if (!this.http.enter(visitor)) {
      this.drop(socket);
      return false;
    }
    socket.once('close', () => this.http.leave(visitor));
    return true;
  }

  /** Records that the client of this socket, or of the socket's TLS connection, is authenticated. */
  known(socket: Pick<Socket, 'remoteAddress' | 'remotePort' | 'localPort'>): void {
    const entry = this.byKey.get(keyOf(socket));
    if (entry?.stage === 'unproven') this.move(entry, 'known');
  }

  /** Number of connections in each stage, and number of connections closed for lack of room. */
  figures(): { silent: number; waiting: number; unproven: number; known: number; dropped: number } {
    const { silent, waiting, unproven, byKey, dropped } = this;
    const known = byKey.size - silent.size - waiting.size - unproven.size;
    return { silent: silent.size, waiting: waiting.size, unproven: unproven.size, known, dropped };
  }

  close(): void {
    clearInterval(this.sweeping);
  }

  private enter(
    socket: Socket,
    stage: 'silent' | 'unproven',
    helloMs: number,
    begin: () => void,
  ): Entry | null {
    if (socket.destroyed) return null;
    const { limits } = this;
    const key = keyOf(socket);
    const visitor = visitorOf(socket.remoteAddress ?? 'unknown');
    // A connection closed before it was accepted has no address.
    if (socket.remotePort === undefined || !this.makeRoom(visitor)) {
      this.drop(socket);
      return null;
    }
    const now = this.elapsed();
    const entry: Entry = {
      socket,
      visitor,
      key,
      stage,
      since: now,
      deadline: now + helloMs,
      hello: null,
      begin,
    };
    this.byKey.set(key, entry);
    this.crowdOf(stage)?.add(visitor, entry);
    socket.on('close', () => this.leave(entry));
    while (this.silent.size + this.waiting.size > limits.strangers)
      this.evict(this.silent.size > 0 ? this.silent : this.waiting);
    return socket.destroyed ? null : entry;
  }

  /** Makes room for another connection, if necessary by closing an unauthenticated one. Returns false if there is no room. */
  private makeRoom(visitor: string): boolean {
    if (this.byKey.size < this.limits.open) return true;
    for (const crowd of [this.silent, this.waiting, this.unproven]) {
      // A new connection cannot displace connections from its own address that are already in TLS.
      if (crowd.size === 0 || (crowd === this.unproven && crowd.busiest() === visitor)) continue;
      this.evict(crowd);
      return true;
    }
    return false;
  }

  /** Reads until the ClientHello is complete. Closes connections that begin with anything else. */
  private listen(entry: Entry): void {
    const { socket } = entry;
    const giveUp = () => void socket.destroy();
    const read = () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      const bytes = entry.hello === null ? chunk : Buffer.concat([entry.hello, chunk]);
      entry.hello = bytes;
      const length = bytes.length < headerBytes ? 0 : bytes.readUInt16BE(3);
      if (bytes[0] !== handshakeRecord || length > longestHello) return giveUp();
      if (bytes.length < headerBytes + Math.max(1, length)) return;
      socket.removeListener('readable', read);
      entry.hello = null;
      entry.begin = this.handOver(entry, bytes, giveUp);
      this.move(entry, 'waiting');
      this.takeTurns();
    };
    socket.on('error', giveUp);
    socket.on('end', giveUp);
    socket.on('readable', read);
  }

  private handOver({ socket, begin }: Entry, hello: Buffer, giveUp: () => void): () => void {
    return () => {
      socket.removeListener('error', giveUp);
      socket.removeListener('end', giveUp);
      socket.unshift(hello);
      begin();
    };
  }

  /**
   * Starts TLS for waiting connections while places are free. Addresses take turns; each address's oldest connection is
   * first.
   */
  private takeTurns(): void {
    // Freeing a place below calls this method again.
    if (this.turning) return;
    this.turning = true;
    const { waiting, unproven, limits } = this;
    for (let refused = 0; refused < mostRefused; ) {
      const next = waiting.next();
      if (!next) break;
      if (unproven.size >= limits.unproven) {
        const busiest = unproven.busiest() ?? '';
        // The busiest address gives up a place only if it has more places than the waiting address would then have.
        if (unproven.countOf(busiest) <= unproven.countOf(next.visitor) + 1) {
          refused++;
          continue;
        }
        this.evict(unproven);
      }
      this.move(next, 'unproven');
      const { begin } = next;
      // `begin` refers to the ClientHello, which would otherwise stay in memory until the connection closes.
      next.begin = nothing;
      begin();
    }
    this.turning = false;
  }

  private sweep(): void {
    const now = this.elapsed();
    this.http.sweep();
    for (const crowd of [this.silent, this.waiting])
      for (const { deadline, socket } of crowd.inOrder()) if (now >= deadline) socket.destroy();
    this.takeTurns();
    let wanted = this.waiting.size;
    for (const { since, socket } of this.unproven.inOrder()) {
      if (wanted-- === 0 || now - since < this.limits.patienceMs) break;
      socket.destroy();
    }
  }

  private evict(crowd: Crowd<Entry>): void {
    const entry = crowd.oldestOfBusiest();
    if (!entry) return;
    this.leave(entry);
    this.drop(entry.socket);
  }

  private drop(socket: Socket): void {
    this.dropped++;
    socket.on('error', () => {}).destroy();
    const now = this.elapsed();
    if (now - this.logged < logEveryMs) return;
    this.logged = now;
    this.log.warn(this.figures(), 'closing connections because the limit is reached');
  }

  private move(entry: Entry, stage: Stage): void {
    this.crowdOf(entry.stage)?.delete(entry.visitor, entry);
    const leftPlace = entry.stage === 'unproven';
    entry.stage = stage;
    entry.since = this.elapsed();
    this.crowdOf(stage)?.add(entry.visitor, entry);
    if (leftPlace) this.takeTurns();
  }

  private leave(entry: Entry): void {
    if (this.byKey.get(entry.key) !== entry) return;
    this.byKey.delete(entry.key);
    this.crowdOf(entry.stage)?.delete(entry.visitor, entry);
    if (entry.stage === 'unproven') this.takeTurns();
  }

  private crowdOf(stage: Stage): Crowd<Entry> | null {
    return stage === 'known' ? null : this[stage];
  }
}

/** Identifies a connection by its addresses, which a socket and the TLS connection on it share. */
function keyOf({
  remoteAddress,
  remotePort,
  localPort,
}: Pick<Socket, 'remoteAddress' | 'remotePort' | 'localPort'>): string {
  return `${remoteAddress} ${remotePort} ${localPort}`;
}

/** Items by address; the busiest address and the order of arrival are found without a search. */
export class Crowd<T> {
  private readonly byAddress = new Map<string, Set<T>>();
  /** Addresses by number of items. */
  private readonly byCount: Set<string>[] = [];
  private readonly order = new Set<T>();
  private most = 0;

  get size(): number {
    return this.order.size;
  }

  countOf(address: string): number {
    return this.byAddress.get(address)?.size ?? 0;
  }

  add(address: string, thing: T): void {
    const own = this.byAddress.get(address) ?? new Set();
    this.byAddress.set(address, own);
    own.add(thing);
    this.order.add(thing);
    this.recount(address, own.size - 1, own.size);
  }

  delete(address: string, thing: T): void {
    const own = this.byAddress.get(address);
    if (!own?.delete(thing)) return;
    this.order.delete(thing);
    if (own.size === 0) this.byAddress.delete(address);
    this.recount(address, own.size + 1, own.size);
  }

  /** The address with the most items. If several addresses have equally many, the one that reached that number first. */
  busiest(): string | undefined {
    return this.byCount[this.most]?.values().next().value;
  }

  oldestOfBusiest(): T | undefined {
    return this.byAddress
      .get(this.busiest() ?? '')
      ?.values()
      .next().value;
  }

  /** The oldest item from the address whose turn it is; that address then goes to the back of the queue. */
  next(): T | undefined {
    const [address, own] = this.byAddress.entries().next().value ?? [];
    if (address === undefined || own === undefined) return undefined;
    this.byAddress.delete(address);
    this.byAddress.set(address, own);
    return own.values().next().value;
  }

  /** Oldest first. Items may be deleted during the iteration. */
  inOrder(): Iterable<T> {
    return this.order.values();
  }

  private recount(address: string, before: number, now: number): void {
    this.byCount[before]?.delete(address);
    if (now > 0) {
      this.byCount[now] ??= new Set();
      this.byCount[now].add(address);
    }
    this.most = Math.max(this.most, now);
    while (this.most > 0 && (this.byCount[this.most]?.size ?? 0) === 0) this.most--;
  }
}
