/**
 * How far a partition may be committed: up to the lowest message that is not acked, since a commit says that everything before it is
 * done.
 */
export class Progress {
  /** Delivered and not yet known to be done, in their order; a log may have gaps. */
  private open: Pending[] = [];
  private next = -1;
  private committed = -1;

  /** A message is on its way; `done` is to be set when it is acked. */
  deliver(offset: number): Pending {
    const pending = { offset, done: false };
    if (this.next < 0) this.committed = offset;
    this.open.push(pending);
    this.next = offset + 1;
    return pending;
  }

  /** The offset to commit, or undefined when that would say nothing new. */
  due(): number | undefined {
    let done = 0;
    while (done < this.open.length && this.open[done]!.done) done++;
    this.open = done > 0 ? this.open.slice(done) : this.open;
    const at = this.open[0]?.offset ?? this.next;
    return at > this.committed ? at : undefined;
  }

  commit(offset: number): void {
    this.committed = Math.max(this.committed, offset);
  }
}

export interface Pending {
  readonly offset: number;
  done: boolean;
}
