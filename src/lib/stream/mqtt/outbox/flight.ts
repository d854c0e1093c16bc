import type { Batch, Item } from './types.js';

/** Packet identifiers are 1 to 65,535 (MQTT 5, section 2.2.1). */
const mostIds = 65_535;

/** What is under way at QoS 1 and 2, by its packet identifier, in the order of the first sending. */
export interface Flight {
  /** How many went out over this connection, PUBRELs too: what counts against the broker's Receive Maximum (section 4.9). */
  readonly underWay: number;
  /** Gives the item an identifier, as sent. The caller keeps far fewer under way than there are identifiers. */
  add(item: Item): number;
  get(id: number): Item | undefined;
  delete(id: number): void;
  /**
   * A new connection. Nothing was sent over it, and what is open is to be sent again: see `left`. Where the session is gone, the
   * broker knows none of the identifiers.
   */
  renew(sessionPresent: boolean): void;
  /** The first that this connection has not seen. */
  left(): [id: number, item: Item] | undefined;
  /** It goes out now. */
  again(): void;
  /** The write has failed. What went out stays until the broker answers: until then its identifier is not free. */
  abandon(batch: Batch): void;
  /** The oldest that somebody waits for. */
  oldest(): Item | undefined;
}

export function createFlight(): Flight {
  const flying = new Map<number, Item>();
  let unsent: [number, Item][] = [];
  let next = 0;
  let lastId = 0;
  return {
    get underWay() {
      return flying.size - (unsent.length - next);
    },
    add(item) {
      do lastId = lastId === mostIds ? 1 : lastId + 1;
      while (flying.has(lastId));
      item.state = 'sent';
      flying.set(lastId, item);
      return lastId;
    },
    get: (id) => flying.get(id),
    delete: (id) => flying.delete(id),
    renew(sessionPresent) {
      for (const [id, item] of flying) {
        if (!sessionPresent) item.state = 'new';
        if (item.batch) continue;
        // At QoS 2 the broker may hold the identifier: another message under it would be taken for this one, and be lost. A PUBREL
        // frees it, whether the broker had the message or not (section 4.3.3), and sends nothing again that was said to have failed.
        if (item.message.qos === 2 && item.state !== 'new') item.state = 'released';
        else flying.delete(id);
      }
      unsent = [...flying];
      next = 0;
    },
    left: () => unsent[next],
    again() {
      next++;
      if (next < unsent.length) return;
      unsent = [];
      next = 0;
    },
    abandon(batch) {
      for (const item of flying.values()) if (item.batch === batch) item.batch = undefined;
    },
    oldest() {
      for (const item of flying.values()) if (item.batch) return item;
      return undefined;
    },
  };
}
