import type { Delivery, Message, OutgoingMessage } from '../message.js';

/** A delivery on its way: acknowledged when everything that was made of it is safe elsewhere. */
export interface Flight {
  /** One thing less to wait for; the last one acknowledges. */
  done(): void;
}

/** One message for one sink. */
export interface Part {
  message: OutgoingMessage;
  /** What it was made of. */
  of: Message;
  flight: Flight;
  /** Dedupe key; absent without `dedupe`. */
  key?: string;
}

/** @param parts how many things to wait for, at least one */
export function createFlight(delivery: Delivery, parts: number, onSettled: () => void): Flight {
  let left = parts;
  return {
    done() {
      left--;
      if (left !== 0) return;
      delivery.ack();
      onSettled();
    },
  };
}

/** Of what is in a spool: its source has been told already. */
export const settledFlight: Flight = { done() {} };
