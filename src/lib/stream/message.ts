/** One message, whatever carried it. */
export interface Message {
  /** Slash-separated, as in MQTT. */
  topic: string;
  payload: Uint8Array;
  /** When it was received (or written into the file it comes from), ms since 1970. */
  time: number;
  qos?: 0 | 1 | 2;
  retain?: boolean;
  /** Where it came from: an endpoint without credentials. */
  source: string;
}

/** A message that its source keeps until it is told what became of it. One of the two is to be called, once. */
export interface Delivery {
  message: Message;
  /** It is safe elsewhere: the source may forget it. */
  ack(): void;
  /** It is not: the source may send it again. */
  nack(): void;
}

/** Where messages come from. Iterating ends when the source has no more, or is closed. Iterate once. */
export interface Source extends AsyncIterable<Delivery> {
  /** Without credentials. */
  readonly endpoint: string;
  /** Messages thrown away because the reader was too slow. */
  readonly dropped: number;
  close(): Promise<void>;
}

/** Where messages go. */
export interface Sink {
  /** Without credentials. */
  readonly endpoint: string;
  /** Resolves when the far side has it. Several may be under way; their order is kept. */
  write(message: OutgoingMessage): Promise<void>;
  close(): Promise<void>;
}

export type OutgoingMessage = Pick<Message, 'topic' | 'payload'> &
  Partial<Pick<Message, 'qos' | 'retain' | 'time'>>;
