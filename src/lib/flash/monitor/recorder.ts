import { type FileHandle, open } from 'node:fs/promises';
import { AiotError, systemCode } from '../../core/errors.js';
import type { MonitorEvent } from './events.js';

/** Keeps what a board says in a file: every byte as it comes, or with `.jsonl` each event as a line. Appends. */
export class Recorder {
  private queue: Promise<unknown> = Promise.resolve();
  private failure: AiotError | undefined;

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly onFailure: (error: AiotError) => void,
  ) {}

  /** @throws AIOT_FILE_NOT_WRITABLE */
  static async open(path: string, onFailure: (error: AiotError) => void): Promise<Recorder> {
    try {
      return new Recorder(await open(path, 'a'), path, onFailure);
    } catch (error) {
      throw notWritable(path, error);
    }
  }

  bytes(bytes: Uint8Array): void {
    if (!this.wantsEvents) this.write(Uint8Array.from(bytes));
  }

  event(event: MonitorEvent): void {
    if (this.wantsEvents) this.write(`${JSON.stringify(event)}\n`);
  }

  /** Once everything is on the disk. */
  async close(): Promise<void> {
    await this.queue;
    await this.file.sync().catch(() => undefined);
    await this.file.close();
  }

  private get wantsEvents(): boolean {
    return this.path.endsWith('.jsonl');
  }

  private write(data: Uint8Array | string): void {
    this.queue = this.queue.then(async () => {
      if (this.failure) return;
      try {
        await this.file.writeFile(data);
      } catch (error) {
        this.failure = notWritable(this.path, error);
        this.onFailure(this.failure);
      }
    });
  }
}

function notWritable(path: string, cause: unknown): AiotError {
  return new AiotError(
    'AIOT_FILE_NOT_WRITABLE',
    `cannot write ${path} (${systemCode(cause) ?? 'unknown error'})`,
    {
      cause,
      endpoint: path,
    },
  );
}
