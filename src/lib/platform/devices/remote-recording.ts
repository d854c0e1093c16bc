import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import * as z from 'zod';
import type { RemoteRequest } from '../../api/remote.js';
import { AiotError } from '../../core/errors.js';
import { makeFolder } from '../../core/files.js';
import { parsedJson } from '../../core/text.js';
import { dataIn, mostChannels } from '../../device/remote/tunnel.js';

/** Largest recording of a session, and of all recordings together, bytes; and the time for which they are kept, ms. */
const mostBytes = { one: 16 * 1024 * 1024, all: 1024 ** 3 };
const keptMs = 90 * 24 * 60 * 60 * 1000;

/** First line of a recording: an asciicast header (version 2), with additional members for the session. */
const headerSchema = z.object({
  version: z.literal(2),
  width: z.int(),
  height: z.int(),
  /** s since 1970 */
  timestamp: z.int(),
  aiot: z.object({ session: z.string(), device: z.string(), who: z.string(), target: z.string() }),
});
type Session = z.output<typeof headerSchema>['aiot'];

/** A finished recording in the audit log. */
export interface Recorded {
  bytes: number;
  sha256: string;
}

/**
 * Recordings of shells, as files in the asciicast format that asciinema plays. Of a terminal, only the output is recorded, because it
 * echoes what is typed except for passwords. Of a shell without a terminal, the commands are recorded too.
 */
export class RemoteRecordings {
  constructor(
    private readonly folder: string,
    private readonly now: () => number,
  ) {}

  private fileOf(session: string): string {
    return join(this.folder, `${session}.cast`);
  }

  /** Begins a recording. @param failed called once if it cannot be continued, with the reason */
  async begin(
    session: Session,
    request: RemoteRequest & { kind: 'shell' },
    failed: (reason: string) => void,
  ): Promise<RemoteRecording> {
    await makeFolder(this.folder, 0o700);
    await this.tidy();
    const file = createWriteStream(this.fileOf(session.session), { flags: 'wx', mode: 0o600 });
    await once(file, 'open');
    const { tty, rows, columns, term } = request;
    const header = {
      ...{ version: 2, width: columns, height: rows, timestamp: Math.floor(this.now() / 1000) },
      ...{ title: `${session.device}: ${session.who}`, env: { TERM: tty === 'yes' ? term : 'dumb' } },
      aiot: session,
    };
    return new RemoteRecording({ file, header, isTerminal: tty === 'yes', now: this.now, failed });
  }

  /** Size and digest of a recording whose end was not recorded; null if there is none. */
  async found(session: string): Promise<Recorded | null> {
    const text = await readFile(this.fileOf(session)).catch(() => null);
    return text && { bytes: text.length, sha256: createHash('sha256').update(text).digest('hex') };
  }

  /** A session's recording. @throws AIOT_NOT_FOUND @param isVisible whether the caller may see sessions of a device */
  async read(session: string, isVisible: (device: string) => boolean) {
    const cast = await readFile(this.fileOf(session), 'utf8').catch(() => null);
    const header = headerSchema.safeParse(parsedJson(cast?.slice(0, cast.indexOf('\n')) ?? '')).data;
    if (cast === null || !header || !isVisible(header.aiot.device))
      throw new AiotError('AIOT_NOT_FOUND', `there is no recording of a remote session ${session}`, {
        next: 'To see earlier sessions, run `aiot audit list --type device.remote-ended`.',
      });
    const { device, who, target } = header.aiot;
    const sha256 = createHash('sha256').update(cast).digest('hex');
    const bytes = Buffer.byteLength(cast);
    return { id: session, device, who, target, opened: header.timestamp * 1000, bytes, sha256, cast };
  }

  async remove(session: string): Promise<void> {
    await rm(this.fileOf(session), { force: true });
  }

  /** Removes expired recordings, and the oldest ones if together they are too large. */
  private async tidy(): Promise<void> {
    const names = (await readdir(this.folder)).filter((name) => name.endsWith('.cast'));
    const files = await Promise.all(
      names.map(async (name) => {
        const file = join(this.folder, name);
        // Another session that begins may have removed the file.
        const found = await stat(file).catch(() => null);
        return found ? [{ file, size: found.size, mtimeMs: found.mtimeMs }] : [];
      }),
    );
    let total = mostBytes.one;
    for (const { file, size, mtimeMs } of files.flat().sort((a, b) => b.mtimeMs - a.mtimeMs)) {
      total += size;
      if (total > mostBytes.all || mtimeMs < this.now() - keptMs) await rm(file, { force: true });
    }
  }
}

interface Parts {
  file: WriteStream;
  header: object;
  isTerminal: boolean;
  now: () => number;
  failed: (reason: string) => void;
}

/** The recording of an open session. */
export class RemoteRecording {
  private readonly begun: number;
  private readonly hash = createHash('sha256');
  private readonly texts = new Map<string, StringDecoder>();
  private bytes = 0;
  private isOver = false;

  constructor(private readonly parts: Parts) {
    this.begun = parts.now();
    parts.file.on('error', () => this.fail('its recording could not be written'));
    this.write(JSON.stringify(parts.header));
  }

  /** Records a message that the platform passes on. */
  take(from: 'user' | 'device', message: Buffer, isBinary: boolean): void {
    if (!isBinary) {
      if (from === 'user') this.takeNote(message);
      return;
    }
    const data = dataIn(message);
    if (!data || (from === 'user' && this.parts.isTerminal)) return;
    const key = `${from}${data.channel}`;
    if (this.texts.size >= 2 * mostChannels && !this.texts.has(key)) {
      this.fail('it opened too many channels');
      return;
    }
    const decoder = this.texts.get(key) ?? new StringDecoder('utf8');
    this.texts.set(key, decoder);
    const text = decoder.write(data.payload);
    if (text === '') return;
    // Without a terminal, nothing on the device adds the carriage returns that players need.
    const shown = this.parts.isTerminal ? text : text.replace(/\r?\n/g, '\r\n');
    this.event(from === 'user' ? 'i' : 'o', shown);
  }

  /** Closes the file. Resolves once it is complete on disk. */
  async end(): Promise<Recorded> {
    this.isOver = true;
    const { file } = this.parts;
    if (!file.errored) await new Promise<void>((resolve) => file.end(() => resolve()));
    return { bytes: this.bytes, sha256: this.hash.digest('hex') };
  }

  private takeNote(message: Buffer): void {
    const { rows, columns } = (parsedJson(message.toString('utf8')) ?? {}) as {
      rows?: unknown;
      columns?: unknown;
    };
    if (Number.isInteger(rows) && Number.isInteger(columns)) this.event('r', `${columns}x${rows}`);
  }

  private event(kind: 'i' | 'o' | 'r', text: string): void {
    this.write(JSON.stringify([Math.max(0, this.parts.now() - this.begun) / 1000, kind, text]));
  }

  private write(line: string): void {
    if (this.isOver) return;
    const data = Buffer.from(`${line}\n`);
    if (this.bytes + data.length > mostBytes.one) {
      this.fail('its recording reached the maximum size');
      return;
    }
    this.bytes += data.length;
    this.hash.update(data);
    this.parts.file.write(data);
  }

  private fail(reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.parts.failed(reason);
  }
}
