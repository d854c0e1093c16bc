interface Waiter {
  resolve(values: Uint8Array): void;
  reject(error: Error): void;
}

/** Commands that wait for their answers, which come in the order of the commands. */
export class PendingAnswers {
  private readonly waiters = new Map<number, Waiter[]>();

  constructor(private readonly timeoutMs: number) {}

  /** The next answer to this command. Rejects after the time with what `late` makes, or when `fail` is called. */
  next(code: number, late: () => Error): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const list = this.waiters.get(code) ?? [];
      const timer = setTimeout(() => {
        list.splice(list.indexOf(waiter), 1);
        reject(late());
      }, this.timeoutMs);
      const waiter: Waiter = {
        resolve: (values) => {
          clearTimeout(timer);
          resolve(values);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      list.push(waiter);
      this.waiters.set(code, list);
    });
  }

  answered(code: number, values: Uint8Array): void {
    this.waiters.get(code)?.shift()?.resolve(values);
  }

  fail(error: Error): void {
    for (const list of this.waiters.values()) for (const waiter of list.splice(0)) waiter.reject(error);
  }
}
