// A process that appends to a journal in the folder that it is given, and says on stdout what was acknowledged.
import { writeSync } from 'node:fs';
import { FileTelemetry } from '../../src/lib/platform/journal/files.js';

const [folder = ''] = process.argv.slice(2);
const telemetry = await FileTelemetry.open({ folder, now: Date.now });
for (let seq = 0; seq < 20; seq++) {
  const payload = { seq, recording: 'r', x: 4700 + seq };
  await telemetry.append({ at: 1, device: 'a', channel: 'telemetry', stream: 's', payload });
  writeSync(1, `told ${4700 + seq}\n`);
}
await telemetry.close();
