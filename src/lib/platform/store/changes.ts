/** What others who write to the same database may have changed. */
export type Changed = 'devices' | 'events' | 'rollouts';

export interface Changes {
  /** Whether others write to this database too: what is remembered of it has to follow them. */
  shared: boolean;
  /** Calls back soon after somebody, this process too, has changed these. Without others, never. Returns what ends that. */
  on(what: Changed, listener: () => void): () => void;
  /**
   * Follows the devices from now on. What it returns calls `take` with the names of those that somebody has changed since it
   * last took some: all whose changes can be seen by now, and some of before. That a device was seen is no change. What
   * `take` fails with is named again.
   */
  followDevices(): FollowDevices;
}

export type FollowDevices = (take: (names: readonly string[]) => Promise<void>) => Promise<void>;

/** Of a database that nobody else writes to. */
export const noChanges: Changes = {
  shared: false,
  on: () => () => {},
  followDevices: () => async () => {},
};
