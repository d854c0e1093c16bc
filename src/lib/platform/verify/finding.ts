/** One piece of damage at rest, as a check of a data folder reports it: where it is, what is lost by it, and whether it can be repaired. */
export type Finding = {
  part: 'database' | 'journal' | 'index' | 'broker' | 'blob' | 'key' | 'reference';
  /** The file in the data folder, or the name of the object. */
  place: string;
  problem: string;
  /** Telemetry that cannot be read any more: times in ISO 8601, as far as they are known. */
  lost?: { stream?: string; device?: string; from?: string; to?: string; rows?: number };
  /** Whether the part can be brought back from the other files of the folder or from a backup. */
  repairable: boolean;
};
