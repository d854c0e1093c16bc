/** What one window says, as a vote takes it. */
export interface Ballot {
  /** The window's class. */
  label: string;
  /** Classes in the order of `shares`. */
  classes: readonly string[];
  /** How much speaks for each class, 0…1. */
  shares: readonly number[];
  /** Of the window's last sample, ms since 1970. */
  t: number;
}

/** Makes one answer of the classes of several windows. */
export interface LoopVote {
  /** @returns the class voted for; null while that is open */
  push(ballot: Ballot): string | null;
  /** Forgets what came before: samples are missing, or the model is another. */
  reset(): void;
}
