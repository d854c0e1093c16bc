/** A chip that others can reach. */
export interface ServedChip {
  /** What to give as --port: `/dev/pts/4`, `socket://127.0.0.1:5555`, `rfc2217://127.0.0.1:2217`. */
  readonly address: string;
  /** Lets the port go; again is harmless. */
  close(): Promise<void>;
}
