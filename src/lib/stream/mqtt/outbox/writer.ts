import type { Wire } from '../lane.js';
import type { Item } from './types.js';

/** Bytes from which on packets are not gathered any further. */
const largestWrite = 64 * 1024;

/** Puts packets together, so that many small ones are one write. */
export interface PacketWriter {
  /** `item` where nobody acknowledges it (QoS 0). */
  add(wire: Wire, packet: Buffer, item?: Item): void;
  flush(wire: Wire): void;
  /** Forgets what was under way, and gives what is to be sent again. */
  reset(): Item[];
}

/** @param onHanded the system has the bytes of these, which nobody acknowledges */
export function createWriter(onHanded: (items: readonly Item[]) => void): PacketWriter {
  let packets: Buffer[] = [];
  let bytes = 0;
  let unacknowledged: Item[] = [];
  const writing = new Set<Item[]>();
  const take = (): [Buffer[], number, Item[]] => {
    const taken: [Buffer[], number, Item[]] = [packets, bytes, unacknowledged];
    packets = [];
    bytes = 0;
    unacknowledged = [];
    return taken;
  };
  const flush = (wire: Wire) => {
    if (packets.length === 0) return;
    const [gathered, size, items] = take();
    writing.add(items);
    wire.send(gathered.length === 1 ? gathered[0]! : Buffer.concat(gathered, size), () => {
      if (writing.delete(items)) onHanded(items);
    });
  };
  return {
    add(wire, packet, item) {
      packets.push(packet);
      bytes += packet.length;
      if (item) unacknowledged.push(item);
      if (bytes >= largestWrite) flush(wire);
    },
    flush,
    reset() {
      const [, , items] = take();
      const lost = [...writing].flat().concat(items);
      writing.clear();
      return lost.filter(({ batch }) => batch);
    },
  };
}
