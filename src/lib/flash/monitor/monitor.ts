import { type CrashDecoder, noDecoder } from './decode.js';
import type { MonitorEnd } from './events.js';
import { MonitorRun } from './monitor-run.js';
import type { MonitorOptions } from './options.js';
import { Recorder } from './recorder.js';

/**
 * Shows what a board says on its serial line until something ends it: waits for the port, and for it to come back. Resets
 * nothing unless told to, and sends nothing unless given something.
 *
 * @throws AIOT_TIMEOUT, AIOT_MONITOR_FAILED (`fail` came), AIOT_INTERRUPTED, AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED,
 * AIOT_FILE_NOT_WRITABLE, AIOT_SERIAL_LOST with `once`, and what opening the port throws where waiting cannot help
 */
export async function monitor(options: MonitorOptions): Promise<MonitorEnd> {
  options.signal.throwIfAborted();
  const decoder = await decoderOf(options.elf);
  const run = new MonitorRun(options, decoder);
  if (options.record !== undefined)
    run.recorder = await Recorder.open(options.record, (error) => run.finish({ why: 'error', error }));
  try {
    return await run.run();
  } finally {
    await run.recorder?.close();
  }
}

/** The reader of ELF files is loaded where there is one. */
async function decoderOf(elf: string | undefined): Promise<CrashDecoder> {
  if (elf === undefined) return noDecoder;
  const { openDecoder } = await import('./open-decoder.js');
  return openDecoder(elf);
}
