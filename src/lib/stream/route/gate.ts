/** How much may be under way: where there is too much, whoever brings more waits. */
export interface Gate {
  readonly messages: number;
  enter(bytes: number): void;
  leave(bytes: number): void;
  /** Undefined when there is room now. */
  room(): Promise<void> | undefined;
}

export function createGate(mostMessages: number, mostBytes: number): Gate {
  let messages = 0;
  let held = 0;
  let waiting: (() => void)[] = [];
  const full = () => messages >= mostMessages || held >= mostBytes;
  return {
    get messages() {
      return messages;
    },
    enter(bytes) {
      messages++;
      held += bytes;
    },
    leave(bytes) {
      messages--;
      held -= bytes;
      if (waiting.length === 0 || full()) return;
      const woken = waiting;
      waiting = [];
      for (const resolve of woken) resolve();
    },
    room: () => (full() ? new Promise((resolve) => waiting.push(resolve)) : undefined),
  };
}
