/** Refused credentials that one address may show in a window, and its length, ms. */
const usual = 20;
const window = 60_000;

/** Addresses that are remembered: beyond, the one that was quiet for longest is forgotten. */
const mostAddresses = 10_000;

/**
 * Who shows wrong credentials too often, over HTTP and MQTT alike. Right ones are let in all the same: otherwise anybody
 * behind the same address could lock others out, and 256 random bits are not guessed however often one may try.
 */
export class Failures {
  private readonly seen = new Map<string, { count: number; until: number }>();

  constructor(
    private readonly now: () => number,
    private readonly most = usual,
  ) {}

  note(address: string): void {
    const at = this.now();
    const before = this.seen.get(address);
    this.seen.delete(address);
    this.seen.set(
      address,
      before && before.until > at ? { ...before, count: before.count + 1 } : { count: 1, until: at + window },
    );
    if (this.seen.size > mostAddresses) this.seen.delete(this.seen.keys().next().value ?? '');
  }

  /** How long this address is to wait, s; 0 = it need not. */
  wait(address: string): number {
    const found = this.seen.get(address);
    const left = found ? found.until - this.now() : 0;
    return found && found.count >= this.most && left > 0 ? Math.ceil(left / 1000) : 0;
  }
}
