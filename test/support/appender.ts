// A process that appends to a journal in the given folder, and prints acknowledged records on stdout.
import { writeSync } from 'node:fs';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';

const [folder = ''] = process.argv.slice(2);
const telemetry = await openTelemetry({ folder, now: Date.now });
for (let seq = 0; seq < 20; seq++) {
  const payload = { seq, recording: 'r', x: 4700 + seq };
  await telemetry.append({ at: 1, device: 'a', channel: 'telemetry', stream: 's', payload });
  writeSync(1, `told ${4700 + seq}\n`);
}
await telemetry.close();
