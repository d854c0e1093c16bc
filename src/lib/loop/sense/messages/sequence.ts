/** What the number of a message says about those before it. */
export type Order = { kind: 'first' | 'next' | 'again' | 'restarted' } | { kind: 'lost'; messages: number };

/** A number this much lower is no message that comes late, but a board that began anew. */
const farBack = 1000;
/** Nor are so many missing: at a hundred a second that is eleven days. */
const farAhead = 1e8;

/** Follows numbers that rise by one a message; after a restart they begin anew. */
export function createSequence(): (seq: number, newer: boolean) => Order {
  let last: number | null = null;
  return (seq, newer) => {
    const before = last;
    if (before !== null && seq <= before && !newer && seq !== 0 && before - seq < farBack)
      return { kind: 'again' };
    if (before === 0 && seq === 0 && !newer) return { kind: 'again' };
    last = seq;
    if (before === null) return { kind: 'first' };
    if (seq <= before || seq - before > farAhead) return { kind: 'restarted' };
    return seq === before + 1 ? { kind: 'next' } : { kind: 'lost', messages: seq - before - 1 };
  };
}
