import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startProgram } from '../../src/lib/core/process.js';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-handles-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Calls that start a program in a process without free handles; `of` is the module. */
const cases = {
  'sensor/microphone': `of.startRecorder('true', [], { stallMs: 5000, onOverrun() {} }).next()`,
  'model/train/outside-trainer': `of.runCommand(['true'], { folder: '/' })`,
  'doctor/update': `of.lookForUpdate({ check: true, timeoutMs: 5000 })`,
  'deploy/apply': `of.runStep({ command: ['true'], about: '' }, { cwd: '/' })`,
  'project/firmware/tools': `of.runTool('true', [], '')`,
  'loop/model/trained': `of.trainedApart({}, { cache: '/tmp' })`,
  'device/native/process': `of.startNative({ program: 'true', folder: '/', schema: {}, onEvent() {} }).end()`,
  'stream/camera/source': `of.runCamera({ programs: ['ffmpeg'], args: [] }, { push() {} },
    { signal: new AbortController().signal, stallMs: 5000, frames: () => 0 })`,
  'cli/mcp': `of.runCommand([], { kind: 'write' },
    { root: '.', folder: '/', timeoutMs: 5000, signal: new AbortController().signal }).then((told) => { throw told; })`,
  'core/systemd': `of.notifierFor({ NOTIFY_SOCKET: '/nowhere' }).notify('READY=1')`,
};
/** The expected error of each call. */
const said = {
  'sensor/microphone': 'AIOT_SENSOR_TOOL: true does not start (EMFILE)',
  'model/train/outside-trainer':
    'AIOT_TRAINING_COMMAND: the training program true could not be started (EMFILE)',
  'doctor/update': 'AIOT_PROGRAM_NOT_FOUND: npm cannot be run (EMFILE)',
  'deploy/apply': 'AIOT_DEPLOY_FAILED: true: spawn true EMFILE',
  'project/firmware/tools': 'AIOT_PROGRAM_NOT_FOUND: true cannot be run (EMFILE)',
  'loop/model/trained': 'AIOT_TRAINING_ENDED: training could not be started (EMFILE)',
  'device/native/process': 'AIOT_PROGRAM_FAILED: true: EMFILE',
  'stream/camera/source': 'AIOT_CAMERA_FFMPEG: ffmpeg does not start (EMFILE)',
  'cli/mcp': 'the command could not be started (EMFILE)',
  'core/systemd': 'nothing',
};

/** URL of the built module, because Node can load it without a compiler, which needs handles. */
const moduleUrl = (path: string) => pathToFileURL(join(root, `dist/.modules/lib/${path}.js`)).href;

const program = (of: Record<string, string>) => `
import { openSync } from 'node:fs';
import { aiotVersion } from ${JSON.stringify(moduleUrl('core/index'))};
${Object.keys(of)
  .map((path, i) => {
    return `import * as module${i} from ${JSON.stringify(moduleUrl(path))};`;
  })
  .join('\n')}
const said = {};
// Read and cached here, as in any process that has already worked.
aiotVersion();
try { for (;;) openSync('/dev/null', 'r'); } catch {}
process.on('uncaughtException', (error) => { said.uncaught = String(error.stack); });
${Object.entries(of)
  .map(
    ([path, call], i) => `await (async (of) => ${call})(module${i}).then(
  () => { said['${path}'] = 'nothing'; },
  (error) => { said['${path}'] = error.failed ?? error.code + ': ' + error.message; },
);`,
  )
  .join('\n')}
process.stdout.write(JSON.stringify(said));
`;

describe('starting a program without a free file handle', () => {
  it('is reported by every caller with its own error', { timeout: 60_000 }, async () => {
    const node = `"${process.execPath}" --input-type=module --eval "$PROGRAM"`;
    // More handles than there are modules, because Node opens many modules concurrently while loading them.
    const result = await runProgram('sh', ['-c', `ulimit -n 4096; exec ${node}`], {
      cwd: root,
      env: { PROGRAM: program(cases) },
    });
    expect(JSON.parse(result.stdout || '{}'), result.stderr).toEqual(said);
  });
});

describe('a program that the system refuses to start', () => {
  const endOf = async (...args: Parameters<typeof startProgram>) => {
    const child = startProgram(...args);
    const events: string[] = [];
    const closed = new Promise((done) => child.once('close', done));
    child.stdin?.on('error', (error) => events.push(String(error))).end('for nobody');
    child.on('error', (error: NodeJS.ErrnoException) => events.push(`error ${error.code}`));
    for await (const part of child.stdout ?? []) events.push(String(part));
    await closed;
    return { events, pid: child.pid };
  };

  it('emits an error event instead of throwing, and closes its streams', async () => {
    const tooLong = 'x'.repeat(4_000_000);
    expect(await endOf('true', [tooLong], { stdio: ['pipe', 'pipe', 'ignore'] })).toEqual({
      events: ['error E2BIG'],
      pid: undefined,
    });
    expect(() => startProgram('tr\0ue', [], {})).toThrow(/null bytes/);
  });
});
