import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { parsedJson } from '../../core/text.js';
import { openFirmware } from './folder.js';
import { regenerate } from './headers.js';
import { cmakeBuild, install, runTool } from './tools.js';

const testSchema = z.object({
  name: z.string(),
  /**
   * Where the test ran: on this machine, or in an emulator of the C3's instruction set. `esp32` = static checks of the ESP32 sources, on
   * this machine.
   */
  on: z.enum(['host', 'rv32', 'esp32']),
  state: z.enum(['passed', 'failed', 'skipped']),
  seconds: z.number(),
  /** Output of the test; null unless it failed. */
  output: z.string().nullable(),
});

export const firmwareTestSchema = z.object({
  dir: z.string(),
  passed: z.int(),
  failed: z.int(),
  skipped: z.int(),
  /** Whether the tests also ran in the RV32 emulator. */
  rv32: z.boolean(),
  regenerated: z.array(z.string()),
  tests: z.array(testSchema),
  seconds: z.number(),
});

export type FirmwareTest = z.output<typeof firmwareTestSchema>;

interface FirmwareTestOptions {
  dir: string;
  /** A regular expression for CTest. Only tests with matching names are built and run. */
  filter?: string | undefined;
  signal?: AbortSignal;
  /** Called with the name of each lengthy stage when it begins. */
  onStage?: (text: string) => void;
}

/**
 * Builds a firmware folder with the address and undefined-behavior sanitizers, and runs its tests.
 * @throws AIOT_FIRMWARE_MISSING, AIOT_PROGRAM_NOT_FOUND, AIOT_FIRMWARE_BUILD, AIOT_USAGE (no test matches)
 */
export async function testFirmware(options: FirmwareTestOptions): Promise<FirmwareTest> {
  const { filter, signal, onStage } = options;
  const { dir, project } = await openFirmware(options.dir);
  const regenerated = await regenerate(dir, project.config);
  const tool = { signal };
  const build = join(dir, 'build', 'test');
  const started = performance.now();
  const asked = {
    ...{ sources: dir, build, log: join(dir, 'build', 'test.log'), settings: ['-DAIOT_SANITIZE=ON'] },
    ...{ what: 'the tests', needs: { what: 'a library', next: install.host } },
  };
  onStage?.('Building with sanitizers');
  // With a filter, only the matching targets are built. The folder must be configured first, because CTest can list the tests only then.
  await cmakeBuild({ ...asked, targets: filter === undefined ? undefined : [] }, tool);
  const only = filter === undefined ? [] : ['-R', filter];
  if (filter !== undefined) {
    const targets = await targetsOf(build, only, signal);
    if (targets.length > 0) await cmakeBuild({ ...asked, targets }, tool);
  }
  onStage?.('Running the tests');
  const jobs = ['-j', String(Math.max(1, availableParallelism()))];
  const args = ['--output-on-failure', '--timeout', '600', ...jobs, ...only];
  const { said, code } = await runTool('ctest', args, install.cmake, { cwd: build, ...tool });
  const results = parseCtest(said);
  if (results.length === 0)
    throw new AiotError('AIOT_FIRMWARE_BUILD', `CTest ran no tests (code ${code})`, {
      next: `To see why, run \`ctest\` in ${build}.`,
    });
  const count = (state: CtestResult['state']) => results.filter((test) => test.state === state).length;
  return {
    dir,
    ...{ passed: count('passed'), failed: count('failed'), skipped: count('skipped'), regenerated },
    rv32: results.some(({ name }) => placeOf(name) === 'rv32'),
    tests: results.map((test) => ({ ...test, on: placeOf(test.name) })),
    seconds: (performance.now() - started) / 1000,
  };
}

function placeOf(name: string): z.output<typeof testSchema>['on'] {
  if (name.startsWith('esp32_')) return 'esp32';
  return /_rv32(_|$)/.test(name) ? 'rv32' : 'host';
}

const listSchema = z.object({ tests: z.array(z.object({ name: z.string() })) });

/**
 * The build targets of the matching tests, from the tests' command lines. CTest's list omits the commands of programs that are not built
 * yet, so the command lines are read from CTest's own file.
 * @throws AIOT_USAGE
 */
async function targetsOf(build: string, only: string[], signal: AbortSignal | undefined): Promise<string[]> {
  const { said } = await runTool('ctest', ['--show-only=json-v1', ...only], install.cmake, {
    cwd: build,
    signal,
  });
  const read = listSchema.safeParse(parsedJson(said));
  if (!read.success || read.data.tests.length === 0)
    throw new AiotError('AIOT_USAGE', `--filter: no test name matches ${only[1]}`, {
      next: 'To run all tests and see their names, omit --filter.',
    });
  const wanted = new Set(read.data.tests.map(({ name }) => name));
  const lines = (await readText(join(build, 'CTestTestfile.cmake'))).split('\n');
  const targets = lines.flatMap((line) => {
    const [, name = '', command = ''] =
      /^add_test\((?:\[=*\[)?([^\s\]]+)(?:\]=*\])? (.*)\)$/.exec(line) ?? [];
    const words = wanted.has(name) ? [...command.matchAll(/"([^"]*)"/g)].map(([, word = '']) => word) : [];
    return words
      .filter((word) => dirname(word) === build)
      .map((word) => basename(word).replace(/\.(elf|exe)$/, ''));
  });
  return [...new Set(targets)];
}

/** One test as reported by CTest. */
interface CtestResult {
  name: string;
  state: 'passed' | 'failed' | 'skipped';
  seconds: number;
  /** Output of the test; null unless it failed. */
  output: string | null;
}

/** Matches ` 3/33 Test #12: signal_rv32 ......***Failed  Required regular expression not found.  1.20 sec`. */
const line = /^\s*\d+\/\d+ Test\s+#\d+: (\S+) [. ]*(\*\*\*)?\s*(.*?)\s+([\d.]+) sec\s*$/;

const between = /^\s+Start\s+\d+: /;
const end = /^\d+% tests passed|^The following tests |^Label Time Summary|^Total Test time/;

/** Parses the output of `ctest --output-on-failure`. The tests are sorted by name. */
export function parseCtest(said: string): CtestResult[] {
  const results: CtestResult[] = [];
  let last: { result: CtestResult; lines: string[] } | null = null;
  const close = () => {
    if (last?.result.state === 'failed') last.result.output = last.lines.join('\n').trim();
    last = null;
  };
  for (const text of said.split('\n')) {
    const [, name, starred, verdict = '', seconds] = line.exec(text) ?? [];
    if (name !== undefined) {
      close();
      const state = stateOf(starred !== undefined, verdict);
      last = { result: { name, state, seconds: Number(seconds), output: null }, lines: [] };
      results.push(last.result);
    } else if (between.test(text) || end.test(text)) {
      if (end.test(text)) close();
    } else last?.lines.push(text);
  }
  close();
  return results.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function stateOf(starred: boolean, verdict: string): CtestResult['state'] {
  if (/^(Skipped|Not Run \(Disabled\))/.test(verdict)) return 'skipped';
  return !starred && verdict.startsWith('Passed') ? 'passed' : 'failed';
}
