/** Says who of several processes does what only one may do. */
export interface Leader {
  /**
   * Runs `work` whenever this process leads. `signal` ends when it does not any longer: work then has a second to end before
   * another process begins with it. Returns what ends the campaign; that resolves when the work has ended.
   * @param role each is led by itself; a process has one campaign for each
   */
  campaign(work: (signal: AbortSignal) => Promise<void>, role?: string): () => Promise<void>;
  /** The campaigns of this process. */
  roles(): Campaign[];
}

export interface Campaign {
  role: string;
  leads: boolean;
  /** Why it can neither lead nor see that another one does; null = it can. */
  error: string | null;
}

/** Of a process that is alone: it leads. */
export const alwaysLeader: Leader = {
  roles: () => [{ role: 'platform', leads: true, error: null }],
  campaign(work) {
    const controller = new AbortController();
    const done = work(controller.signal).catch(() => {});
    return async () => {
      controller.abort();
      await done;
    };
  },
};
