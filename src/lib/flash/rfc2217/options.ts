import { option, telnet } from './constants.js';
import { negotiation } from './telnet.js';

/** What one side may switch on for itself (`own`) and lets the other side switch on (`theirs`). */
export interface Wanted {
  own: readonly number[];
  theirs: readonly number[];
}

/** Eight clean bits both ways, and the COM port option: a client offers it, a server takes it. */
export const clientOptions: Wanted = {
  own: [option.BINARY, option.SUPPRESS_GO_AHEAD, option.COM_PORT],
  theirs: [option.BINARY, option.SUPPRESS_GO_AHEAD, option.COM_PORT],
};
/** ECHO too: a server that says WILL ECHO keeps a Telnet client from echoing on its own. */
export const serverOptions: Wanted = {
  own: [option.BINARY, option.SUPPRESS_GO_AHEAD, option.ECHO, option.COM_PORT],
  theirs: [option.BINARY, option.SUPPRESS_GO_AHEAD, option.COM_PORT],
};

/**
 * Telnet's negotiation of options by the rules that keep it from going round in circles (RFC 854: answer changes only,
 * RFC 1143). What was asked for and what was granted stand in one state: both mean that nothing more has to be said.
 */
export class Negotiation {
  private readonly own = new Set<number>();
  private readonly theirs = new Set<number>();
  private readonly refusals = new Set<string>();
  private readonly granted = new Set<number>();

  constructor(private readonly wanted: Wanted) {}

  /** What to say first: all that is wanted. */
  start(options: Wanted = this.wanted): Uint8Array {
    const said: Uint8Array[] = [];
    for (const each of options.own) if (add(this.own, each)) said.push(negotiation(telnet.WILL, each));
    for (const each of options.theirs) if (add(this.theirs, each)) said.push(negotiation(telnet.DO, each));
    return Buffer.concat(said);
  }

  /** Whether the peer has said yes to an option on either side: DO to ours, or WILL of its own. */
  has(wanted: number): boolean {
    return this.granted.has(wanted);
  }

  /** The answer to what the peer says; empty where none is due. */
  take(verb: number, about: number): Uint8Array {
    const positive = verb === telnet.DO || verb === telnet.WILL;
    const mine = verb === telnet.DO || verb === telnet.DONT;
    const [state, allowed] = mine ? [this.own, this.wanted.own] : [this.theirs, this.wanted.theirs];
    const [yes, no] = mine ? [telnet.WILL, telnet.WONT] : [telnet.DO, telnet.DONT];
    if (positive && allowed.includes(about)) {
      this.granted.add(about);
      return add(state, about) ? negotiation(yes, about) : nothing;
    }
    if (!positive) return state.delete(about) ? negotiation(no, about) : nothing;
    // Once: a peer that insists is not argued with.
    return add(this.refusals, `${verb}/${about}`) ? negotiation(no, about) : nothing;
  }
}

const nothing = new Uint8Array(0);

function add<T>(set: Set<T>, value: T): boolean {
  const fresh = !set.has(value);
  set.add(value);
  return fresh;
}
