/** A connection that ends within this time and with nothing acknowledged was ended for what we published, ms. */
const shortMs = 5000;
/** How often that has to be, one after the other. */
const untilRefused = 3;

/**
 * Tells a broker that hangs up on what we publish from one that is away: an MQTT 3.1.1 broker has no other way to say that a topic is
 * not allowed (section 3.3.5), and one that was killed is away for a while.
 */
export interface HangUps {
  /** A connection is tried. */
  trying(): void;
  /** The broker let us in. */
  opened(): void;
  /** Something was acknowledged. */
  acknowledged(): void;
  /** It ended while a message was under way. True = so often now that the message is refused. */
  closed(): boolean;
  /** It is over, or could not be made. */
  over(): void;
}

export function createHangUps(): HangUps {
  let openedAt = 0;
  let letIn = false;
  let anyAcknowledged = false;
  let count = 0;
  return {
    trying() {
      letIn = false;
    },
    opened() {
      openedAt = performance.now();
      anyAcknowledged = false;
      letIn = true;
    },
    acknowledged() {
      anyAcknowledged = true;
      count = 0;
    },
    closed() {
      if (anyAcknowledged || performance.now() - openedAt > shortMs) return false;
      if (++count < untilRefused) return false;
      count = 0;
      return true;
    },
    over() {
      if (!letIn) count = 0;
    },
  };
}
