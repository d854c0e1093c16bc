/** What opening a stream may need besides its URL. PEM texts, not paths. */
export interface StreamOptions {
  /** CA that signed the broker's certificate; absent = the system's. */
  ca?: string;
  /** Client certificate and its key. */
  cert?: string;
  key?: string;
  /** Used where the URL has none. */
  username?: string;
  password?: string;
  /** Longest wait for the first connection, ms; default 10 000. */
  connectTimeoutMs?: number;
  /** Messages kept for a reader that is slower than its source; default 10 000. */
  queue?: number;
  /** Of the subscription; default 1. */
  qos?: 0 | 1;
  /** Name of the platform that `aiot:` stands for; default = the one in use. */
  context?: string;
  /** stdin, where it is not the process's own. */
  input?: NodeJS.ReadableStream;
  /** Connection lost and found again. */
  onState?: (state: 'connected' | 'disconnected') => void;
}
