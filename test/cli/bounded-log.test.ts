import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { boundedLog } from '../../src/lib/cli/live/bounded-log.js';
import { root } from '../support/cli.js';

let folder = '';
afterEach(async () => {
  if (folder !== '') await rm(folder, { recursive: true, force: true });
});

describe('a log with a slow reader', () => {
  it('drops lines beyond its limit and reports how many once there is room again', () => {
    const stream = { writableLength: 0 };
    const lines: string[] = [];
    const log = boundedLog(stream, (line) => lines.push(line), { largest: 10, now: () => 5 });
    log('one');
    stream.writableLength = 11;
    log('two');
    log('three');
    stream.writableLength = 10;
    log('four');
    log('five');
    expect([lines[0], ...lines.slice(2)]).toEqual(['one', 'four', 'five']);
    expect(JSON.parse(lines[1]!)).toEqual({
      level: 40,
      time: 5,
      dropped: 2,
      msg: '2 log lines were dropped because standard error was not read fast enough',
    });
  });

  it('uses bounded memory and does not keep the process alive', async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-log-'));
    const program = join(folder, 'program.mjs');
    const sources = pathToFileURL(join(root, 'test', 'support', 'from-sources.mjs')).href;
    await writeFile(
      program,
      `import { fromSources } from '${sources}';
const { boundedLog, endUnread } = await fromSources('lib/cli/index');
const log = boundedLog(process.stderr, (line) => process.stderr.write(line + '\\n'));
const line = 'x'.repeat(1000);
for (let i = 0; i < 20_000; i++) log(line);
process.stdout.write(line.repeat(3000));
process.once('SIGTERM', () => { process.disconnect(); clearInterval(work); endUnread(200); });
const work = setInterval(() => {}, 1000);
process.send(process.stderr.writableLength);
`,
    );
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    const [waiting] = await once(child, 'message');
    expect(waiting).toBeGreaterThan(1024 ** 2);
    expect(waiting).toBeLessThan(1024 ** 2 + 10_000);
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await Promise.race([ended, delay(10_000, 'still there', { ref: false })])).toEqual([0, null]);
  }, 30_000);
});
