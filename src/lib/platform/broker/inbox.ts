import { isProtocolTopic } from '../../device/index.js';
import type { Connection } from './connection.js';
import type { Core } from './core.js';
import type { Accepted, Inbound } from './router.js';
import { type BrokerMessage, weightOf } from './wire/packets.js';

interface Slot {
  accepted: Accepted | null;
  bytes: number;
  /** What the publisher is told when the message is stored. */
  acknowledge: (() => void) | null;
  /** A reader in this process has it: it is not in the order any more. */
  loose?: boolean;
}

/** What is a stream of messages is not retained: memory would grow, and nobody asked for it. */
const streamed = /\/(telemetry|inference|reply|log)(\/|$)/;

/**
 * The messages of one publisher on their way: stored, offered to readers in this process, then delivered and acknowledged in
 * the order in which they came, however long the disk takes for each (MQTT 3.1.1, 4.6); a reader holds up only what it holds.
 */
export class Inbox {
  private readonly slots = new Set<Slot>();
  private bytes = 0;
  private broken = false;

  constructor(
    private readonly core: Core,
    private readonly connection: Connection,
  ) {}

  /** Whether so much is on its way that the publisher is to wait. */
  get full(): boolean {
    const { unstoredMessages, unstoredBytes } = this.core.limits;
    return this.slots.size >= unstoredMessages || this.bytes >= unstoredBytes;
  }

  take(message: BrokerMessage, inbound: Inbound | null, acknowledge: (() => void) | null): void {
    if (message.retain && streamed.test(message.topic)) message.retain = false;
    const slot: Slot = { accepted: null, bytes: weightOf(message), acknowledge };
    this.slots.add(slot);
    this.bytes += slot.bytes;
    const stored = (error?: unknown) => {
      if (error || this.broken) return this.break(error);
      let offered = false;
      // Readers in this process come last before the log: what could not be stored is not theirs either.
      this.core.offer(message, (refused) => {
        if (refused || this.broken) return this.break(refused);
        offered = true;
        this.core.router.accept(message, inbound, (failure, accepted) => {
          if (failure) return this.break(failure);
          slot.accepted = accepted;
          if (slot.loose) this.finish(slot);
          this.release();
        });
      });
      // A reader takes its time: others do not wait for what it has.
      if (!offered) slot.loose = true;
    };
    if (isProtocolTopic(message.topic))
      this.core.store(this.connection.name, message.topic, message.payload).then(() => stored(), stored);
    else stored();
  }

  private release(): void {
    for (const slot of this.slots) {
      if (slot.accepted) this.finish(slot);
      else if (!slot.loose) break;
    }
    this.connection.roomInInbox();
  }

  private finish(slot: Slot): void {
    this.slots.delete(slot);
    this.bytes -= slot.bytes;
    const behind = this.core.router.deliver(slot.accepted!);
    if (behind) this.connection.behind(behind);
    if (!this.broken) slot.acknowledge?.();
  }

  /** No acknowledgement leaves from here on; the publisher sends again what it has none for. */
  private break(error: unknown): void {
    if (this.broken) return;
    this.broken = true;
    this.connection.fail(error);
    // What is stored is delivered: nobody will store it again if its publisher does not come back.
    for (const slot of this.slots) if (slot.accepted) this.core.router.deliver(slot.accepted);
    this.slots.clear();
  }
}
