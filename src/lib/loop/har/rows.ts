/** A value of one axis as the stream has it. */
export interface AxisMessage {
  /** In the stream, over all its subjects. */
  sequence: number;
  /** When the stream took it, ms since 1970. */
  time: number;
  value: number;
  /** Which sample it is of, where whoever published it says so. */
  sample?: string | undefined;
}

export type Row = readonly [x: AxisMessage, y: AxisMessage, z: AxisMessage];

/** A whole row, or one message that can never become part of one. */
export type Found = { row: Row } | { orphan: AxisMessage; axis: number };

export interface Rows {
  /** @returns false where that message is here already */
  push(axis: number, message: AxisMessage): boolean;
  /** What can be told by now; null = more messages are needed. */
  next(): Found | null;
  /** Samples of which some axis never came. */
  readonly lost: number;
  /** Everything that waits, for good. */
  clear(): AxisMessage[];
}

/** Messages of one axis without any of another: so many, and the oldest of them is given up. */
const mostWaiting = 1000;

/**
 * Puts x, y and z together again. The original's messages carry no number of the sample, and matching them by arrival shifts an axis
 * for ever when one is lost. But whoever publishes a sample publishes x, then y, then z, so in the stream's own order a row is an x,
 * the first y after it and the first z after that, all before the next x and y. What does not fit is given up, alone. (Three messages
 * lost in a row, from a y on, still make one row of two samples; messages of our own say which sample they are of.)
 */
export function createRows(): Rows {
  const queues: [AxisMessage[], AxisMessage[], AxisMessage[]] = [[], [], []];
  let lost = 0;
  /** Axis of the last orphan of the sample that is being given up; −1 = there is none. */
  let broken = -1;

  const give = (axis: number): Found => {
    const orphan = queues[axis]!.shift()!;
    // What follows it in the order of a sample is of the same one.
    if (axis <= broken || broken === -1) lost++;
    broken = axis;
    return { orphan, axis };
  };

  return {
    get lost() {
      return lost;
    },
    push(axis, message) {
      const queue = queues[axis]!;
      let at = queue.length;
      while (at > 0 && queue[at - 1]!.sequence > message.sequence) at--;
      if (queue[at - 1]?.sequence === message.sequence) return false;
      queue.splice(at, 0, message);
      return true;
    },
    next() {
      const [x, y, z] = queues.map(([first]) => first);
      if (!x || !y || !z) {
        const full = queues.findIndex(({ length }) => length > mostWaiting);
        return full < 0 ? null : give(full);
      }
      if (y.sequence < x.sequence || z.sequence < x.sequence) return give(y.sequence < z.sequence ? 1 : 2);
      if (z.sequence < y.sequence) return give(0);
      if (z.sequence - x.sequence > 2) {
        // Other subjects may lie in between, or parts of a later sample: the next x and y tell.
        const [x2, y2] = [queues[0][1], queues[1][1]];
        if (Math.min(x2?.sequence ?? z.sequence, y2?.sequence ?? z.sequence) < z.sequence) return give(0);
        if (!x2 || !y2) return null;
      }
      if (x.sample !== undefined && (x.sample !== y.sample || x.sample !== z.sample)) return give(0);
      for (const queue of queues) queue.shift();
      broken = -1;
      return { row: [x, y, z] };
    },
    clear() {
      broken = -1;
      return queues.flatMap((queue) => queue.splice(0));
    },
  };
}
